"""Which sample indices a driver's buffers have; of a loss it only says that there was one.

Pure: instants come in. What was lost is worked out from the sample clock.
"""

from __future__ import annotations

from collections import deque

from dtopipe.model.clock import SampleClock
from dtopipe.model.span import Span

# The quickest of so many buffers says how late a buffer is told of at the least, drift of the clocks included.
_BUFFERS_REMEMBERED = 64


class SampleIndex:
    """Indices from `at` on, whose sample was taken at `t_start_ns` or later."""

    def __init__(self, clock: SampleClock, at: int, t_start_ns: int) -> None:
        self._clock = clock
        self._origin = at
        self._t_start_ns = t_start_ns
        self._next = at
        self._lossy = False
        self._lateness_ns: deque[int] = deque(maxlen=_BUFFERS_REMEMBERED)
        self._t_first_ns = t_start_ns

    @property
    def next(self) -> int:
        """The index of the sample behind everything that was complete or lost so far."""
        return self._next

    @property
    def t_first_ns(self) -> int:
        """When the first sample was taken: a sample cannot be older than its buffer allows, nor than the start."""
        return self._t_first_ns

    def overrun(self) -> None:
        """Samples were lost since the last buffer; how many, the next one tells."""
        self._lossy = True

    def complete(self, n_samples: int, t_done_ns: int) -> tuple[Span, Span]:
        """What was lost before the buffer that is complete now (empty if nothing), and the buffer's own samples."""
        lost = self._lost_before(n_samples, t_done_ns)
        span = Span(lost.stop, lost.stop + n_samples)
        self._next = span.stop
        late_ns = t_done_ns - self._t_start_ns - self._clock.offset_ns(span.stop - self._origin)
        if lost.start == lost.stop and span.start == self._origin:
            self._t_first_ns = self._t_start_ns + max(0, late_ns)
        self._lateness_ns.append(late_ns)
        return lost, span

    def end(self, t_end_ns: int) -> Span:
        """What was lost at the end, empty if nothing."""
        lost = self._lost_before(0, t_end_ns)
        self._next = lost.stop
        return lost

    def _lost_before(self, n_samples: int, t_ns: int) -> Span:
        if not self._lossy:
            return Span(self._next, self._next)
        self._lossy = False
        late_ns = min(self._lateness_ns, default=0)
        half_a_period_ns = self._clock.offset_ns(1) // 2
        elapsed_ns = max(0, t_ns - self._t_start_ns - late_ns + half_a_period_ns)
        reached = self._origin + self._clock.index_at(elapsed_ns)
        return Span(self._next, max(self._next, reached - n_samples))
