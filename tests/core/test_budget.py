"""How often a worker may be restarted."""

from __future__ import annotations

from dtopipe.core.budget import GiveUp, RestartAfter, RestartBudget, must_start_now, pause_within
from dtopipe.model.plan import RestartPlan

S = 1_000_000_000


def test_pauses_double_with_every_death_in_the_window() -> None:
    budget = RestartBudget(RestartPlan(max_restarts=4, within_s=60, backoff_s=0.25))
    answers = [budget.died(now_ns=at * S, ready_ns=0) for at in (10, 20, 30, 40)]
    assert answers == [RestartAfter(0.25), RestartAfter(0.5), RestartAfter(1.0), RestartAfter(2.0)]


def test_one_death_more_than_the_budget_is_the_end() -> None:
    budget = RestartBudget(RestartPlan(max_restarts=2, within_s=60))
    budget.died(10 * S, ready_ns=0)
    budget.died(20 * S, ready_ns=0)
    assert budget.died(30 * S, ready_ns=0) == GiveUp(3, 20.0)


def test_deaths_that_lie_further_back_than_the_window_are_forgotten() -> None:
    budget = RestartBudget(RestartPlan(max_restarts=1, within_s=60, backoff_s=0.25))
    assert budget.died(10 * S, ready_ns=0) == RestartAfter(0.25)
    assert budget.died(70 * S + 1, ready_ns=0) == RestartAfter(0.25)
    assert budget.died(130 * S + 1, ready_ns=0) == GiveUp(2, 60.0), "a death exactly as old as the window still counts"


def test_death_within_two_seconds_of_being_ready_counts_double() -> None:
    budget = RestartBudget(RestartPlan(max_restarts=5, backoff_s=0.25))
    assert budget.died(12 * S - 1, ready_ns=10 * S) == RestartAfter(0.5)
    assert budget.died(32 * S, ready_ns=30 * S) == RestartAfter(1.0)


def test_death_before_being_ready_counts_double_but_is_told_as_one() -> None:
    budget = RestartBudget(RestartPlan(max_restarts=3))
    assert isinstance(budget.died(100 * S, ready_ns=None), RestartAfter)
    assert budget.died(101 * S, ready_ns=None) == GiveUp(2, 1.0)


def test_how_often_it_failed_is_told_with_how_soon() -> None:
    assert [GiveUp(*told).text for told in ((1, 0.0), (2, 0.3), (6, 59.6))] == [
        "1 failure", "2 failures in 1 s", "6 failures in 60 s",
    ]  # fmt: skip


def test_a_budget_of_nothing_gives_up_at_once() -> None:
    assert RestartBudget(RestartPlan(max_restarts=0)).died(10 * S, ready_ns=0) == GiveUp(1, 0.0)


def test_pauses_stop_growing_for_whoever_allows_many_restarts() -> None:
    budget = RestartBudget(RestartPlan(max_restarts=1_000_000, within_s=1e9, backoff_s=0.25))
    answers = [budget.died(now_ns=at * S, ready_ns=0) for at in range(10, 1500)]
    assert answers[-1] == RestartAfter(10.0)
    patient = RestartBudget(RestartPlan(max_restarts=9, backoff_s=30.0))
    assert [patient.died(now_ns=at * S, ready_ns=0) for at in (10, 20)] == [RestartAfter(30.0), RestartAfter(30.0)]


def test_a_board_that_is_away_spends_one_try_each_time_however_soon() -> None:
    budget = RestartBudget(RestartPlan(max_restarts=3, within_s=3600.0, backoff_s=1.0))
    answers = [budget.was_away(n * 1_000_000_000) for n in range(4)]
    assert answers == [RestartAfter(1.0), RestartAfter(2.0), RestartAfter(4.0), GiveUp(4, 3.0)]
    assert budget.longest_pause_s == 10.0


def test_pauses_of_who_holds_the_ring_fit_into_it_however_many_there_are() -> None:
    room_s, start_s, paused_s = 6.0, 0.5, 0.0
    while not must_start_now(room_s, start_s):
        pause_s = pause_within(10.0, room_s)
        paused_s += pause_s
        room_s -= pause_s + 0.1
        assert room_s > 0
    assert room_s > start_s
    assert pause_within(0.25, 60.0) == 0.25
    assert pause_within(10.0, -1.0) == 0.0
    assert must_start_now(3.0, start_s=1.6)
