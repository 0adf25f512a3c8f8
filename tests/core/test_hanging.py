"""Hung told from slow."""

from __future__ import annotations

import pytest

from dtopipe.core.hanging import CallClock


def stood(clock: CallClock, seconds: float, mark: object = "commit") -> CallClock:
    for _ in range(round(seconds)):
        clock.saw(mark, 1.0)
    return clock


def test_a_process_in_one_call_is_worth_a_word_after_five_seconds_and_over_at_its_limit() -> None:
    clock = CallClock(60.0)
    clock.saw("commit", 1.0)
    assert clock.stands_s == 0, "it was not seen in this call before"
    assert not stood(clock, 4).is_worth_a_word(stopped=False)
    assert stood(clock, 1).is_worth_a_word(stopped=False)
    assert not stood(clock, 54).is_over
    assert stood(clock, 1).is_over


def test_a_slow_process_that_gets_on_is_never_hung() -> None:
    clock = CallClock(10.0)
    for call in range(100):
        stood(clock, 9, ("append", call))
        assert not clock.is_over


def test_the_same_call_entered_again_is_progress() -> None:
    clock = stood(CallClock(10.0), 8, ("read", 1))
    assert stood(clock, 8, ("read", 2)).stands_s == 7


def test_a_stopped_process_is_told_of_after_a_second() -> None:
    clock = stood(CallClock(60.0), 2)
    assert clock.is_worth_a_word(stopped=True)
    assert not clock.is_worth_a_word(stopped=False)


def test_a_short_limit_is_told_of_before_it_is_over() -> None:
    clock = stood(CallClock(2.0), 2)
    assert clock.is_worth_a_word(stopped=False)
    assert not clock.is_over


def started(clock: CallClock, seconds: int) -> CallClock:
    for _ in range(seconds + 1):
        clock.saw("start", 1.0, starts=True)
    return clock


@pytest.mark.parametrize(("limit_s", "over_s"), [(3.0, 60), (60.0, 60), (100.0, 100)])
def test_a_start_has_its_limit_and_a_minute_at_least(limit_s: float, over_s: int) -> None:
    assert not started(CallClock(limit_s), over_s - 1).is_over
    assert started(CallClock(limit_s), over_s).is_over


def test_a_start_is_worth_a_word_after_twenty_seconds_or_one_if_it_was_stopped() -> None:
    for limit_s in (3.0, 60.0, None):
        assert not started(CallClock(limit_s), 19).is_worth_a_word(stopped=False)
        assert started(CallClock(limit_s), 20).is_worth_a_word(stopped=False)
        assert started(CallClock(limit_s), 1).is_worth_a_word(stopped=True)


def test_what_a_process_does_after_its_start_has_the_limit_of_a_call() -> None:
    assert stood(started(CallClock(3.0), 50), 4).is_over


def test_what_is_in_no_call_does_not_stand() -> None:
    clock = stood(CallClock(3.0), 10)
    clock.saw(None, 1.0)
    assert not clock.is_over
    assert stood(clock, 10, None).stands_s == 0


def test_without_a_limit_it_is_told_of_and_never_over() -> None:
    clock = stood(CallClock(None), 1000)
    assert clock.is_worth_a_word(stopped=False)
    assert not clock.is_over


@pytest.mark.parametrize("elapsed_s", [0.05, 1.0])
def test_only_time_that_was_watched_counts(elapsed_s: float) -> None:
    clock = CallClock(60.0)
    clock.saw("commit", elapsed_s)
    clock.saw("commit", elapsed_s)
    assert clock.stands_s == elapsed_s
