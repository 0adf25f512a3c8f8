"""A sink that hands its samples on has no output to recount: that is said, and what was wrong by then stays wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import SINKS, edit_record, items_of, record_run, stream_of, verified

from dtopipe.core.verdict import VerdictState
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.sinks.registry import known_sink_type
from dtopipe.verify import outputs


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good run; what its sink `view` wrote is gone, as that of a stream is."""
    items = [item for item in items_of(stream_of(), 300) if isinstance(item, Block | Gap)]
    folder = record_run(tmp_path / "run", {name: SINKS[name] for name in ("archive", "view", "table")}, items)
    for path in folder.glob("view.csv*"):
        path.unlink()
    kept = {name: known_sink_type(name) for name in ("hbuf", "csv", "sqlite")}
    kept["csv"] = replace(kept["csv"], keeps_samples=False)
    monkeypatch.setattr(outputs, "known_sink_type", lambda name: kept[name])
    return folder


def test_it_is_no_fault_of_the_run_that_nothing_of_it_is_there(run: Path) -> None:
    found = verified(run)
    assert found.verdict.state is VerdictState.GOOD
    assert [report.name for report in found.outputs] == ["archive", "table"]
    assert found.not_looked_at == ()
    assert found.handed_on == (
        "view was not looked at: a sink of type csv hands its samples on and keeps none; the run recorded 300 of 300",
    )
    assert "whole in 2 outputs" in found.verdict.text, "it is none of those that were recounted"
    assert "not looked at, for they keep no samples: view" in found.verdict.text


def test_what_it_did_not_hand_on_counts_as_recorded(run: Path) -> None:
    def lacks_some(record: dict[str, dict[str, dict[str, int]]]) -> None:
        record["sinks"]["view"] |= {"samples": 290, "gaps": 10}

    edit_record(run, lacks_some)
    assert verified(run).verdict.state is VerdictState.INCOMPLETE
    assert "view lacks 10 of 300 samples" in verified(run).verdict.text
    assert "the run recorded 290 of 300" in verified(run).handed_on[0]


def test_a_failure_of_it_counts_as_recorded(run: Path) -> None:
    edit_record(run, lambda record: record["sinks"]["view"].update(failure="gave up after 5 restarts"))
    assert verified(run).verdict.state is VerdictState.DEGRADED
