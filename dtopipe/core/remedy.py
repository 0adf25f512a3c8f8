"""Whether a repair can help, from what outputs lack and why."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import StrEnum

from dtopipe.core.outcome import SinkOutcome
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Span

# The samples never came: no output of any machine can have them.
_NEVER_CAME = (Cause.BOARD_OVERRUN, Cause.ACQUIRER_RESTART, Cause.BOARD_AWAY)
# What is not there for these, nobody misses, or nobody can have.
_NOT_TO_BE_HAD = (*_NEVER_CAME, Cause.NOT_TRIGGERED)
# What a run lacks for these causes, the machine that it followed may have.
_OF_THE_LINK = (Cause.TRANSPORT, Cause.POLICY_DROP)


class Repair(StrEnum):
    """What `dtopipe repair` can do for a run."""

    NEEDLESS = ""
    HELPS = "helps"
    # What is absent may be on the machine that was followed.
    HELPS_FROM_SOURCE = "helps_from_source"
    # The board lost it.
    NEVER_CAME = "never_came"
    # No other output of the run has it; a copy of the run might.
    NOT_HERE = "not_here"


def repair_from(value: object) -> Repair:
    """What a run record says; what no run of ours would say counts as nothing."""
    return next((repair for repair in Repair if repair.value == value), Repair.NEEDLESS)


def help_of_repair(outcomes: Sequence[SinkOutcome], *, follows: bool, lacks_end: bool) -> Repair:
    """What a repair can do for these outputs.

    `follows`: the run is one of another machine, of which this one may lack the end (`lacks_end`).
    """
    wanting = [outcome for outcome in outcomes if is_wanting(outcome)]
    if lacks_end or (follows and any(_absent(outcome, _OF_THE_LINK) for outcome in wanting)):
        return Repair.HELPS_FROM_SOURCE
    if not wanting:
        return Repair.NEEDLESS
    if any(_is_elsewhere(outcome, outcomes) for outcome in wanting):
        return Repair.HELPS
    never_came = all(not outcome.failure and outcome.adds_up and not _open(outcome) for outcome in wanting)
    return Repair.NEVER_CAME if never_came else Repair.NOT_HERE


def is_wanting(outcome: SinkOutcome) -> bool:
    """True if an output is not as it was to be; what a DROP output was to miss is no fault."""
    return bool(outcome.failure) or not outcome.adds_up or (outcome.policy is Policy.BLOCK and outcome.lacks > 0)


def _is_elsewhere(wanting: SinkOutcome, outcomes: Iterable[SinkOutcome]) -> bool:
    """True if another output has any of what this one lacks; of one that lacks nothing by its gaps, any sample."""
    others = [other for other in outcomes if other is not wanting and other.samples > 0]
    absent = _open(wanting)
    if not absent:
        return (bool(wanting.failure) or not wanting.adds_up) and bool(others)
    return any(_has_any_of(absent, other) for other in others)


def _open(outcome: SinkOutcome) -> list[Span]:
    """What an output lacks though the board gave it; all of it, where its gaps are not known one by one."""
    if sum(len(gap) for gap in outcome.absent) < outcome.gaps:
        whole = Span(outcome.start, outcome.stop)
        return [whole] if outcome.lacks > outcome.overruns else []
    return [gap.span for gap in outcome.absent if gap.cause not in _NOT_TO_BE_HAD]


def _absent(outcome: SinkOutcome, causes: Sequence[Cause]) -> bool:
    return outcome.policy is Policy.BLOCK and any(gap.cause in causes for gap in outcome.absent)


def _has_any_of(spans: Iterable[Span], holder: SinkOutcome) -> bool:
    held = Span(max(holder.start, holder.retained_from), holder.stop)
    holes = sorted(gap.span for gap in holder.absent)
    starts = [hole.start for hole in holes]
    return any(_is_held(span.intersection(held), holes, starts) for span in spans)


def _is_held(span: Span, holes: Sequence[Span], starts: Sequence[int]) -> bool:
    """True if any sample of the span is in none of the holes, which are in order and apart."""
    at = span.start
    for hole in holes[max(0, bisect_right(starts, at) - 1) :]:
        if at >= span.stop or hole.start > at:
            break
        at = max(at, hole.stop)
    return at < span.stop
