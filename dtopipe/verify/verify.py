"""`verify`: every output recounted from its own bytes, against the run record and the raw samples. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from dtopipe.core.verdict import SinkOutcome, Verdict, VerdictState, judge_recorded
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import DtopipeError
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.verify.gaps import board_gaps
from dtopipe.verify.outputs import Output, outputs_of, raw_output
from dtopipe.verify.recount import Counted, Recount, joined, without
from dtopipe.verify.reference import Reference, before, differing, sound_batches


@dataclass(frozen=True, slots=True)
class OutputReport:
    """What one output really holds; spans of sample indices. `problems` is empty if it is what the record says.

    `retained_from`: a journal's first sample, where it has retired what is before; `retired`: how many samples.
    """

    name: str
    path: str
    rows: int = 0
    samples: int = 0
    gaps: tuple[Gap, ...] = ()
    missing: tuple[Span, ...] = ()
    doubled: tuple[Span, ...] = ()
    unexpected: tuple[Span, ...] = ()
    differing: tuple[Span, ...] = ()
    disordered: bool = False
    unreadable: bool = False
    compared_with: str | None = None
    retained_from: int = 0
    retired: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunReport:
    """What `verify` found; `verdict` is that of the outputs as they are now.

    `gaps`: of the board (None) and of each sink, as `gaps.jsonl` should have them.
    """

    folder: str
    recorded: Mapping[str, Any] | None
    verdict: Verdict
    outputs: tuple[OutputReport, ...] = field(default=())
    gaps: Mapping[str | None, Sequence[Gap]] = field(default_factory=dict)
    has_gaps_file: bool = True


def verify_run(
    folder: RunFolder,
    record: Mapping[str, Any],
    on_rows: Callable[[str, int], None] = lambda name, rows: None,
) -> RunReport:
    """Recount a run against its record. `on_rows(output, rows so far)` shows progress. Raises WireError."""
    outputs = outputs_of(folder, record)
    reports = [_verified(output, _comparisons_of(output, outputs), on_rows) for output in outputs]
    gaps_path = folder.path / "gaps.jsonl"
    gaps: dict[str | None, Sequence[Gap]] = {None: board_gaps(gaps_path, outputs)}
    gaps |= {report.name: report.gaps for report in reports}
    return RunReport(
        folder=str(folder.path),
        recorded=record.get("verdict"),
        verdict=_verdict(record, outputs, reports),
        outputs=tuple(reports),
        gaps=gaps,
        has_gaps_file=gaps_path.is_file(),
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Outputs that another one's values are held against, all of which must disagree with it; up to sample `stop`."""

    others: Sequence[Output]
    stop: int | None = None

    def text(self, between: str) -> str:
        """Their names, as in a sentence."""
        before = "" if self.stop is None else f"before sample {self.stop:,} "
        return before + between.join(other.name for other in self.others)


def _comparisons_of(output: Output, outputs: Sequence[Output]) -> list[_Comparison]:
    """What an output's values are held against: the run's raw file.

    Where there is none, or not any more, two of the other outputs: where those agree, it is this one that is wrong.
    """
    raw = raw_output(outputs)
    if raw is output:
        return []
    found = [] if raw is None else [_Comparison([raw])]
    retained_from = None if raw is None else raw.retained_from()
    if retained_from != 0:
        rest = [other for other in outputs if other is not output and other is not raw]
        others = [other for other in rest if other.is_wide and _is_readable(other)]
        others.sort(key=lambda other: other.policy is not Policy.BLOCK)
        found += [_Comparison(others[:2], retained_from)] if others else []
    return found


def _is_readable(output: Output) -> bool:
    try:
        output.reader().position()
    except (DtopipeError, OSError, ValueError):
        return False
    return True


def _verified(output: Output, comparisons: Sequence[_Comparison], on_rows: Callable[[str, int], None]) -> OutputReport:
    try:
        return _recounted(output, comparisons, on_rows)
    except (DtopipeError, OSError, ValueError) as error:
        return OutputReport(output.name, output.place, unreadable=True, problems=(f"cannot be read: {error}",))


def _recounted(output: Output, comparisons: Sequence[_Comparison], on_rows: Callable[[str, int], None]) -> OutputReport:
    reader = output.reader()
    references = [
        ([Reference(other.reader(), _numbers(output, other)) for other in each.others], each.stop)
        for each in comparisons
    ]
    # By channel in the long layout; a row of the wide one is a row of every channel.
    counts: dict[int | None, Recount] = {}
    wrong: list[Span] = []
    rows_seen = 0
    damage: list[str] = []
    for rows in sound_batches(reader, damage.append):
        counts.setdefault(rows.channel, Recount()).add(rows.sample_index)
        for group, stop in references:
            part = rows if stop is None else before(rows, stop)
            differ = reduce(np.intersect1d, (differing(part, reference) for reference in group))
            wrong = joined([*wrong, *_spans(differ)])
        rows_seen += len(rows.sample_index)
        on_rows(output.name, rows_seen)
    keys = [None] if None in counts or not counts else range(len(output.stream.channels))
    counted = [counts.get(key, Recount()).result() for key in keys]
    gaps = tuple(reader.gaps())
    return _judged(output, counted, gaps, wrong, damage, comparisons)


