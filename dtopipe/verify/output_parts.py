"""The parts of an output that is split, each as an output by itself: so they are recounted and repaired."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dtopipe.core.lifecycle import SinkState
from dtopipe.host.recorded_path import fault_of, special_fault
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.splitting import held_to, layout_of
from dtopipe.sinks.parts.names import part_path
from dtopipe.sinks.parts.reader import own_parts
from dtopipe.verify.gaps import read_gaps
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import joined
from dtopipe.verify.report import OutputReport, length
from dtopipe.wire.commit_snapshot import CommitSnapshot, read_whole_part


def in_parts(output: Output, folder: Path, quiet: Sequence[Span] = ()) -> list[Output]:
    """Every part that the output has or should have, in order; the output itself where it is not split.

    Which there should be follows from the run record and the gaps: those of the parts themselves and of `gaps.jsonl`,
    and `quiet`: what a triggered output is not to have, which may lie behind its last commit.
    """
    if not output.part_samples or output.path is None:
        return [output]
    whole = Span(int(output.record["start"]), int(output.record["stop"]))
    there = own_parts(output.path, output.run_id)
    snapshots = {number: _snapshot(file, output.run_id) for number, file in there.items()}
    gaps = _gaps_of(output, [each for each in snapshots.values() if each is not None], folder)
    absent = joined(span.intersection(whole) for span in (*quiet, *(gap.span for gap in gaps)))
    spans = {
        number: Span(each.position.start, each.position.committed)
        for number, each in snapshots.items()
        if each is not None
    }
    expected = dict(held_to(list(layout_of(whole, output.part_samples, absent)), spans, absent))
    found = []
    for number in sorted({*expected, *there}):
        # One that should not be there has nothing to hold.
        span = expected.get(number, Span(whole.stop, whole.stop))
        found.append(_part(output, number, span, gaps, folder, is_last=number == max(expected)))
    return found


def _snapshot(file: Path, run_id: str) -> CommitSnapshot | None:
    with contextlib.suppress(OSError, WireError):
        return read_whole_part(file, run_id)
    return None


def _gaps_of(output: Output, snapshots: Sequence[CommitSnapshot], folder: Path) -> list[Gap]:
    own = [gap for snapshot in snapshots for gap in snapshot.gaps]
    told = read_gaps(folder / "gaps.jsonl")
    committed = int(output.record["committed"])
    # What is absent behind the last commit may be had: its parts are those of samples.
    return [*own, *told.get(None, []), *(gap for gap in told.get(output.name, []) if gap.span.start < committed)]


def _part(output: Output, number: int, span: Span, gaps: Sequence[Gap], folder: Path, *, is_last: bool) -> Output:
    if output.path is None:
        raise ValueError("an output in parts has a path")
    path, record = part_path(output.path, number), output.record
    named = part_path(Path(str(record["path"])), number)
    fault = special_fault(path) if named.is_absolute() else fault_of(folder, str(named))
    committed = min(span.stop, max(span.start, int(record["committed"])))
    absent = joined(gap.span.intersection(Span(span.start, committed)) for gap in gaps)
    dropped = [gap.span.intersection(span) for gap in gaps if gap.cause is Cause.POLICY_DROP]
    facts = {
        **record,
        "start": span.start,
        "stop": span.stop,
        "committed": committed,
        "durable": min(span.stop, max(span.start, int(record["durable"]))),
        "samples": committed - span.start - length(absent),
        "gaps": length(absent) + span.stop - committed,
        "dropped": length(joined(dropped)),
    }
    if not is_last and facts["state"] != SinkState.DETACHED:
        facts["state"] = SinkState.DONE.value
    return replace(
        output,
        place=str(path),
        path=None if fault else path,
        record=facts,
        not_opened=fault.message if fault else "",
        part_samples=0,
        part=number,
        is_last_part=is_last,
    )


def together(output: Output, parts: Sequence[Output], reports: Sequence[OutputReport]) -> OutputReport:
    """The report of an output that has these parts, of those of the parts."""
    problems = [
        f"{Path(part.place).name}: {problem}"
        for part, report in zip(parts, reports, strict=True)
        for problem in report.problems
    ]
    compared = list(dict.fromkeys(report.compared_with for report in reports if report.compared_with))
    not_compared = list(dict.fromkeys(report.not_compared for report in reports if report.not_compared))
    return OutputReport(
        name=output.name,
        path=output.place,
        rows=sum(report.rows for report in reports),
        samples=sum(report.samples for report in reports),
        gaps=tuple(gap for report in reports for gap in report.gaps),
        covered=_all(report.covered for report in reports),
        missing=_all(report.missing for report in reports),
        doubled=_all(report.doubled for report in reports),
        unexpected=_all(report.unexpected for report in reports),
        differing=_all(report.differing for report in reports),
        mistimed=_all(report.mistimed for report in reports),
        misstated=_all(report.misstated for report in reports),
        disordered=any(report.disordered for report in reports),
        unreadable=any(report.unreadable for report in reports),
        compared_with="; ".join(compared) or None,
        not_compared="; ".join(not_compared) or None,
        damage=tuple(damage for report in reports for damage in report.damage),
        nulls=tuple(null for report in reports for null in report.nulls),
        problems=tuple(problems),
        parts=tuple(reports),
    )


def _all(spans: Iterable[Sequence[Span]]) -> tuple[Span, ...]:
    return tuple(joined(span for some in spans for span in some))
