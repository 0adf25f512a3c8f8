"""What `dtopipe chaos` calls broken: a promise that is not kept must not pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from laboratory import counter_topology

from dtopipe.chaos.faults import Fault, Kind
from dtopipe.chaos.judgement import broken_promises
from dtopipe.host.run_folder import RunFolder
from dtopipe.topology.load import load_plan

KILLED = [Fault(1.0, Kind.ACQUIRER, "acquirer")]


def judged(lab: Any, faults: list[Fault], change: Callable[[Path], Any] | None = None, **board: Any) -> str:
    """What is broken of a run of 2000 samples with one overrun, after `change` was made to its folder."""
    topology = counter_topology(2, 100, overruns=[{"at": 500, "samples": 250}], max_samples=2000, **board)
    topology["task"]["rate_hz"] = 20_000.0
    topology["sinks"] = {"raw": {"type": "hbuf", "path": "raw.dt-raw"}, "table": {"type": "csv", "path": "table.csv"}}
    lab.up(topology)
    folder = RunFolder(lab.run_folder)
    if change:
        change(folder.path)
    plan = load_plan(lab.folder / "topology.yaml", simulate=True, run_dir=lab.folder / "runs", rehearsal=True)
    return "\n".join(broken_promises(plan, folder, folder.read_record(), faults))


def rewritten(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def without_line(name: str, holding: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if holding not in line]
        assert len(kept) == len(lines) - 1
        (folder / name).write_text("".join(kept), encoding="utf-8")

    return change


def test_a_run_that_lost_what_it_says_has_broken_nothing(lab: Any) -> None:
    assert judged(lab, []) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_line("gaps.jsonl", '"table"'), "table: its gaps are [500, 750) board_overrun, gaps.jsonl says none"),
        (without_line("gaps.jsonl", '"sink": null'), "raw: its gaps are [500, 750) board_overrun, the board's none"),
        (rewritten("gaps.jsonl", "board_overrun", "acquirer_restart"), "its process was killed 0 times"),
        (rewritten("table.csv", "\n1000,", "\n1001,"), "table: 1 samples are there twice"),
    ],
)
def test_what_does_not_fit_is_named(lab: Any, change: Callable[[Path], Any], said: str) -> None:
    assert said in judged(lab, [], change)


def test_a_board_that_waits_must_not_lose_anything(lab: Any) -> None:
    assert "the board waits for its reader, and lost samples: [500, 750)" in judged(lab, KILLED, pace="max")
