"""The gap at the end of a commit record's list that grows in its place: what is not triggered, however long it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dtopipe.model.nulls import NullRange
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span, add, goes_on
from dtopipe.wire.commit_snapshot import committed_gaps


@dataclass(frozen=True, slots=True)
class GrowingGap:
    """A gap that what comes next may go on with, and its place in the list."""

    place: int
    gap: Gap


@dataclass(frozen=True, slots=True)
class Grown:
    """What a commit makes of the list: an entry that is written anew in its place, and entries behind the others.

    `growing`: what may grow further, as long as no sample follows.
    """

    rewritten: GrowingGap | None
    new: Sequence[Gap]
    growing: GrowingGap | None


def gaps_in(entries: Sequence[Gap | NullRange], position: Position) -> Sequence[Gap]:
    """The gaps of the list, as the position has them."""
    return committed_gaps([each for each in entries if isinstance(each, Gap)], position)


def growing_in(entries: Sequence[Gap | NullRange], position: Position) -> GrowingGap | None:
    """What a predecessor has left at the end, if it may grow."""
    gaps = gaps_in(entries, position)
    if not gaps:
        return None
    place = max(number for number, each in enumerate(entries) if isinstance(each, Gap))
    return still(GrowingGap(place, gaps[-1]), position)


def still(growing: GrowingGap | None, position: Position) -> GrowingGap | None:
    """The same, if nothing is behind it at this position."""
    if growing is None or growing.gap.cause is not Cause.NOT_TRIGGERED:
        return None
    return growing if growing.gap.span.stop == position.committed else None


def grown(growing: GrowingGap | None, gaps: Sequence[Gap], n_entries: int) -> Grown:
    """What these gaps, which are to be committed, make of a list of so many entries."""
    new = add([], gaps)
    rewritten = None
    if growing is not None and new and goes_on(growing.gap, new[0]):
        longer = replace(growing.gap, span=Span(growing.gap.span.start, new[0].span.stop))
        rewritten = growing = GrowingGap(growing.place, longer)
        new = new[1:]
    return Grown(rewritten, new, GrowingGap(n_entries + len(new) - 1, new[-1]) if new else growing)
