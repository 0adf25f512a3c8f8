"""Sinks that gave up and are revived, that are restarted on request, and that hang."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import psutil
import pytest
from laboratory import counter_codes, counter_topology, read_wide

from dtopipe.shm.layout import Call

RAW = {"type": "hbuf", "path": "raw.dt-raw"}
TABLE = {"type": "csv", "path": "table.csv", "flush_interval": "50ms"}
# What a sink does while blocks come.
AT_BLOCKS = [call.name.lower() for call in (Call.IDLE, Call.READ, Call.CONVERT, Call.APPEND, Call.COMMIT, Call.SYNC)]


def _topology(journal: bool, **table: Any) -> dict[str, Any]:
    """A board that runs until it is stopped; a ring of two seconds."""
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"ring": {"seconds": 2}}
    topology["task"]["driver_buffers"] = 100
    topology["sinks"] = {"raw": RAW | {"journal": journal}, "table": TABLE | table}
    return topology


def _gave_up(lab: Any, topology: dict[str, Any]) -> Any:
    """A run whose table has given up: it may not be restarted once."""
    topology["sinks"]["table"]["restart"] = {"max": 0}
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    running.kill("table")
    running.wait_until("gave_up", "table")
    return running


def _gaps(lab: Any, sink: str | None) -> list[tuple[int, int, str]]:
    lines = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    return [(line["start"], line["stop"], line["cause"]) for line in lines if line["sink"] == sink]


def _assert_true(lab: Any, record: dict[str, Any]) -> None:
    end = record["acquired"]["end_sample_index"]
    for name, path in (("raw", "raw.dt-raw"), ("table", "table.csv")):
        told = record["sinks"][name]
        index, values = read_wide(lab.run_folder / path)
        assert told["start"] + told["samples"] + told["gaps"] == told["stop"] == end, name
        assert len(index) == told["samples"], name
        assert np.array_equal(values, counter_codes(2, 0, end)[:, index]), name


def _end(lab: Any, running: Any) -> Any:
    running.interrupt()
    ended = running.finish()
    _assert_true(lab, ended.json)
    return ended


def test_a_sink_that_gave_up_is_revived_and_has_everything_from_the_journal(lab: Any) -> None:
    running = _gave_up(lab, _topology(journal=True))
    # Longer than the ring.
    running.wait_for_samples("raw", 7000)
    answer = lab.dtopipe("restart", "table", "--json")
    assert answer.code == 0, answer.stderr
    assert answer.json["state"] == "running"
    assert answer.json["restarts"] == 1
    running.wait_for_samples("table", 7000)
    ended = _end(lab, running)
    assert ended.code == 0, ended.stderr
    assert ended.json["verdict"]["state"] == "GOOD"
    assert ended.json["sinks"]["table"]["gaps"] == 0
    assert lab.dtopipe("verify", "lab").code == 0


def test_what_passed_while_a_sink_had_given_up_is_had_from_the_ring_if_it_is_still_there(lab: Any) -> None:
    running = _gave_up(lab, _topology(journal=False) | {"ring": {"seconds": 60}})
    assert lab.dtopipe("restart", "table").code == 0
    ended = _end(lab, running)
    assert ended.code == 0, ended.stderr
    assert ended.json["sinks"]["table"]["gaps"] == 0


@pytest.mark.parametrize("policy", ["block", "drop", "drop_newest"])
def test_what_neither_journal_nor_ring_has_any_more_is_a_gap_with_its_cause(lab: Any, policy: str) -> None:
    running = _gave_up(lab, _topology(journal=False, policy=policy) | {"ring": {"slots": 100}})
    running.wait_for_samples("raw", 4000)
    assert lab.dtopipe("restart", "table").code == 0
    reached = lab.dtopipe("status", "--json").json["sinks"]["raw"]["committed"]
    running.wait_for_samples("table", reached + 500)
    ended = _end(lab, running)
    assert ended.code == (3 if policy == "block" else 0), ended.stderr
    gaps = _gaps(lab, "table")
    assert gaps
    assert {cause for _, _, cause in gaps} == {"worker_failed"}
    # It goes on half a ring of 2000 samples behind the head, which was at 4000 before its process was even started.
    assert gaps[0][0] < 3000 <= gaps[-1][1]
    assert ended.json["sinks"]["table"]["gaps"] == sum(stop - start for start, stop, _ in gaps)
    assert lab.dtopipe("verify", "lab").code == ended.code


@pytest.mark.parametrize("journal", [True, False])
def test_a_sink_that_runs_is_restarted_in_order(lab: Any, journal: bool) -> None:
    running = lab.start(_topology(journal=journal))
    running.wait_for_samples("table", 500)
    first = running.pid("table")
    answer = lab.dtopipe("restart", "table")
    assert answer.code == 0, answer.stderr
    assert "table is running" in answer.stdout
    assert running.pid("table") != first
    running.wait_for_samples("table", 3000)
    ended = _end(lab, running)
    assert ended.code == 0, ended.stderr
    assert ended.json["sinks"]["table"]["gaps"] == 0
    assert ended.json["sinks"]["table"]["restarts"] == 1
    log = (lab.run_folder / "logs" / "table.log").read_text()
    assert log.count("ended in order") == 2
    assert [e["how"] for e in running.events() if e["event"] == "died"] == ["its process ended with exit code 0"]


def test_a_restart_that_cannot_be_is_refused_with_what_can(lab: Any) -> None:
    running = lab.start(_topology(journal=True))
    running.wait_for_samples("table", 500)
    answer = lab.dtopipe("restart", "tabel")
    assert answer.code == 2
    assert "there is no sink 'tabel'\n    did you mean table?" in answer.stderr
    running.interrupt()
    assert running.finish().code == 0
    answer = lab.dtopipe("restart", "table", "lab")
    assert answer.code == 1
    assert "is over" in answer.stderr
    assert "dtopipe repair" in answer.stderr


def test_a_crash_loop_ends_with_the_reason_and_the_end_of_the_log(lab: Any) -> None:
    running = lab.start(_topology(journal=True, restart={"max": 2, "backoff": "10ms"}))
    running.wait_for_samples("table", 500)
    # What it writes behind that would fill the file up again.
    running.pause("table")
    lab.wait_for(lambda: psutil.Process(running.pid("table")).status() == psutil.STATUS_STOPPED, "stop")
    (running.folder / "table.csv").write_bytes(b"")
    running.kill("table")
    running.wait_until("gave_up", "table")
    shown = lab.dtopipe("status", "--json").json["sinks"]["table"]
    running.interrupt()
    ended = running.finish()
    assert ended.code == 4, ended.stderr
    reason = "it has 0 bytes of the "
    said = [event for event in running.events() if event["event"] == "gave_up"]
    assert len(said) == 1
    assert re.match(rf"gave up after 2 failures in \d+ s: {re.escape(reason)}", said[0]["why"])
    assert 1 < len(said[0]["log"]) <= 10
    assert any(reason in line for line in said[0]["log"])
    assert shown["state"] == "gave_up"
    for told in (shown["failure"], ended.json["sinks"]["table"]["failure"], ended.json["verdict"]["text"]):
        assert said[0]["why"] in told


def _shown(lab: Any, sink: str) -> str:
    return str(lab.dtopipe("status", "--json").json["sinks"][sink]["state"])


def test_a_stopped_sink_is_shown_killed_after_its_limit_and_loses_nothing(lab: Any) -> None:
    running = lab.start(_topology(journal=True, hung_limit="4s"))
    running.wait_for_samples("table", 500)
    running.pause("table")
    lab.wait_for(lambda: re.match(rf"stopped in ({'|'.join(AT_BLOCKS)}) for ", _shown(lab, "table")), "word of it")
    running.wait_until("killed", "table")
    running.wait_until("ready", "table", times=2)
    assert _shown(lab, "table") == "running"
    ended = _end(lab, running)
    assert ended.code == 0, ended.stderr
    assert ended.json["sinks"]["table"]["restarts"] == 1
    [hung] = [event for event in running.events() if event["event"] == "hung"]
    assert hung["process"] == "table"
    # Whatever it was at when it was stopped.
    assert hung["how"].removeprefix("stopped in ") in AT_BLOCKS
    [killed] = [event for event in running.events() if event["event"] == "killed"]
    assert killed["why"] == f"{hung['how']} for 4 s"


def test_a_slow_sink_that_gets_on_is_never_hung(lab: Any) -> None:
    # Starting a process takes longer than a second on a busy machine, and eight blocks take longer than three.
    slow = {"policy": "drop", "delay_per_block": "600ms", "hung_limit": "3s"}
    running = lab.start(_topology(journal=True, **slow) | {"ring": {"slots": 8}})
    running.wait_for_samples("table", 80)
    running.interrupt()
    assert running.finish().code == 0
    assert not [event for event in running.events() if event["event"] in ("hung", "killed", "died")]


def test_a_stopped_supervisor_does_not_take_its_own_absence_for_that_of_others(lab: Any) -> None:
    running = lab.start(_topology(journal=True, hung_limit="2s"))
    running.wait_for_samples("table", 500)
    supervisor = psutil.Process(running.process.pid)
    supervisor.suspend()
    running.pause("table")
    lab.wait_for(lambda: len(read_wide(running.folder / "raw.dt-raw")[0]) > 8000, "four seconds of data")
    running.go_on("table")
    supervisor.resume()
    running.wait_for_samples("table", 8000)
    ended = _end(lab, running)
    assert ended.code == 0, ended.stderr
    assert not [event for event in running.events() if event["event"] == "killed"]


def test_a_stopped_acquirer_is_shown_and_succeeded_after_its_limit(lab: Any) -> None:
    topology = _topology(journal=True)
    topology["board"]["hung_limit"] = "2s"
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    running.pause("acquirer")
    lab.wait_for(lambda: "stopped in " in lab.dtopipe("status", "--json").json["board"]["state"], "word of it")
    running.wait_until("started", "acquirer", times=2)
    running.wait_for_samples("table", 4000)
    ended = _end(lab, running)
    assert ended.code == 3, ended.stderr
    assert {cause for _, _, cause in _gaps(lab, None)} == {"acquirer_restart"}
