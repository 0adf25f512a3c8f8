"""Which segments of a journal may go: those of which every sample is durable in every other BLOCK output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True)
class Complete:
    """A segment to which nothing is added any more; `stop`: exclusive sample index at which it ends."""

    number: int
    stop: int


def settled_before(durable: Mapping[str, int]) -> int:
    """The sample before which the journal is not needed any more, by how far each other output is durable; else 0.

    Whoever gave up or is away counts with what it had: its samples are kept for it.
    """
    return min(durable.values(), default=0)


def kept_for(durable: Mapping[str, int], committed: int) -> tuple[str, ...]:
    """The outputs that hold the most of the journal, which is committed up to there; empty if nobody holds any."""
    settled = settled_before(durable)
    return tuple(name for name, index in durable.items() if index == settled < committed)


def segments_to_go(complete: Iterable[Complete], settled: int) -> tuple[Complete, ...]:
    """The oldest of these segments, which come in order, up to the first of which somebody needs a sample."""
    return tuple(takewhile(lambda segment: 0 < settled >= segment.stop, complete))
