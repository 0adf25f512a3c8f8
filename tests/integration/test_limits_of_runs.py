"""Limits and commands in whole runs: watched through a kill, told once, and in the verdict; commands beside the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from laboratory import Lab, counter_topology

from dtopipe.host.run_folder import RunFolder

# It writes what it is told; of a start it does not end before it may, and of the verdict it looks at the run.
COMMAND = """
import json, pathlib, sys, time
event = json.load(sys.stdin)
if event["event"] == "verdict":
    import dtopipe
    event["frame"] = list(dtopipe.load(event["folder"]).frame(["ch0"]).shape)
with open("told.jsonl", "a") as file:
    file.write(json.dumps(event) + "\\n")
while event["event"] == "start" and not pathlib.Path("go").exists():
    time.sleep(0.01)
"""
# The counter of ch0 is above its limit from sample 3001 on, that of ch1 below its own up to sample 503.
LIMITS = {"ch0": {"high": -29768}, "ch1": {"low": -31000, "for": "100ms"}}
SINKS = {"raw": {"type": "hbuf", "path": "raw.dt-raw"}, "table": {"type": "csv", "path": "table.csv"}}


@pytest.fixture(autouse=True)
def commands_that_end(lab: Lab) -> Iterator[None]:
    """None outlives its test."""
    yield
    (lab.folder / "go").touch()


def _topology(lab: Lab, **more: Any) -> dict[str, Any]:
    (lab.folder / "command.py").write_text(COMMAND)
    return counter_topology(2, 20, rate_hz=2000.0) | {"sinks": SINKS, "limits": LIMITS} | more


def _told(lab: Lab) -> list[dict[str, Any]]:
    path = lab.folder / "told.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_watcher_that_is_killed_misses_nothing_and_a_command_that_hangs_is_in_nobodys_way(lab: Lab) -> None:
    argv = [sys.executable, "command.py"]
    on = {"start": argv, "limit": argv, "verdict": argv}
    running = lab.start(_topology(lab, on=on, duration="4s"))
    running.wait_until("limit_crossed", "limits", times=2)
    status = running.status()
    assert status is not None
    (now,) = status["limits"]["now"]
    assert now.startswith("ch0 above -29768 since ")
    # How far it has got is another number by now.
    assert now.partition(", up to")[0] in " ".join(lab.dtopipe("status").stdout.split())
    assert list(status["sinks"]) == ["raw", "table"]
    running.kill("limits")
    running.wait_until("ready", "limits", times=2)
    # Behind the end of the run its command reads it, and the one that hangs is waited for until somebody is impatient.
    lab.wait_for(lambda: _told(lab) and _told(lab)[-1]["event"] == "verdict", "command of the verdict")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert "on start: " in ended.stderr
    assert "still runs, and is left to itself" in ended.stderr

    record = ended.json
    verdict = record["verdict"]
    assert verdict["state"] == "GOOD"
    assert "8000 samples per channel, whole in 2 outputs; ch0 above -29768 for 2.5 s at " in verdict["text"]
    assert ", to the end; ch1 below -31000 for 0.252 s at " in verdict["text"]
    assert "not watched" not in verdict["text"]
    limits = record["limits"]
    assert (limits["watcher"]["restarts"], limits["watcher"]["missed_samples"]) == (1, 0)
    assert list(record["sinks"]) == ["raw", "table"]

    events = [line for line in running.events() if line["event"].startswith("limit_")]
    told = [(line["event"], line["channel"], line["began"], line.get("stop"), line.get("then")) for line in events]
    assert sorted(told) == [
        ("limit_crossed", "ch0", 3001, None, None),
        ("limit_crossed", "ch1", 0, None, None),
        ("limit_over", "ch0", 3001, 8000, "end"),
        ("limit_over", "ch1", 0, 504, "inside"),
    ]
    # That of the verdict may just be ending.
    left = [line["on"] for line in running.events() if line["event"] == "command_left"]
    assert left in (["start"], ["start", "verdict"])
    documents = {(each["event"], each.get("channel")): each for each in _told(lab)}
    assert list(documents) == [("start", None), ("limit", "ch1"), ("limit", "ch0"), ("verdict", None)]
    assert documents["verdict", None]["frame"] == [8000, 1]
    assert documents["verdict", None]["folder"] == str(lab.run_folder)
    assert documents["limit", "ch0"]["began_value"] == -29767

    checked = lab.dtopipe("verify", "lab", "--json")
    assert checked.code == 0, checked.stdout
    assert lab.dtopipe("verify", "lab").stdout.count("limits") == 0
    # The record holds in any folder, and only `up` runs what it names.
    assert len(_told(lab)) == 4
    recorded = (lab.run_folder / "topology.yaml").read_text()
    assert str(lab.folder / "command.py") in recorded
    lab.wait_for_the_end_of_all()


def test_a_crossing_of_a_run_whose_supervisor_is_killed_is_in_its_verdict(lab: Lab) -> None:
    topology = _topology(lab)
    running = lab.start(topology)
    running.wait_until("limit_crossed", "limits", times=2)
    running.kill_supervisor()
    lab.wait_for_the_end_of_all()
    lab.recover_killed()
    record = RunFolder(lab.run_folder).read_record()
    assert record["verdict"]["state"] == "INTERRUPTED"
    assert "ch0 above -29768 for " in record["verdict"]["text"]
    assert ", and longer; ch1 below -31000 for 0.252 s at " in record["verdict"]["text"]
