"""A converter's own buffers, as a model: what it still holds, and what it lost because nobody took it.

Pure: the sample clock comes in as the index that it has reached. Each step costs the same however long nobody came.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from dtopipe.boards.timeline import Piece, RegularTimeline
from dtopipe.model.span import Cause, Span


@dataclass(frozen=True, slots=True)
class FifoStatus:
    """How full it is, in buffers; `lent` (0 or 1) is with the reader and occupies its place."""

    capacity: int
    ready: int
    lent: int


class Fifo:
    """`capacity` buffers that a clock fills in turn; what completes while all are full is lost, holes included.

    A buffer is occupied from its completion until it is given back. What is lost in a row is one hole.
    """

    def __init__(self, timeline: RegularTimeline, capacity: int, at: int) -> None:
        self._timeline = timeline
        self._capacity = capacity
        self._sorted_to = at
        self._items: deque[Piece] = deque()
        self._ready = 0
        self._lent = 0
        self._stopped = False

    def advance(self, reached: int) -> None:
        """The clock has reached this index: sort what completed since into held and lost."""
        if self._stopped:
            return
        while self._ready + self._lent < self._capacity:
            piece = self._timeline.piece_at(self._sorted_to)
            if piece is None or piece.span.stop > reached:
                return
            self._hold(piece)
        self._lose(self._timeline.boundary_before(reached))

    def take(self) -> Piece | None:
        """The oldest buffer or hole, if there is one; a buffer is lent until `give_back`."""
        if not self._items:
            return None
        piece = self._items.popleft()
        if piece.cause is None:
            self._ready -= 1
            self._lent += 1
        return piece

    def give_back(self, reached: int) -> None:
        """The lent buffer is free again, now that the clock has reached this index."""
        self.advance(reached)
        self._lent = 0

    def stop(self, reached: int) -> None:
        """The clock stops at this index: the buffer that is being filled is complete, be it full or not."""
        self.advance(reached)
        piece = self._timeline.piece_at(self._sorted_to)
        if not self._stopped and piece is not None and piece.span.start < reached:
            part = Piece(Span(piece.span.start, reached), piece.cause)
            if self._ready + self._lent < self._capacity:
                self._hold(part)
            else:
                self._lose(reached)
        self._stopped = True

    @property
    def end(self) -> int | None:
        """The exclusive end index, once the clock has stopped or the source ended, and everything was taken."""
        if self._items or not (self._stopped or self._timeline.piece_at(self._sorted_to) is None):
            return None
        return self._sorted_to

    @property
    def next_completion(self) -> int | None:
        """The index at which the buffer that is being filled completes; None if there is none."""
        piece = self._timeline.piece_at(self._sorted_to)
        return None if piece is None or self._stopped else piece.span.stop

    def status(self) -> FifoStatus:
        """How full it is."""
        return FifoStatus(self._capacity, self._ready, self._lent)

    def _hold(self, piece: Piece) -> None:
        if piece.cause is None:
            self._ready += 1
            self._items.append(piece)
        else:
            self._append_hole(piece)
        self._sorted_to = piece.span.stop

    def _lose(self, stop: int) -> None:
        if stop > self._sorted_to:
            self._append_hole(Piece(Span(self._sorted_to, stop), Cause.BOARD_OVERRUN))
            self._sorted_to = stop

    def _append_hole(self, hole: Piece) -> None:
        if self._items and self._items[-1].cause is hole.cause:
            hole = Piece(Span(self._items.pop().span.start, hole.span.stop), hole.cause)
        self._items.append(hole)
