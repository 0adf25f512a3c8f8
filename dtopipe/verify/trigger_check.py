"""Holds a triggered output against its condition, by the raw file of the run: around events, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dtopipe.core.trigger import FORGETTING, Trigger, Window, overlaid
from dtopipe.model.condition import condition_of
from dtopipe.model.errors import DtopipeError
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.verify.gaps import BOARD_CAUSES
from dtopipe.verify.outputs import Output
from dtopipe.verify.raw_blocks import RawBlocks
from dtopipe.verify.recount import common, without
from dtopipe.verify.report import OutputReport, length, listed


@dataclass(frozen=True, slots=True)
class Kept:
    """What a triggered output is to have of a span. `known`: where that can be told; elsewhere samples are missing.

    `quiet`: what it is not to have. Before the end nobody can tell, for an event behind that may have been seen.
    """

    kept: Sequence[Span]
    known: Sequence[Span]
    quiet: Sequence[Span]


def kept_of(
    plan: TriggerPlan, items: Iterable[Block | Gap], stream: Stream, whole: Span, unknown: Sequence[Span]
) -> Kept:
    """What such an output is to have of `whole`, of which these are all items. `unknown`: where they lack samples.

    Raises KeyError where the stream lacks a channel of the condition.
    """
    condition = condition_of(plan.when)
    window = Window.of(plan, condition, stream.rate_hz)
    trigger = Trigger(condition, window, stream, whole.start)
    kept: list[Span] = []
    unclear = [Span(span.start - window.pre, span.stop + window.lookback) for span in unknown]
    for item in items:
        if isinstance(item, Gap) and item.cause in FORGETTING:
            # What its worker knew of an event in there nobody knows any more.
            unclear.append(Span(item.span.start - window.pre, item.span.start))
        _add(kept, trigger.of([item]))
        trigger.events()
    _add(kept, trigger.rest())
    known = without([whole], unclear)
    before_end = without(known, [Span(whole.stop - window.pre, whole.stop)])
    return Kept(kept, known, common([without([whole], kept), before_end]))


def quiet_of(output: Output, raw: tuple[Output, RawBlocks], of_raw: OutputReport) -> tuple[Span, ...]:
    """What a triggered output in parts is not to have: so which parts there should be; none where it cannot be told."""
    if output.trigger is None or not output.part_samples or raw[0].trigger is not None:
        return ()
    try:
        found = _decided(output, output.trigger, output.reader().gaps(), raw[1], of_raw)
    except (KeyError, DtopipeError, OSError, ValueError):
        return ()
    return tuple(found.quiet)


def trigger_checked(
    report: OutputReport,
    output: Output,
    parts: Sequence[Output],
    raw: tuple[Output, RawBlocks],
    of_raw: OutputReport,
) -> OutputReport:
    """The report, with what stands in the output without an event, and what is absent though there was one.

    `parts`: as the report has them; none of an output that is not split.
    """
    if output.trigger is None or report.unreadable:
        return report
    if raw[0].trigger is not None:
        return not_decided(report, output)
    try:
        found = _decided(output, output.trigger, report.gaps, raw[1], of_raw)
    except (KeyError, DtopipeError, OSError) as error:
        return not_decided(report, output, f"{raw[0].name} cannot tell ({error})")
    untimely = common([report.covered, found.quiet])
    withheld = common([without(found.kept, report.covered), found.known])
    problems = list(report.problems)
    if untimely:
        problems.append(f"{length(untimely)} samples are in it that are around no event: {listed(untimely)}")
    if withheld:
        problems.append(f"{length(withheld)} samples around events are not in it: {listed(withheld)}")
    of_parts = [
        replace(one, untimely=_within(untimely, part), withheld=_within(withheld, part))
        for one, part in zip(report.parts, parts, strict=True)
    ]
    return replace(
        report,
        untimely=tuple(untimely),
        withheld=tuple(withheld),
        problems=tuple(problems),
        parts=tuple(of_parts),
    )


def not_decided(report: OutputReport, output: Output, why: str = "") -> OutputReport:
    """The report, in which it is said of a triggered output that nobody held it against its condition, and why."""
    if output.trigger is None or report.unreadable:
        return report
    reason = f"whether it has what is around events: {why or 'no raw file has all samples'}"
    return replace(report, not_compared="; ".join(filter(None, (report.not_compared, reason))))


def _decided(
    output: Output, trigger: TriggerPlan, gaps: Sequence[Gap], blocks: RawBlocks, of_raw: OutputReport
) -> Kept:
    whole = Span(int(output.record["start"]), int(output.record["stop"]))
    own = [gap for gap in gaps if gap.cause is not Cause.NOT_TRIGGERED]
    absent = [gap.span for gap in of_raw.gaps if gap.cause in BOARD_CAUSES]
    unknown = without([whole], [*of_raw.covered, *absent, *(gap.span for gap in own)])
    items = overlaid(contiguous(blocks.blocks(), whole), sorted(own), blocks.stream.clock)
    return kept_of(trigger, items, blocks.stream, whole, unknown)


def _within(spans: Sequence[Span], part: Output) -> tuple[Span, ...]:
    return tuple(common([spans, [Span(int(part.record["start"]), int(part.record["stop"]))]]))


def contiguous(blocks: Iterable[Block], whole: Span) -> Iterator[Block | Gap]:
    """The samples of `whole` in order, with gaps for what is not there."""
    at = whole.start
    for block in blocks:
        if block.span.stop <= at or block.span.start >= whole.stop:
            continue
        if block.span.start > at:
            yield Gap(Span(at, block.span.start), Cause.BOARD_OVERRUN, block.anchor.t_utc_ns)
        part = block.trimmed(max(at, block.span.start), whole.stop)
        yield part
        at = part.span.stop
    if at < whole.stop:
        yield Gap(Span(at, whole.stop), Cause.BOARD_OVERRUN, 0)


def _add(kept: list[Span], items: Iterable[Block | Gap]) -> None:
    """The samples among these items, in order; a fast board has very many blocks."""
    for item in items:
        if isinstance(item, Gap):
            continue
        if kept and kept[-1].stop == item.span.start:
            kept[-1] = Span(kept[-1].start, item.span.stop)
        else:
            kept.append(item.span)
