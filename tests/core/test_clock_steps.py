"""A wall clock that is set, and a machine that sleeps, while a run goes on."""

from __future__ import annotations

from dtopipe.core.clock_steps import ClockStepped, ClockSteps, Slept

S = 1_000_000_000


def test_a_clock_that_is_set_is_told_once_with_its_size() -> None:
    steps = ClockSteps(10 * S, 0)
    assert steps.read(10 * S + 2_000_000, 0) == ()
    assert steps.read(3610 * S, 0) == (ClockStepped(3600 * S),)
    assert steps.read(3610 * S, 0) == ()
    back = steps.read(10 * S, 0)
    assert [step.text for step in back] == ["the wall clock was set back by 3600.000 s"]
    assert steps.total_ns == 0


def test_a_sleep_is_no_step_and_what_was_set_meanwhile_is_told_by_itself() -> None:
    steps = ClockSteps(0, 5 * S)
    assert steps.read(60 * S, 65 * S) == (Slept(60 * S),)
    assert steps.read(90 * S, 75 * S) == (Slept(10 * S), ClockStepped(20 * S))
    assert steps.read(90 * S, 75 * S) == ()


def test_many_small_steps_add_up_to_one_that_is_told() -> None:
    steps = ClockSteps(0, 0)
    told = [steps.read(n * 30_000_000, 0) for n in range(1, 5)]
    assert told == [(), (), (), (ClockStepped(120_000_000),)]
