"""Processes that are killed, stopped or interrupted: nothing is left behind, and the record tells the truth."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide
from system import KILLED, go_on, pause


def _realtime(duration: str | None = None, **extra: Any) -> dict[str, Any]:
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"sinks": EVERY_SINK, "ring": {"seconds": 4}} | extra
    return topology | ({"duration": duration} if duration else {})


def _assert_the_record_is_true(lab: Any, record: dict[str, Any], sinks: dict[str, Any] = EVERY_SINK) -> None:
    """Counts are those of the files, and every sample there is right."""
    end = record["acquired"]["end_sample_index"]
    expected = counter_codes(2, 0, end)
    for name, sink in sinks.items():
        told = record["sinks"][name]
        assert told["start"] + told["samples"] + told["gaps"] == told["stop"] == end, name
        if end == 0 and not (lab.run_folder / sink["path"]).exists():
            continue
        index, values = read_wide(lab.run_folder / sink["path"])
        index, values = index[: told["samples"]], values[:, : told["samples"]]
        assert len(index) == told["samples"], name
        assert np.array_equal(values, expected[:, index]) if len(index) else True, name


def _assert_nothing_is_left(lab: Any) -> None:
    lab.wait_for_the_end_of_all()
    lab.recover_killed()
    lab.wait_for(lambda: not lab.segments(), "end of the shared memory")


def test_killed_sinks_are_restarted_and_go_on_behind_their_last_commits(lab: Any) -> None:
    running = lab.start(_realtime("4s"))
    running.wait_until("running")
    for number, victim in enumerate(EVERY_SINK):
        running.wait_for_samples(victim, 500 * (1 + number % 3))
        running.kill(victim)
    for victim in EVERY_SINK:
        running.wait_until("ready", victim, times=2)
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    record = ended.json
    assert {name: record["sinks"][name]["restarts"] for name in EVERY_SINK} == dict.fromkeys(EVERY_SINK, 1)
    _assert_the_record_is_true(lab, record)
    assert record["acquired"]["end_sample_index"] == 8000
    assert lab.dtopipe("verify", "lab").code == 0
    _assert_nothing_is_left(lab)


def test_a_killed_acquirer_is_succeeded_and_the_hole_has_its_cause(lab: Any) -> None:
    running = lab.start(_realtime("4s"))
    running.wait_until("running")
    running.wait_for_samples("table", 1000)
    running.kill("acquirer")
    ended = running.finish()
    record = ended.json
    assert ended.code == 3, ended.stderr
    assert record["acquired"]["end_sample_index"] == 8000
    lines = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    assert {line["cause"] for line in lines} == {"acquirer_restart"}
    assert {line["sink"] for line in lines} == {None, *EVERY_SINK}
    _assert_the_record_is_true(lab, record)
    assert lab.dtopipe("verify", "lab").code == 3
    _assert_nothing_is_left(lab)


def test_a_killed_acquirer_of_a_board_that_waits_loses_nothing(lab: Any) -> None:
    # Not over before it is killed.
    slow = EVERY_SINK["raw"] | {"delay_per_block": "1ms"}
    topology = counter_topology(2, 20, pace="max", max_samples=40_000)
    running = lab.start(topology | {"sinks": EVERY_SINK | {"raw": slow}, "ring": {"slots": 16}})
    running.wait_until("running")
    running.wait_for_samples("table", 1000)
    running.kill("acquirer")
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"] == {**ended.json["acquired"], "samples": 40_000, "overrun_samples": 0}
    # Its samples are ahead of the clock: the successor's are too.
    with (lab.run_folder / "table.csv").open(newline="") as file:
        times = [(int(row["t_mono_ns"]), row["t_utc"]) for row in csv.DictReader(file)]
    assert all(one[0] < next_one[0] and one[1] < next_one[1] for one, next_one in pairwise(times))
    _assert_the_record_is_true(lab, ended.json)
    _assert_nothing_is_left(lab)


def test_a_killed_supervisor_leaves_an_orderly_end_and_the_next_stop_completes_the_record(lab: Any) -> None:
    running = lab.start(_realtime())
    running.wait_until("running")
    running.wait_for_samples("table", 1000)
    running.kill_supervisor()
    lab.wait_for_the_end_of_all()
    listed = lab.dtopipe("runs", "--json")
    assert listed.json[-1]["verdict"]["state"] == "INTERRUPTED"
    assert listed.json[-1]["remedy"] == f"dtopipe repair {lab.run_folder}"
    assert "INTERRUPTED" in lab.dtopipe("status", "lab").stdout
    assert lab.dtopipe("verify", "lab").code == 5
    assert json.loads((lab.run_folder / "run.json").read_text())["verdict"] is None
    stopped = lab.dtopipe("stop", "lab")
    assert (stopped.code, "INTERRUPTED" in stopped.stdout) == (5, True), stopped.stderr
    record = json.loads((lab.run_folder / "run.json").read_text())
    for name in EVERY_SINK:
        assert record["sinks"][name]["gaps"] == 0, name
    _assert_the_record_is_true(lab, record)
    assert "INTERRUPTED" in lab.dtopipe("status", "lab").stdout
    assert lab.dtopipe("verify", "lab").code == 5
    _assert_nothing_is_left(lab)


def test_when_every_process_is_killed_at_once_the_record_tells_what_is_in_each_output(lab: Any) -> None:
    running = lab.start(_realtime())
    running.wait_until("running")
    running.wait_for_samples("table", 1000)
    victims = lab.processes()
    running.process.kill()
    for victim in victims:
        victim.kill()
    running.process.communicate()
    lab.wait_for_the_end_of_all()
    lab.recover_killed()
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert record["verdict"]["state"] == "INTERRUPTED"
    assert record["acquired"]["end_sample_index"] >= 1000
    for name in EVERY_SINK:
        told = record["sinks"][name]
        assert told["start"] + told["samples"] + told["gaps"] == told["stop"]
        assert told["samples"] == told["committed"]
    assert record["sinks"]["table"]["samples"] >= 1000
    _assert_nothing_is_left(lab)


@pytest.mark.parametrize("victim", ["table", "acquirer", "supervisor"])
def test_a_process_that_is_stopped_for_a_while_costs_nothing_that_the_ring_can_hold(lab: Any, victim: str) -> None:
    running = lab.start(_realtime("4s"))
    running.wait_until("running")
    running.wait_for_samples("table", 500)
    pid = running.process.pid if victim == "supervisor" else running.pid(victim)
    before = _committed(lab)
    pause(pid)
    if victim == "acquirer":
        lab.wait_for(lambda: lab.dtopipe("status", "--json").json["board"]["overrun_samples"] >= 0, "a look")
    else:
        lab.wait_for(lambda: _hbuf_samples(running.folder) > before + 1000, "a second of data past the stopped one")
    go_on(pid)
    ended = running.finish()
    record = ended.json
    if victim != "acquirer":
        assert ended.code == 0, ended.stderr
        assert record["acquired"]["overrun_samples"] == 0
    _assert_the_record_is_true(lab, record)
    _assert_nothing_is_left(lab)


def _committed(lab: Any) -> int:
    return _hbuf_samples(lab.run_folder)


def _hbuf_samples(folder: Path) -> int:
    from dtopipe.sinks.registry import load_reader

    return int(load_reader("hbuf")(folder / "raw.dt-raw").position().committed)


@pytest.mark.parametrize("phase", ["starting", "running", "draining"])
def test_ctrl_c_ends_in_order_in_each_phase(lab: Any, phase: str) -> None:
    running = lab.start(_realtime())
    if phase == "starting":
        running.wait_until("started")
    else:
        running.wait_until("running")
    if phase == "draining":
        running.interrupt()
        running.wait_until("draining")
    running.interrupt()
    ended = running.finish()
    if phase == "starting" and not ended.json["acquired"]["end_sample_index"]:
        # A run without a sample is whole in nothing.
        assert (ended.code, ended.json["verdict"]["state"]) == (3, "INCOMPLETE"), ended.stderr
    else:
        assert ended.code in ((0,) if phase != "draining" else (0, 4)), ended.stderr
    _assert_the_record_is_true(lab, ended.json)
    _assert_nothing_is_left(lab)


def test_a_sink_that_cannot_live_gives_up_and_the_others_are_whole(lab: Any) -> None:
    topology = _realtime("5s")
    topology["sinks"] = {**EVERY_SINK, "table": {**EVERY_SINK["table"], "restart": {"max": 1, "backoff": "10ms"}}}
    running = lab.start(topology)
    running.wait_until("running")
    running.wait_until("ready", "table")
    running.kill("table")

    def seen(name: str) -> int:
        return sum(event["event"] == name and event.get("process") == "table" for event in running.events())

    # Soon after it was ready a death counts double; on a busy machine it may not have been soon.
    lab.wait_for(lambda: seen("gave_up") or seen("ready") == 2, "table gave up, or its successor")
    if not seen("gave_up"):
        running.kill("table")
    running.wait_until("gave_up", "table")
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    record = ended.json
    assert record["verdict"]["state"] == "DEGRADED"
    assert KILLED in record["verdict"]["text"]
    assert record["sinks"]["table"]["state"] == "gave_up"
    assert record["sinks"]["table"]["gaps"] > 0
    for name in set(EVERY_SINK) - {"table"}:
        assert record["sinks"][name]["samples"] == 10_000, name
    _assert_the_record_is_true(lab, record)
    _assert_nothing_is_left(lab)


def test_an_essential_sink_that_gives_up_ends_the_run(lab: Any) -> None:
    topology = _realtime()
    topology["sinks"] = {
        **EVERY_SINK,
        "table": {**EVERY_SINK["table"], "essential": True, "restart": {"max": 1, "backoff": "10ms"}},
    }
    running = lab.start(topology)
    running.wait_until("running")
    running.wait_until("ready", "table")
    running.kill("table")
    ended = running.finish()
    assert ended.code == 5, ended.stderr
    assert ended.json["verdict"]["state"] == "ABORTED"
    _assert_the_record_is_true(lab, ended.json)
    _assert_nothing_is_left(lab)
