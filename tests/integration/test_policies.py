"""BLOCK and DROP: who waits, who misses what, and what is written about it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from laboratory import counter_codes, counter_topology, read_wide


def _gaps(lab: Any, sink: str | None) -> list[tuple[int, int, str]]:
    lines = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    return [(line["start"], line["stop"], line["cause"]) for line in lines if line["sink"] == sink]


def test_a_slow_drop_viewer_costs_the_others_nothing_and_its_rows_and_gaps_add_up(lab: Any) -> None:
    topology = counter_topology(2, 10, rate_hz=2000.0) | {"duration": "3s", "ring": {"slots": 40}}
    topology["sinks"] = {
        "raw": {"type": "hbuf", "path": "raw.dt-raw", "journal": False},
        "table": {"type": "csv", "path": "table.csv"},
        "view": {"type": "csv", "path": "view.csv", "policy": "drop", "delay_per_block": "50ms"},
    }
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    record = ended.json
    assert record["acquired"]["overrun_samples"] == 0
    expected = counter_codes(2, 0, 6000)
    assert np.array_equal(read_wide(lab.run_folder / "table.csv")[1], expected)
    view = record["sinks"]["view"]
    assert view["dropped"] == view["gaps"] > 0
    assert view["start"] + view["samples"] + view["gaps"] == view["stop"] == 6000
    index, values = read_wide(lab.run_folder / "view.csv")
    assert np.array_equal(values, expected[:, index])
    absent = np.concatenate([np.arange(start, stop) for start, stop, _ in _gaps(lab, "view")])
    assert np.array_equal(np.sort(np.concatenate([index, absent])), np.arange(6000))
    assert {cause for _, _, cause in _gaps(lab, "view")} == {"policy_drop"}
    assert lab.dtopipe("verify", "lab").code == 0


def test_drop_newest_keeps_the_oldest_blocks_of_its_queue(lab: Any) -> None:
    topology = counter_topology(2, 10, rate_hz=2000.0) | {"duration": "2s"}
    view = {"type": "csv", "path": "view.csv", "policy": "drop_newest", "queue_blocks": 5, "delay_per_block": "50ms"}
    topology["sinks"] = {"raw": {"type": "hbuf", "path": "raw.dt-raw", "journal": False}, "view": view}
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    sink = ended.json["sinks"]["view"]
    assert sink["samples"] + sink["gaps"] == 4000
    assert sink["gaps"] == sink["dropped"] > 0
    index, values = read_wide(lab.run_folder / "view.csv")
    assert list(index[:50]) == list(range(50))
    assert np.array_equal(values, counter_codes(2, 0, 4000)[:, index])


def test_a_slow_block_sink_holds_the_acquirer_until_the_board_overruns_and_everybody_is_told(lab: Any) -> None:
    topology = counter_topology(2, 10, rate_hz=2000.0) | {"duration": "3s", "ring": {"slots": 8}}
    topology["sinks"] = {
        "raw": {"type": "hbuf", "path": "raw.dt-raw", "journal": False},
        "table": {"type": "csv", "path": "table.csv"},
        "slow": {"type": "csv", "path": "slow.csv", "delay_per_block": "50ms"},
    }
    ended = lab.up(topology)
    assert ended.code == 3, ended.stderr
    record = ended.json
    assert record["verdict"]["state"] == "INCOMPLETE"
    assert record["acquired"]["overrun_samples"] > 0
    board = _gaps(lab, None)
    assert sum(stop - start for start, stop, _ in board) == record["acquired"]["overrun_samples"]
    for name, path in (("raw", "raw.dt-raw"), ("table", "table.csv"), ("slow", "slow.csv")):
        assert [gap[:2] for gap in _joined(_gaps(lab, name))] == [gap[:2] for gap in _joined(board)], name
        assert {cause for _, _, cause in _gaps(lab, name)} == {"board_overrun"}
        index, values = read_wide(lab.run_folder / path)
        assert np.array_equal(values, counter_codes(2, 0, 6000)[:, index])
        sink = record["sinks"][name]
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == 6000
        assert sink["samples"] == len(index)
    assert lab.dtopipe("verify", "lab").code == 3


def _joined(gaps: list[tuple[int, int, str]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, stop, _ in sorted(gaps):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def test_a_stop_while_the_ring_is_full_does_not_hang(lab: Any) -> None:
    topology = counter_topology(2, 10, pace="max") | {"ring": {"slots": 4}, "drain_limit": "1s"}
    topology["sinks"] = {"table": {"type": "csv", "path": "table.csv"}}
    running = lab.start(topology)
    running.wait_until("running")
    running.wait_for_samples("table", 1000)
    running.pause("table")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    assert ended.json["verdict"]["state"] == "DEGRADED"
    sink = ended.json["sinks"]["table"]
    assert sink["state"] == "cut_off"
    assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == ended.json["acquired"]["end_sample_index"]


def test_a_second_ctrl_c_does_not_wait_for_a_slow_sink(lab: Any) -> None:
    topology = counter_topology(2, 10, pace="max") | {"ring": {"slots": 64}}
    topology["sinks"] = {"slow": {"type": "csv", "path": "slow.csv", "delay_per_block": "500ms"}}
    running = lab.start(topology)
    running.wait_until("running")
    running.wait_for_samples("slow", 1)
    running.interrupt()
    running.wait_until("draining")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    assert "second request to stop" in ended.json["verdict"]["text"]
    sink = ended.json["sinks"]["slow"]
    assert sink["state"] == "cut_off"
    assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"]


def _stopped_sink(lab: Any) -> Any:
    topology = counter_topology(2, 10, rate_hz=2000.0) | {"ring": {"slots": 8}, "duration": "6s", "drain_limit": "1s"}
    stalling = {"type": "csv", "path": "stuck.csv", "stall_limit": "500ms", "on_stall": "drop"}
    topology["sinks"] = {"raw": {"type": "hbuf", "path": "raw.dt-raw", "journal": False}, "stuck": stalling}
    running = lab.start(topology)
    running.wait_until("running")
    running.wait_for_samples("stuck", 500)
    running.pause("stuck")
    running.wait_until("stalled", "stuck")
    return running.finish()


def test_a_block_sink_that_holds_the_board_too_long_is_overruled_and_its_gap_has_the_cause(lab: Any) -> None:
    ended = _stopped_sink(lab)
    assert ended.code == 3, ended.stderr
    record = ended.json
    assert record["sinks"]["stuck"]["restarts"] >= 1
    assert "stalled" in {cause for _, _, cause in _gaps(lab, "stuck")}
    for name, path in (("raw", "raw.dt-raw"), ("stuck", "stuck.csv")):
        sink = record["sinks"][name]
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == 12_000
        index, values = read_wide(lab.run_folder / path)
        assert len(index) == sink["samples"]
        assert np.array_equal(values, counter_codes(2, 0, 12_000)[:, index])
    assert record["sinks"]["raw"]["gaps"] < record["sinks"]["stuck"]["gaps"]
    assert lab.dtopipe("verify", "lab").code == 3


def test_what_passes_while_a_drop_viewer_is_dead_has_its_cause(lab: Any) -> None:
    topology = counter_topology(2, 10, rate_hz=2000.0) | {"ring": {"slots": 64}, "duration": "4s"}
    topology["sinks"] = {
        "raw": {"type": "hbuf", "path": "raw.dt-raw", "journal": False},
        "view": {"type": "csv", "path": "view.csv", "policy": "drop"},
    }
    running = lab.start(topology)
    running.wait_until("running")
    running.wait_for_samples("view", 500)
    running.kill("view")
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    view = ended.json["sinks"]["view"]
    assert view["restarts"] == 1
    assert view["samples"] + view["gaps"] == 8000
    assert "worker_failed" in {cause for _, _, cause in _gaps(lab, "view")}
    index, values = read_wide(lab.run_folder / "view.csv")
    assert len(index) == view["samples"]
    assert np.array_equal(values, counter_codes(2, 0, 8000)[:, index])
