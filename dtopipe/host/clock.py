"""The clocks of this machine."""

from __future__ import annotations

import sys
import time

from dtopipe.host import wall_clock
from dtopipe.model.clock import Anchor

# time.monotonic ticks at 16 ms on Windows before Python 3.13; this one does not, and all processes share it.
mono_ns = time.perf_counter_ns


def clock_pair() -> tuple[int, int]:
    """(`t_mono_ns`, `t_utc_ns`) read together: the closest of three tries."""
    return min((_timed_pair() for _ in range(3)), key=lambda timed: timed[0])[1]


def anchor_at(sample_index: int, t_mono_ns: int | None = None) -> Anchor:
    """The sample was taken now, or at that instant, a short while ago: the wall clock is read now."""
    t_now_ns, t_utc_ns = clock_pair()
    if t_mono_ns is None:
        return Anchor(sample_index, t_now_ns, t_utc_ns)
    return Anchor(sample_index, t_mono_ns, t_utc_ns - (t_now_ns - t_mono_ns))


class RunTimes:
    """The wall clock of one run: read once, and kept by the steady clock, whatever becomes of the computer's own."""

    def __init__(self, utc_offset_ns: int | None = None) -> None:
        """`utc_offset_ns`: UTC less `mono_ns`, as another process of the run has read it; None: read it now."""
        self.utc_offset_ns = _utc_offset_ns() if utc_offset_ns is None else utc_offset_ns

    def begin(self) -> None:
        """The first sample comes: from now on nothing changes it any more."""
        self.utc_offset_ns = _utc_offset_ns()

    def utc_ns(self, t_mono_ns: int | None = None) -> int:
        """The time of that instant, or of now."""
        return self.utc_offset_ns + (mono_ns() if t_mono_ns is None else t_mono_ns)

    def anchor_at(self, sample_index: int, t_mono_ns: int | None = None) -> Anchor:
        """The sample was taken at that instant, or now."""
        t_mono_ns = mono_ns() if t_mono_ns is None else t_mono_ns
        return Anchor(sample_index, t_mono_ns, self.utc_ns(t_mono_ns))


if sys.platform == "linux":

    def asleep_ns() -> int:
        """How long this machine has slept since it was started, as far as the system tells."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)

else:

    def asleep_ns() -> int:
        """How long this machine has slept since it was started, which this system does not tell."""
        return 0


def _utc_offset_ns() -> int:
    t_mono_ns, t_utc_ns = clock_pair()
    return t_utc_ns - t_mono_ns


def _timed_pair() -> tuple[int, tuple[int, int]]:
    before = mono_ns()
    t_utc_ns = wall_clock.utc_ns()
    after = mono_ns()
    return after - before, ((before + after) // 2, t_utc_ns)
