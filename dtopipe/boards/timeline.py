"""Which samples a source has, in which buffers, and where its holes are. No clock: indices only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dtopipe.model.span import Cause, Span


@dataclass(frozen=True, slots=True)
class Piece:
    """One buffer of samples, or, where `cause` is set, a hole."""

    span: Span
    cause: Cause | None = None


class Timeline(Protocol):
    """The pieces of a source, end to end."""

    def piece_at(self, index: int) -> Piece | None:
        """The piece from `index` on, which is where another one ended; None behind the last."""


class RegularTimeline(Timeline, Protocol):
    """One that can be skipped through without stepping over each piece."""

    def boundary_before(self, index: int) -> int:
        """The last place at or before `index` where a piece ends."""


class BlockTimeline:
    """Blocks of one length from `start` on, cut where a hole begins and at `end`; behind a hole, full blocks again.

    `end`: exclusive, None for a source that goes on for ever. Holes may overlap; what is outside is cut off.
    """

    def __init__(self, start: int, samples_per_block: int, holes: Iterable[Span] = (), end: int | None = None) -> None:
        self._samples_per_block = samples_per_block
        self._end = end
        self._holes = list(_joined(holes, start, end))
        # Stretches of data and holes take turns; the first one begins at `start`.
        self._starts = [start]
        self._is_hole = [False]
        for hole in self._holes:
            self._append(hole.start, is_hole=True)
            self._append(hole.stop, is_hole=False)

    def _append(self, start: int, *, is_hole: bool) -> None:
        if self._starts[-1] == start:
            self._starts.pop()
            self._is_hole.pop()
        self._starts.append(start)
        self._is_hole.append(is_hole)

    def piece_at(self, index: int) -> Piece | None:
        """The piece from `index` on, which is where another one ended; None behind the last."""
        if self._end is not None and index >= self._end:
            return None
        stretch = bisect_right(self._starts, index) - 1
        stop = self._starts[stretch + 1] if stretch + 1 < len(self._starts) else self._end
        if self._is_hole[stretch] and stop is not None:
            return Piece(Span(index, stop), Cause.BOARD_OVERRUN)
        block_stop = index + self._samples_per_block
        return Piece(Span(index, block_stop if stop is None else min(stop, block_stop)))

    def boundary_before(self, index: int) -> int:
        """The last place at or before `index` where a piece ends."""
        if self._end is not None and index >= self._end:
            return self._end
        stretch = max(0, bisect_right(self._starts, index) - 1)
        start = self._starts[stretch]
        if self._is_hole[stretch]:
            return start
        return start + (index - start) // self._samples_per_block * self._samples_per_block


def _joined(holes: Iterable[Span], start: int, end: int | None) -> Iterator[Span]:
    """The holes in order, cut to `[start, end)`, those that touch as one."""
    held: Span | None = None
    for hole in sorted(holes):
        cut = Span(max(hole.start, start), hole.stop if end is None else min(hole.stop, end))
        if not cut:
            continue
        if held and cut.start <= held.stop:
            held = Span(held.start, max(held.stop, cut.stop))
            continue
        if held:
            yield held
        held = cut
    if held:
        yield held
