"""The call that a process is in, since when, and how long its calls take: written by it, read by its supervisor."""

from __future__ import annotations

from dataclasses import dataclass

from dtopipe.host.clock import mono_ns
from dtopipe.shm.layout import TIMING_WORDS, Call, Head, Row, Timing
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable


@dataclass(frozen=True, slots=True)
class CallTiming:
    """All calls of one kind that have ended: how many, how long together, the last and the longest, in ns."""

    count: int
    total_ns: int
    last_ns: int
    max_ns: int


class CallWords:
    """Two words of the ring, and four for each kind of call; a call that is entered again is progress."""

    def __init__(self, ring: Ring, at: int, timings_at: int) -> None:
        self._words = ring.words
        self._at = at
        self._timings_at = timings_at
        self._timing_at = self._since_ns = 0

    @classmethod
    def of_acquirer(cls, ring: Ring) -> CallWords:
        """Those of the board's process."""
        return cls(ring, Head.CALL, Head.TIMINGS)

    @classmethod
    def of_row(cls, ring: Ring, row: int) -> CallWords:
        """Those of a sink's process."""
        at = SubscriberTable(ring).at(row)
        return cls(ring, at + Row.CALL, at + Row.TIMINGS)

    def enter(self, call: Call) -> None:
        """The process is in this call from now on; the one before has ended."""
        words, now_ns = self._words, mono_ns()
        if self._since_ns:
            at, took_ns = self._timing_at, now_ns - self._since_ns
            words[at] += 1
            words[at + Timing.TOTAL_NS] += took_ns
            words[at + Timing.LAST_NS] = took_ns
            if took_ns > words[at + Timing.MAX_NS]:
                words[at + Timing.MAX_NS] = took_ns
        self._timing_at, self._since_ns = self._timings_at + call * TIMING_WORDS, now_ns
        words[self._at] = call
        words[self._at + 1] = now_ns

    def read(self) -> tuple[Call, int]:
        """The call, and when it was entered on `mono_ns`."""
        return Call(self._words[self._at]), self._words[self._at + 1]

    def timings(self) -> dict[Call, CallTiming]:
        """Of each kind of call that was made and has ended. A call that ends meanwhile may be half counted."""
        found = {}
        for call in Call:
            at = self._timings_at + call * TIMING_WORDS
            count, total_ns, last_ns, max_ns = self._words[at : at + TIMING_WORDS]
            if count:
                found[call] = CallTiming(count, total_ns, last_ns, max_ns)
        return found
