"""What was found in one output, held against the record and put into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dtopipe.model.nulls import NullRange
from dtopipe.model.span import Gap, Span
from dtopipe.verify.outputs import Output
from dtopipe.verify.raw_blocks import RawBlocks
from dtopipe.verify.recount import Counted, common, joined, without
from dtopipe.verify.report import OutputReport, length, listed


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an output is held against.

    `raw`: the run's raw file, with what can be read of it. `others`: where it has nothing, all of which must disagree;
    `lacking`: the samples that it has not got.
    """

    raw: tuple[Output, RawBlocks] | None = None
    others: Sequence[Output] = ()
    lacking: Sequence[Span] = ()
    # Why there is no raw file to compare with, though the run has one.
    failure: str = ""


@dataclass(slots=True)
class Found:
    """What was found wrong, or could not be looked at; spans in order."""

    values: list[Span] = field(default_factory=list)
    times: list[Span] = field(default_factory=list)
    uncompared: list[Span] = field(default_factory=list)
    misstated: list[Span] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    has_summaries: bool = False
    unread_summaries: str = ""
    others: list[str] = field(default_factory=list)
    # Where the output says that values are null though the board gave a sample.
    nulls: Sequence[NullRange] = ()


def report_of(
    output: Output,
    comparison: Comparison,
    whole: Span,
    counted: Sequence[Counted],
    gaps: tuple[Gap, ...],
    found: Found,
) -> OutputReport:
    """Hold what was counted against the record, and against the output's own gaps."""
    record = output.record
    absent = [gap.span for gap in gaps]
    expected = without([whole], absent)
    missing = joined(span for one in counted for span in without(expected, one.covered))
    unexpected = joined(span for one in counted for span in without(one.covered, expected))
    doubled = joined(span for one in counted for span in one.doubled)
    covered = common([one.covered for one in counted])
    samples = min((one.samples for one in counted), default=0)
    retired = length(without([Span(int(record["start"]), whole.start)], absent))
    with_what = _compared_with(comparison, found)
    names = [channel.name for channel in output.stream.channels]
    nulls = tuple(each.facts(names[each.channel]) for each in found.nulls if each.channel < len(names))
    problems = list(found.damage)
    if missing:
        problems.append(f"{length(missing)} samples are neither in it nor in a gap: {listed(missing)}")
    if unexpected:
        problems.append(f"{length(unexpected)} samples are in it that should not be: {listed(unexpected)}")
    if doubled:
        problems.append(f"{length(doubled)} samples stand in it twice: {listed(doubled)}")
    if any(one.disordered for one in counted):
        problems.append("its rows are not in order")
    others = with_what.replace(" or ", " and ")
    if found.values:
        problems.append(f"{length(found.values)} samples differ from {others}: {listed(found.values)}")
    if found.times:
        than = f"times differ from {others}" if others else "times are not those of the sample clock"
        problems.append(f"{than}: {listed(found.times)}")
    if found.unread_summaries:
        problems.append(f"its table of blocks cannot be read: {found.unread_summaries}")
    elif found.misstated:
        problems.append(f"summaries in its table of blocks are not those of its samples: {listed(found.misstated)}")
    problems += found.others
    # Behind the last commit of a writer that was killed whole rows may stand, which nobody has promised.
    committed = length(common([covered, [Span(whole.start, max(whole.start, int(record["committed"])))]]))
    if committed + retired != record["samples"]:
        problems.append(f"it holds {committed} samples, the run record says {record['samples'] - retired}")
    return OutputReport(
        name=output.name,
        path=output.place,
        rows=sum(one.rows for one in counted),
        samples=samples,
        gaps=gaps,
        covered=tuple(covered),
        missing=tuple(missing),
        doubled=tuple(doubled),
        unexpected=tuple(unexpected),
        differing=tuple(joined([*found.values, *found.times])),
        mistimed=tuple(found.times),
        misstated=tuple(found.misstated),
        disordered=any(one.disordered for one in counted),
        compared_with=with_what or None,
        not_compared=_not_compared(comparison, found, covered),
        has_summaries=found.has_summaries,
        retained_from=output.retained_from(),
        retired=retired,
        damage=tuple(found.damage),
        nulls=nulls,
        problems=tuple(problems),
    )


def _compared_with(comparison: Comparison, found: Found) -> str:
    """The names of what it was held against, as in a sentence."""
    names = " or ".join(other.name for other in comparison.others)
    if comparison.raw is None:
        return names
    raw = comparison.raw[0].name
    if not names:
        return raw
    begin = comparison.raw[0].retained_from()
    where = f"before sample {begin:,}" if begin else "where that has nothing"
    return f"{raw}, {where} {names}"


def _not_compared(comparison: Comparison, found: Found, covered: Sequence[Span]) -> str | None:
    reasons = [comparison.failure, *found.failures]
    why = "; ".join(reason for reason in reasons if reason)
    rest = common([found.uncompared, covered])
    if not rest or not (why or comparison.raw or comparison.others):
        return why or None
    where = "" if rest == list(covered) else f"{listed(rest)}, "
    return f"{where}{why or 'nobody else has them'}"
