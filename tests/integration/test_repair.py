"""Outputs of runs that ended badly, refilled: whole, equal to the formula, and verify says so."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide


def _topology(**extra: Any) -> dict[str, Any]:
    return counter_topology(2, 20, rate_hz=2000.0) | {"sinks": EVERY_SINK, "ring": {"seconds": 4}} | extra


def _kill_everything(lab: Any, running: Any) -> None:
    victims = lab.processes()
    running.process.kill()
    for victim in victims:
        victim.kill()
    running.process.communicate()
    lab.wait_for(lambda: not lab.processes(), "end of the processes")


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return record


def _assert_whole(folder: Path, sinks: dict[str, Any] = EVERY_SINK) -> None:
    """Every output has every sample of the run, once, in order."""
    end = _record(folder)["acquired"]["end_sample_index"]
    for name, sink in sinks.items():
        index, values = read_wide(folder / sink["path"])
        assert np.array_equal(index, np.arange(end)), name
        assert np.array_equal(values, counter_codes(2, 0, end)), name


def test_after_kill_9_of_everything_every_output_is_refilled_to_the_last_sample(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_until("running")
    running.wait_for_samples("table", 1000)
    _kill_everything(lab, running)
    assert lab.dtopipe("verify", "lab").code == 5
    repaired = lab.dtopipe("repair", "lab", "--json")
    assert repaired.code == 0, repaired.stdout + repaired.stderr
    assert repaired.json["verdict"]["state"] == "GOOD (repaired)"
    assert repaired.json["first_verdict"]["state"] == "INTERRUPTED"
    verified = lab.dtopipe("verify", "lab", "--json")
    assert verified.code == 0, verified.stdout
    assert verified.json["verdict"]["state"] == "GOOD (repaired)"
    record = _record(lab.run_folder)
    assert record["first_verdict"]["state"] == "INTERRUPTED"
    assert (lab.run_folder / "gaps.jsonl").read_text() == ""
    _assert_whole(lab.run_folder)
    again = lab.dtopipe("repair", "lab", "--json")
    assert {output["how"] for output in again.json["outputs"]} == {"whole"}
