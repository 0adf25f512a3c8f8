"""A board that delivers nothing."""

from __future__ import annotations

import pytest

from dtopipe.core.silence import Broke, Fell, Silence


def test_after_three_block_times_a_silence_is_told_once_and_then_its_end() -> None:
    silence = Silence(block_s=2.0)
    assert silence.saw(100, 0.05) is None
    assert [silence.saw(100, 1.0) for _ in range(7)] == [None] * 5 + [Fell(6.0), None]
    assert silence.is_told
    assert (silence.lasts_at(100), silence.lasts_at(101)) == (True, False)
    assert silence.saw(200, 1.0) == Broke(7.0)
    assert (silence.is_told, silence.count, silence.longest_s) == (False, 1, 7.0)


def test_short_blocks_may_be_late_by_what_a_busy_machine_keeps_a_process_waiting() -> None:
    silence = Silence(block_s=0.001)
    silence.saw(1, 0.0)
    assert silence.saw(1, 0.9) is None
    assert silence.saw(1, 0.1) == Fell(1.0)


@pytest.mark.parametrize("lasted_s", [0.5, 20.0])
def test_who_has_no_room_for_a_sample_or_is_away_is_not_silent(lasted_s: float) -> None:
    silence = Silence(block_s=0.1)
    silence.saw(1, 0.0)
    assert silence.saw(1, lasted_s, expected=False) is None
    assert silence.lasts_s == 0.0
