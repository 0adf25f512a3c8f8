"""The clocks of this machine."""

from __future__ import annotations

import time

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


def _timed_pair() -> tuple[int, tuple[int, int]]:
    before = mono_ns()
    t_utc_ns = time.time_ns()
    after = mono_ns()
    return after - before, ((before + after) // 2, t_utc_ns)
