"""The computer's wall clock, by the finest way in which the system tells it."""

from __future__ import annotations

import sys
import time

# Windows counts tenths of a microsecond since 1601.
_TICK_NS, _TICKS_TO_1970 = 100, 116_444_736_000_000_000


def utc_of_filetime(ticks: int) -> int:
    """Nanoseconds since 1970 of Windows' own count."""
    return (ticks - _TICKS_TO_1970) * _TICK_NS


if sys.platform == "win32" and sys.version_info < (3, 13):
    import ctypes

    _ask = ctypes.windll.kernel32.GetSystemTimePreciseAsFileTime

    def utc_ns() -> int:
        """Nanoseconds since 1970. `time.time_ns` ticks at 15.6 ms here, as `time.monotonic` does."""
        ticks = ctypes.c_uint64()
        _ask(ctypes.byref(ticks))
        return utc_of_filetime(ticks.value)

else:

    def utc_ns() -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()
