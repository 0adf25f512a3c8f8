"""Windows' count of time is the same time."""

from __future__ import annotations

from dtopipe.host.wall_clock import utc_of_filetime


def test_the_count_of_windows_is_nanoseconds_since_1970() -> None:
    assert utc_of_filetime(116_444_736_000_000_000) == 0
    assert utc_of_filetime(116_444_736_000_000_001) == 100
    assert utc_of_filetime(0) == -11_644_473_600 * 10**9