def _numbers(output: Output, other: Output) -> list[int | None]:
    """For each channel of an output, its number in the other one, or None where that has not got it."""
    names = [channel.name for channel in other.stream.channels]
    return [names.index(channel.name) if channel.name in names else None for channel in output.stream.channels]


def _spans(indices: np.ndarray[Any, np.dtype[np.int64]]) -> list[Span]:
    recount = Recount()
    recount.add(indices)
    return list(recount.result().covered)


def _judged(
    output: Output,
    counted: Sequence[Counted],
    gaps: tuple[Gap, ...],
    wrong: list[Span],
    damage: Sequence[str],
    comparisons: Sequence[_Comparison],
) -> OutputReport:
    """Hold what was counted against the record, and against the output's own gaps."""
    record = output.record
    retained_from = output.retained_from()
    whole = Span(max(record["start"], retained_from), record["stop"])
    absent = [gap.span for gap in gaps]
    expected = without([whole], absent)
    missing = joined(span for one in counted for span in without(expected, one.covered))
    unexpected = joined(span for one in counted for span in without(one.covered, expected))
    doubled = joined(span for one in counted for span in one.doubled)
    samples = min((one.samples for one in counted), default=0)
    problems = list(damage)
    if missing:
        problems.append(f"{_length(missing)} samples are neither in it nor in a gap: {_listed(missing)}")
    if unexpected:
        problems.append(f"{_length(unexpected)} samples are in it that should not be: {_listed(unexpected)}")
    if doubled:
        problems.append(f"{_length(doubled)} samples stand in it twice: {_listed(doubled)}")
    if any(one.disordered for one in counted):
        problems.append("its rows are not in order")
    if wrong:
        others = ", ".join(each.text(" and ") for each in comparisons)
        problems.append(f"{_length(wrong)} samples differ from {others}: {_listed(wrong)}")
    retired = sum(map(len, without([Span(record["start"], whole.start)], absent)))
    if samples + retired != record["samples"]:
        problems.append(f"it holds {samples} samples, the run record says {record['samples'] - retired}")
    return OutputReport(
        name=output.name,
        path=output.place,
        rows=sum(one.rows for one in counted),
        samples=samples,
        gaps=gaps,
        missing=tuple(missing),
        doubled=tuple(doubled),
        unexpected=tuple(unexpected),
        differing=tuple(wrong),
        disordered=any(one.disordered for one in counted),
        compared_with=", ".join(each.text(" or ") for each in comparisons) or None,
        retained_from=retained_from,
        retired=retired,
        problems=tuple(problems),
    )


def _verdict(record: Mapping[str, Any], outputs: Sequence[Output], reports: Sequence[OutputReport]) -> Verdict:
    """The verdict of the outputs as they are, never better than what the record knows besides."""
    outcomes = []
    for output, report in zip(outputs, reports, strict=True):
        known = sum(len(gap) for gap in report.gaps)
        outcomes.append(
            SinkOutcome(
                name=output.name,
                policy=output.policy,
                start=output.record["start"],
                stop=output.record["stop"],
                samples=output.record["stop"] - output.record["start"] - known,
                gaps=known,
                failure="; ".join(report.problems) or str(output.record.get("failure", "")),
                overruns=sum(len(gap) for gap in report.gaps if gap.cause is Cause.BOARD_OVERRUN),
                absent=report.gaps,
                retained_from=report.retained_from,
            )
        )
    recorded = record.get("verdict") or {"state": VerdictState.INTERRUPTED.value, "text": ""}
    state = str(recorded["state"])
    return judge_recorded(
        record,
        outcomes,
        aborted=recorded["text"] if state == VerdictState.ABORTED else "",
        interrupted=state == VerdictState.INTERRUPTED,
        repaired="first_verdict" in record,
    )


def _length(spans: Sequence[Span]) -> int:
    return sum(len(span) for span in spans)


def _listed(spans: Sequence[Span], most: int = 5) -> str:
    shown = ", ".join(f"[{span.start}, {span.stop})" for span in spans[:most])
    return shown + (f" and {len(spans) - most} more ranges" if len(spans) > most else "")
