"""The clock of LSL, and that of dtopipe."""

from __future__ import annotations

import pylsl

from dtopipe import mono_ns


def lsl_ahead_ns() -> int:
    """How far `pylsl.local_clock` is ahead of `mono_ns`; on many systems both are one."""
    before = mono_ns()
    lsl_ns = round(float(pylsl.local_clock()) * 1e9)
    return lsl_ns - (before + mono_ns()) // 2
