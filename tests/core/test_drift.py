"""A board's real rate against its label."""

from __future__ import annotations

from dtopipe.core.drift import RateDrift
from dtopipe.model.clock import Anchor

ANCHOR = Anchor(0, 0, 0)
S = 1_000_000_000


def _pair(second: float, rate_hz: float, late_ns: int = 0) -> Anchor:
    return Anchor(round(second * rate_hz), round(second * S) + late_ns, 0)


def test_half_a_percent_is_told_after_20_s_with_how_far_the_times_are_behind() -> None:
    drift = RateDrift(1000.0)
    told = [drift.saw(_pair(second, 995.0), ANCHOR) for second in range(1, 21)]
    # Once more when it was twice as much.
    assert sum(told) == 2
    assert 60e6 < drift.worst_ns < 110e6


def test_what_no_two_clocks_differ_by_is_told_before_it_is_far() -> None:
    drift = RateDrift(1000.0)
    assert any(drift.saw(_pair(second, 998.0), ANCHOR) for second in range(1, 24))
    assert 30e6 <= drift.worst_ns < 50e6
    # As much, but in a time in which clocks may come to it.
    assert not any(drift.saw(_pair(second, 999.9), Anchor(0, 1, 0)) for second in range(10, 400, 10))


def test_94_ppm_are_told_within_18_minutes_and_a_fast_board_is_ahead() -> None:
    slow, fast = RateDrift(1000.0), RateDrift(1000.0)
    assert any(slow.saw(_pair(second, 999.906), ANCHOR) for second in range(10, 1080, 10))
    assert any(fast.saw(_pair(second, 1000.094), ANCHOR) for second in range(10, 1080, 10))
    assert fast.worst_ns < 0 < slow.worst_ns


def test_pairs_that_were_seen_late_on_a_busy_machine_are_no_drift() -> None:
    drift = RateDrift(1000.0)
    late = [0, 40, 900, 300, 5, 700, 800, 900, 20, 600, 500, 400, 300, 8] * 20
    assert not any(drift.saw(_pair(n, 1000.0, ms * 1_000_000), ANCHOR) for n, ms in enumerate(late))
    assert drift.worst_ns == 0


def test_behind_a_new_anchor_it_begins_anew() -> None:
    drift = RateDrift(1000.0)
    for second in range(1, 10):
        drift.saw(_pair(second, 1000.0), ANCHOR)
    later = Anchor(20_000, 21 * S, 0)
    pairs = [Anchor(20_000 + 1000 * n, (21 + n) * S, 0) for n in range(20)]
    assert not any(drift.saw(pair, later) for pair in pairs)
