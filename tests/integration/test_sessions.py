"""A run belongs to its folder: other sessions, other users, logouts and sweeps change nothing about it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, counter_topology, read_wide

from dtopipe.host.run_folder import RunFolder, find_living_run, find_run, runs_in_progress
from dtopipe.host.run_life import holder_of, reached
from dtopipe.model.errors import UsageError
from dtopipe.shm.segment import names, unlink

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="links without files are Linux's")


def _topology(**extra: Any) -> dict[str, Any]:
    sinks = {"raw": {"type": "hbuf", "path": "raw.dt-raw"}, "table": {"type": "csv", "path": "table.csv"}}
    return counter_topology(2, 20, rate_hz=2000.0) | {"ring": {"seconds": 4}, "sinks": sinks} | extra


def test_a_run_outlives_its_runtime_folder_and_the_name_of_its_memory(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 200)
    facts = reached(RunFolder(running.folder))
    assert facts
    shutil.rmtree(Path(os.environ["DTOPIPE_RUNTIME_DIR"]))
    unlink(facts.segment)
    running.kill("table")
    running.kill("raw")
    running.wait_until("ready", "table", times=2)
    running.wait_until("ready", "raw", times=2)
    # Asked by its folder at once; by its user's runtime folder as soon as that is made anew.
    assert running.status() is not None
    lab.wait_for(lambda: [run.path for run in runs_in_progress()] == [running.folder], "entry that is made anew")
    assert facts.segment not in names()
    added = lab.dtopipe("attach", "--sink", "jsonl", "--name", "look")
    assert added.code == 0, added.stderr
    assert lab.dtopipe("stop").code == 0
    assert running.finish().code == 0
    record = json.loads((running.folder / "run.json").read_text())
    index, values = read_wide(running.folder / "table.csv")
    assert np.array_equal(index, np.arange(record["acquired"]["end_sample_index"]))
    assert np.array_equal(values, counter_codes(2, 0, len(index)))


def test_a_lock_and_mark_that_were_taken_away_are_made_anew(lab: Any) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("table", 200)
    mark = (running.folder / "run.lock").read_text()
    (running.folder / "run.lock").unlink()
    lab.wait_for((running.folder / "run.lock").exists, "run.lock that is made anew")
    assert (running.folder / "run.lock").read_text() == mark
    holder = holder_of(RunFolder(running.folder))
    assert holder is not None
    assert holder.words == "in progress"
    running.interrupt()
    assert running.finish().code == 0


def test_a_name_that_fits_two_runs_is_refused_with_both_paths(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab.start(_topology(), "--run-dir", "runs")
    first.wait_for_samples("table", 100)
    one = first.folder
    second = lab.start(_topology(), "--run-dir", "more")
    lab.wait_for(lambda: len(list(runs_in_progress())) == 2, "second run")
    other = next(run.path for run in runs_in_progress() if run.path != one)
    second._folder = other
    second.wait_for_samples("table", 100)
    nowhere = tmp_path / "nowhere"
    for find in (find_run, find_living_run):
        for wanted in ("lab", "lab/latest", None):
            with pytest.raises(UsageError) as refused:
                find(wanted, nowhere)
            assert str(one) in str(refused.value)
            assert str(other) in str(refused.value)
    # In the place that was named, there is one of that name; in the current folder there is one by chance.
    assert find_living_run("lab", tmp_path / "more").path == other
    monkeypatch.chdir(one.parents[2])
    for find in (find_run, find_living_run):
        for wanted in ("lab", "lab/latest"):
            with pytest.raises(UsageError, match="fits 2 runs"):
                find(wanted, Path("runs"))
    assert find_run(f"runs/lab/{one.name}", Path("runs")).path == one
    if one.name != other.name:
        assert find_run(f"lab/{other.name}", nowhere).path == other
    second.interrupt()
    assert second.finish().code == 0
    # It is over, and another of its name is not: who wants to speak with it may mean either.
    with pytest.raises(UsageError, match="fits 2 runs"):
        find_living_run("lab", tmp_path / "more")
    assert find_run("lab", tmp_path / "more").path == other
    assert find_living_run("lab", nowhere).path == one
    first.interrupt()
    assert first.finish().code == 0
