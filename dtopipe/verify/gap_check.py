"""Holds the gaps that an output names against `gaps.jsonl`, and the run's counts against both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dtopipe.core.verdict import VerdictState
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.verify.gaps import gaps_are_whole, read_gaps
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import common, joined, without
from dtopipe.verify.report import OutputReport, length, listed


def gaps_checked(report: OutputReport, output: Output, record: Mapping[str, Any], path: Path) -> OutputReport:
    """The report, with what its own gaps and `gaps.jsonl` say of each other, and the record of their number."""
    if report.unreadable:
        return report
    problems: list[str] = []
    wrong: list[Span] = []
    told = read_gaps(path)
    if path.is_file():
        is_complete = _is_complete(record) and gaps_are_whole(path)
        # What stands behind the last commit nobody has promised.
        covered = common([report.covered, [Span(int(output.record["start"]), int(output.record["committed"]))]])
        own = told.get(output.name, [])
        for span, problem in _contradictions(report.gaps, covered, own, is_complete=is_complete):
            wrong.append(span)
            problems.append(problem)
    dropped = length([gap.span for gap in report.gaps if gap.cause is Cause.POLICY_DROP])
    if not report.retained_from and dropped != output.record["dropped"]:
        problems.append(f"its gaps name {dropped} dropped samples, the run record {output.record['dropped']}")
    return replace(report, misnamed=tuple(joined(wrong)), problems=(*report.problems, *problems))


def run_inconsistencies(record: Mapping[str, Any], reports: Sequence[OutputReport], path: Path) -> list[str]:
    """What the run's own files say that cannot be true together, in words."""
    found = []
    counts = record["acquired"]
    first = counts.get("first_sample_index", 0)
    if first + counts["samples"] + counts["overrun_samples"] != counts["end_sample_index"]:
        found.append("the run record's counts of acquired samples do not add up")
    for name, sink in record["sinks"].items():
        if record.get("stream") and sink["start"] + sink["samples"] + sink["gaps"] != sink["stop"]:
            found.append(f"the run record's counts of {name} do not add up")
    if path.is_file():
        of_board = [gap.span for gap in read_gaps(path).get(None, [])]
        for report in reports:
            there = common([of_board, report.covered])
            if there:
                found.append(f"gaps.jsonl says that the board lost {listed(there)}, which {report.name} has")
    return found


def _contradictions(
    gaps: Sequence[Gap], covered: Sequence[Span], told: Sequence[Gap], *, is_complete: bool
) -> Iterator[tuple[Span, str]]:
    own, file = _by_cause(gaps), _by_cause(told)
    for cause, spans in own.items():
        for other, known in file.items():
            both = common([spans, known])
            for span in both if other is not cause else ():
                yield span, f"its gap {listed([span])} is {cause.value}, gaps.jsonl says {other.value}"
    named, absent = [gap.span for gap in told], [gap.span for gap in gaps]
    # What was not to be there may not have been told of: the gap grows until an event.
    to_be_named = [gap.span for gap in gaps if gap.cause is not Cause.NOT_TRIGGERED]
    for span in without(to_be_named, named) if is_complete else ():
        yield span, f"its gap {listed([span])} is not in gaps.jsonl"
    for span in common([without(named, absent), covered]):
        yield span, f"gaps.jsonl names {listed([span])} as absent from it, which is there"


def _by_cause(gaps: Iterable[Gap]) -> dict[Cause, list[Span]]:
    found: dict[Cause, list[Span]] = {}
    for gap in gaps:
        found.setdefault(gap.cause, []).append(gap.span)
    return {cause: joined(spans) for cause, spans in found.items()}


def _is_complete(record: Mapping[str, Any]) -> bool:
    """False for a run whose supervisor could not write all of them."""
    return (record.get("verdict") or {}).get("state") not in (None, VerdictState.INTERRUPTED)
