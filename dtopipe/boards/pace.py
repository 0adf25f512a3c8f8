"""When the pieces of a source come: by a clock that waits for nobody, or by a source that waits for its reader."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from dtopipe.boards.contract import Ended
from dtopipe.boards.fifo import Fifo
from dtopipe.boards.timeline import Piece, RegularTimeline, Timeline
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import SampleClock
from dtopipe.model.span import Cause, Span


class Pace(Protocol):
    """The pieces of a started source, one after the other."""

    def next(self, timeout_s: float) -> Piece | Ended | None:
        """The next piece, waiting for its completion at most `timeout_s`."""

    def give_back(self) -> None:
        """The buffer of the last piece is free again."""

    def stop(self) -> None:
        """Stop the clock; what is complete is still to be had, then `Ended`."""


@dataclass(frozen=True, slots=True)
class StartedClock:
    """A sample clock that runs since `t_started_ns`, when sample `at` began."""

    clock: SampleClock
    at: int
    t_started_ns: int

    def reached(self, now_ns: int) -> int:
        """The exclusive index up to which samples are complete."""
        return self.at + self.clock.index_at(now_ns - self.t_started_ns)

    def due_ns(self, index: int) -> int:
        """An instant at which `index` is reached; at most 2 ns late."""
        return self.t_started_ns + self.clock.offset_ns(index - self.at) + 1


class ClockedPace:
    """A converter: it goes on without us, and overruns when its FIFO of `buffers` blocks is full."""

    def __init__(self, timeline: RegularTimeline, clock: SampleClock, buffers: int, at: int) -> None:
        self._fifo = Fifo(timeline, buffers, at)
        self._clock = StartedClock(clock, at, mono_ns())
        self._stopped = False
        self._reached = at
        self._due_ns = self._next_due_ns()

    def next(self, timeout_s: float) -> Piece | Ended | None:
        """The next piece, waiting for its completion at most `timeout_s`."""
        now_ns = mono_ns()
        deadline_ns = now_ns + int(timeout_s * 1e9)
        while True:
            self._advance(now_ns)
            piece = self._fifo.take()
            if piece is not None:
                return piece
            end = self._fifo.end
            if end is not None:
                return Ended(end)
            if now_ns >= deadline_ns:
                return None
            time.sleep((min(self._due_ns, deadline_ns) - now_ns) / 1e9)
            now_ns = mono_ns()

    def give_back(self) -> None:
        """The buffer of the last piece is free again."""
        self._advance(mono_ns())
        self._fifo.give_back(self._reached)

    def stop(self) -> None:
        """Stop the clock; what is complete is still to be had, then `Ended`."""
        if not self._stopped:
            self._stopped = True
            self._fifo.stop(self._clock.reached(mono_ns()))

    def _advance(self, now_ns: int) -> None:
        """Nothing happens in the FIFO before the next block is due, so the index is worked out no sooner."""
        if now_ns >= self._due_ns and not self._stopped:
            self._reached = self._clock.reached(now_ns)
            self._fifo.advance(self._reached)
            self._due_ns = self._next_due_ns()

    def _next_due_ns(self) -> int:
        index = self._fifo.next_completion
        return self._clock.t_started_ns if index is None else self._clock.due_ns(index)


class PolledPace:
    """Single values, asked for at each tick of a clock; a tick that passed before anybody asked is a hole.

    Tick `i` is due when the clock reaches `i`; it may be asked until the next one is due, so that no delay adds up.
    """

    def __init__(self, timeline: RegularTimeline, clock: SampleClock, at: int) -> None:
        self._timeline = timeline
        self._clock = StartedClock(clock, at, mono_ns())
        self._at = at
        self._end: int | None = None

    def next(self, timeout_s: float) -> Piece | Ended | None:
        """The tick that is due, or those that were passed, waiting at most `timeout_s` for the next one."""
        if self._end is not None:
            return Ended(self._end)
        piece = self._timeline.piece_at(self._at)
        if piece is None:
            return Ended(self._at)
        wanted = piece.span.start if piece.cause is None else piece.span.stop
        if not _slept_until(self._clock.due_ns(wanted), timeout_s):
            return None
        if piece.cause is None:
            passed = self._passed()
            piece = Piece(Span(self._at, passed), Cause.BOARD_OVERRUN) if passed > self._at else piece
        self._at = piece.span.stop
        return piece

    def give_back(self) -> None:
        """Nothing: no reading is kept."""

    def stop(self) -> None:
        """No tick is asked any more; those that were passed belong to the run."""
        if self._end is None:
            self._end = max(self._at, self._passed())

    def _passed(self) -> int:
        """The tick that is due now, exclusive end of those that were passed."""
        return self._timeline.boundary_before(self._clock.reached(mono_ns()))


class WaitingPace:
    """A source that keeps what is not read: each piece comes when it is due, or later if nobody asks for it.

    Without a clock everything is due at once.
    """

    def __init__(self, timeline: Timeline, clock: SampleClock | None, at: int) -> None:
        self._timeline = timeline
        self._clock = None if clock is None else StartedClock(clock, at, mono_ns())
        self._at = at
        self._end: int | None = None

    def next(self, timeout_s: float) -> Piece | Ended | None:
        """The next piece, waiting until it is due, at most `timeout_s`."""
        piece = self._timeline.piece_at(self._at)
        if piece is None or (self._end is not None and self._at >= self._end):
            return Ended(self._at)
        if self._end is not None and piece.span.stop > self._end:
            piece = Piece(Span(self._at, self._end), piece.cause)
        if self._clock is not None and not _slept_until(self._clock.due_ns(piece.span.stop), timeout_s):
            return None
        self._at = piece.span.stop
        return piece

    def give_back(self) -> None:
        """Nothing: what is to come does not depend on it."""

    def stop(self) -> None:
        """Stop the clock; what is due is still to be had, then `Ended`."""
        if self._end is None:
            self._end = self._at if self._clock is None else max(self._at, self._clock.reached(mono_ns()))


def _slept_until(due_ns: int, timeout_s: float) -> bool:
    """Wait for that instant, at most `timeout_s`; false if it has not come by then."""
    now_ns = mono_ns()
    deadline_ns = now_ns + int(timeout_s * 1e9)
    while now_ns < min(due_ns, deadline_ns):
        time.sleep((min(due_ns, deadline_ns) - now_ns) / 1e9)
        now_ns = mono_ns()
    return now_ns >= due_ns
