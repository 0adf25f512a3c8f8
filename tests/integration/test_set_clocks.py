"""A wall clock that is set while a run goes on, and while its acquirer begins anew."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from laboratory import counter_topology

from dtopipe.chaos.levers import Levers
from dtopipe.model.clock import utc_ns


@pytest.fixture
def levers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Levers]:
    """Of every process that the test starts."""
    levers = Levers()
    for name, value in levers.environment.items():
        monkeypatch.setenv(name, value)
    yield levers
    levers.close()


@pytest.mark.parametrize("mode", ["continuous", "polled"])
def test_a_clock_that_is_set_back_is_told_and_reaches_no_sample_not_even_behind_a_restart(
    lab: Any, levers: Levers, mode: str
) -> None:
    topology = counter_topology(1, 1 if mode == "polled" else 50, rate_hz=100.0 if mode == "polled" else 1000.0)
    topology["task"]["mode"] = mode
    topology["sinks"] = {"table": {"type": "csv", "path": "table.csv"}}
    running = lab.start(topology)
    running.wait_for_samples("table", 50)
    levers.set_clock(-3600.0)
    running.wait_until("clock_stepped")
    running.kill("acquirer")
    running.wait_until("died", "acquirer")
    status = running.status()
    assert status is not None
    set_at = status["board"]["end_sample_index"]
    running.wait_for_samples("table", set_at + 100)
    running.interrupt()
    assert running.finish().code == 3
    with (lab.run_folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["sample_index"]) > set_at
    times = [(int(row["t_mono_ns"]), utc_ns(row["t_utc"])) for row in rows]
    assert all(one[0] < later[0] and one[1] < later[1] for one, later in pairwise(times))
    # A reading's own time is half its latency behind its request.
    offsets = [t_utc_ns - t_mono_ns for t_mono_ns, t_utc_ns in times]
    assert max(offsets) - min(offsets) < 1_000_000_000
    record = lab.dtopipe("status", str(lab.run_folder), "--json").json
    assert "the wall clock was set back by 3600.0" in record["verdict"]["text"]
    assert [step["event"] for step in record["clock"]["steps"]] == ["clock_stepped"]
