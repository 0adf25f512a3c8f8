"""Whether an output of an ended run tells of its marks, where it has a place for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dtopipe.core.lifecycle import SinkState
from dtopipe.model.errors import DtopipeError
from dtopipe.model.marks import Mark
from dtopipe.sinks.contract import MarkedReader
from dtopipe.verify.outputs import Output
from dtopipe.verify.report import OutputReport


def marks_checked(
    report: OutputReport, output: Output, record: Mapping[str, Any], marks: Sequence[Mark]
) -> OutputReport:
    """The report, with what the output lacks of these marks; one that is not complete has them with its completion."""
    if record.get("verdict") is None or output.record["state"] != SinkState.DONE or report.unreadable:
        return report
    n_absent = len(absent_marks(output, marks))
    if not n_absent:
        return report
    problem = f"it lacks {n_absent} of the run's {len(marks)} marks, which a repair brings"
    return replace(report, problems=(*report.problems, problem))


def absent_marks(output: Output, marks: Sequence[Mark]) -> list[Mark]:
    """Those that the output does not tell of, though it has a place for them; none where it cannot be read."""
    if not marks:
        return []
    try:
        reader = output.reader()
        if not isinstance(reader, MarkedReader):
            return []
        there = {mark.number for mark in reader.marks()}
    except (DtopipeError, OSError, ValueError):
        return []
    return [mark for mark in marks if mark.number not in there]
