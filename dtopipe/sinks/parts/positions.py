"""The position of outputs that follow on each other."""

from __future__ import annotations

from collections.abc import Sequence

from dtopipe.model.position import Position


def together(positions: Sequence[Position]) -> Position:
    """Of all parts; a part that is lost between others counts as if its samples were there, for they were committed."""
    start = positions[0].start
    there = [position for position in positions if position.committed > position.start] or list(positions[-1:])
    last = there[-1]
    gap_samples = sum(position.gap_samples for position in positions)
    return Position(
        start,
        max(start, last.committed),
        max(start, last.durable),
        max(0, last.committed - start - gap_samples),
        gap_samples,
        sum(position.dropped for position in positions),
    )
