"""BLOCK sinks that fall behind the ring read on from the journal, and return without a seam."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, Lab, counter_codes, counter_topology, read_wide


def _topology(**extra: Any) -> dict[str, Any]:
    """A ring of four tenths of a second, and a board that holds as much."""
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"sinks": EVERY_SINK, "ring": {"slots": 40}} | extra
    topology["task"]["driver_buffers"] = 40
    # Deaths soon after the start count double: it is not the budget that is tested here.
    own = {"flush_interval": "50ms", "restart": {"max": 50}}
    topology["sinks"] = {name: {**sink, **own} for name, sink in topology["sinks"].items()}
    return topology


def _assert_whole(lab: Any, end: int) -> None:
    expected = counter_codes(2, 0, end)
    for name, sink in EVERY_SINK.items():
        index, values = read_wide(lab.run_folder / sink["path"])
        assert np.array_equal(index, np.arange(end)), name
        assert np.array_equal(values, expected), name


def _log(lab: Lab, name: str) -> str:
    return (lab.run_folder / "logs" / f"{name}.log").read_text()


@pytest.mark.parametrize("victim", ["table", "columns"])
def test_a_sink_stopped_for_longer_than_the_ring_misses_nothing_and_holds_nobody_up(lab: Any, victim: str) -> None:
    running = lab.start(_topology())
    running.wait_for_samples(victim, 200)
    running.pause(victim)
    running.wait_for_samples("raw", 2500)
    running.go_on(victim)
    running.wait_for_samples(victim, 3000)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    _assert_whole(lab, ended.json["acquired"]["end_sample_index"])
    assert "reading on from the journal" in _log(lab, victim)
    assert "back in the ring" in _log(lab, victim)
    assert lab.dtopipe("verify", "lab").code == 0


@pytest.mark.parametrize("victim", ["lines", "base"])
def test_a_sink_killed_again_and_again_goes_on_from_the_journal(lab: Any, victim: str) -> None:
    running = lab.start(_topology())
    for times in (2, 3):
        running.wait_for_samples("raw", 500 * times)
        running.kill(victim)
        running.wait_until("ready", victim, times=times)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    _assert_whole(lab, ended.json["acquired"]["end_sample_index"])


def test_a_sink_that_lags_at_the_end_drains_from_the_journal(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 500)
    running.pause("table")
    running.wait_for_samples("raw", 2500)
    running.interrupt()
    running.wait_until("done", "raw")
    running.go_on("table")
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    _assert_whole(lab, ended.json["acquired"]["end_sample_index"])


def test_gaps_of_the_board_come_through_the_journal_with_their_causes(lab: Any) -> None:
    topology = _topology()
    topology["board"] |= {
        "overruns": [{"at": 1500, "samples": 500}, {"at": 2500, "samples": 20}],
        "max_samples": 5000,
    }
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    running.pause("table")
    running.wait_for_samples("raw", 4000)
    running.go_on("table")
    ended = running.finish()
    assert ended.code == 3, ended.stderr
    lines = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    for sink in EVERY_SINK:
        found = [(line["start"], line["stop"], line["cause"]) for line in lines if line["sink"] == sink]
        assert sorted(found) == [(1500, 2000, "board_overrun"), (2500, 2520, "board_overrun")], sink


def test_segments_are_read_across_their_ends(lab: Any) -> None:
    topology = _topology()
    topology["sinks"]["raw"] |= {"segment": "4kB"}
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    running.pause("table")
    running.wait_for_samples("raw", 4000)
    running.go_on("table")
    running.wait_for_samples("table", 4000)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    end = ended.json["acquired"]["end_sample_index"]
    assert len(list(lab.run_folder.glob("raw.*.dt-raw"))) > 3
    index, values = read_wide(lab.run_folder / "table.csv")
    assert np.array_equal(index, np.arange(end))
    assert np.array_equal(values, counter_codes(2, 0, end))
    assert lab.dtopipe("verify", "lab").code == 0


def test_a_killed_journal_is_succeeded_and_covers_on(lab: Any) -> None:
    running = lab.start(_topology() | {"ring": {"seconds": 2}})
    running.wait_for_samples("raw", 500)
    running.kill("raw")
    running.wait_until("ready", "raw", times=2)
    running.wait_for_samples("table", 2500)
    running.pause("table")
    running.wait_for_samples("raw", 8000)
    running.go_on("table")
    running.wait_for_samples("table", 8000)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    _assert_whole(lab, ended.json["acquired"]["end_sample_index"])


def test_without_a_journal_a_stopped_sink_holds_the_board(lab: Any) -> None:
    topology = _topology()
    topology["sinks"]["raw"] |= {"journal": False}
    topology["task"]["driver_buffers"] = 4
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    running.pause("table")
    lab.wait_for(
        lambda: "waiting for table" in lab.dtopipe("status", "--json").json["board"]["state"], "a board that waits"
    )
    lab.let_pass(0.2)
    running.go_on("table")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 3, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] > 0
    for sink in ended.json["sinks"].values():
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"]
