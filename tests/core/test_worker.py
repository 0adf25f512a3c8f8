"""The lives of a worker: death, last words, budget and restart, for whatever kind of worker."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.core.worker import Death, WorkerLife
from dtopipe.model.plan import RestartPlan

S = 1_000_000_000


@dataclass(frozen=True)
class Words:
    """What a worker says at last."""

    message: str = "no such device"
    remedy: str = "plug it in"
    where_and_what: str = "no such device"
    is_final: bool | None = None


def a_life(max_restarts: int = 3, backoff_s: float = 0.25) -> WorkerLife:
    life = WorkerLife(RestartPlan(max_restarts=max_restarts, within_s=60.0, backoff_s=backoff_s))
    life.spawned()
    return life


def test_its_last_words_are_heard_before_its_death_is_believed() -> None:
    life = a_life()
    assert not life.is_surely_dead(S, owes_words=False)
    assert life.is_surely_dead(S, owes_words=False)
    life.spawned()
    assert not life.is_surely_dead(S, owes_words=False), "a successor is another process"


def test_words_that_a_process_says_it_has_sent_are_waited_for_until_they_are_heard() -> None:
    life = a_life()
    assert not life.is_surely_dead(S, owes_words=True)
    assert not life.is_surely_dead(S + S // 2, owes_words=True)
    life.last_words = Words()
    assert life.is_surely_dead(S + S // 2, owes_words=True)


def test_words_that_do_not_come_are_not_waited_for_without_end() -> None:
    life = a_life()
    assert not life.is_surely_dead(S, owes_words=True)
    assert life.is_surely_dead(3 * S, owes_words=True)


def test_a_death_is_followed_by_a_pause_and_a_successor() -> None:
    life = a_life()
    life.died(Death(10 * S, "killed by SIGKILL", ready_ns=0))
    assert (life.state, life.failure) == (WorkerState.RESTARTING, "killed by SIGKILL")
    assert not life.is_due(10 * S + S // 4 - 1)
    assert life.is_due(10 * S + S // 4)
    life.succeeded()
    assert (life.state, life.generation, life.restarts) == (WorkerState.STARTING, 1, 1)
    assert not life.is_due(99 * S), "it has a process"


def test_last_words_say_more_than_an_exit() -> None:
    life = a_life()
    life.last_words = Words()
    life.died(Death(10 * S, "ended with exit code 3", ready_ns=0))
    assert life.failure == "no such device"
    life.succeeded()
    life.spawned()
    assert life.last_words is None, "they were its predecessor's"


def test_one_death_too_many_is_the_end_and_says_after_how_many() -> None:
    life = a_life(max_restarts=2)
    for at in (10, 20):
        life.died(Death(at * S, "killed", ready_ns=0))
        life.succeeded()
    life.died(Death(30 * S, "killed", ready_ns=0))
    assert (life.state, life.failure) == (WorkerState.GAVE_UP, "gave up after 3 failures in 20 s: killed")
    assert not life.is_due(99 * S)


def test_who_says_that_trying_again_changes_nothing_is_believed_at_once() -> None:
    life = a_life()
    life.last_words = Words(is_final=True)
    life.died(Death(10 * S, "ended with exit code 3", ready_ns=0))
    assert (life.state, life.failure) == (WorkerState.GAVE_UP, "gave up: no such device")


def test_a_death_that_was_asked_for_is_neither_counted_nor_shown_and_has_no_pause() -> None:
    life = a_life(max_restarts=0)
    life.died(Death(10 * S, "ended with exit code 0", ready_ns=9 * S, was_asked=True))
    assert (life.state, life.failure) == (WorkerState.RESTARTING, "")
    assert life.is_due(10 * S)


def test_what_is_away_counts_as_one_try_however_soon() -> None:
    life = a_life(max_restarts=3)
    for n in range(3):
        life.died(Death(n * S, "away", ready_ns=None, was_away=True))
        assert life.state is WorkerState.RESTARTING
        life.succeeded()
    life.died(Death(3 * S, "away", ready_ns=None, was_away=True))
    assert life.state is WorkerState.GAVE_UP


def test_what_is_waited_for_is_waited_for_without_end() -> None:
    life = a_life(max_restarts=1)
    for n in range(50):
        life.died(Death(n * S, "away", ready_ns=None, was_away=True, is_waited_for=True))
        assert life.state is WorkerState.RESTARTING
        assert life.restart_due_ns <= n * S + 10 * S
        life.succeeded()
    assert life.restarts == 50


def test_waiting_for_what_is_away_pardons_no_death() -> None:
    life = a_life(max_restarts=1)
    life.died(Death(S, "killed", ready_ns=None, is_waited_for=True))
    assert life.state is WorkerState.GAVE_UP


def test_no_pause_is_longer_than_there_is_room_for() -> None:
    life = a_life(backoff_s=5.0)
    life.died(Death(10 * S, "killed", ready_ns=0, longest_pause_s=0.5))
    assert life.restart_due_ns == 10 * S + S // 2
    life.succeeded()
    life.died(Death(20 * S, "killed", ready_ns=0, longest_pause_s=math.inf))
    assert life.restart_due_ns == 30 * S


def test_who_is_begun_anew_has_a_whole_budget() -> None:
    life = a_life(max_restarts=1)
    life.died(Death(10 * S, "killed", ready_ns=0))
    life.succeeded()
    life.begin_anew(11 * S)
    life.died(Death(12 * S, "killed", ready_ns=0))
    assert life.state is WorkerState.RESTARTING


def test_who_gave_up_is_revived_as_another_generation() -> None:
    life = a_life(max_restarts=0)
    life.died(Death(10 * S, "killed", ready_ns=0))
    life.begin_anew(20 * S)
    life.revived()
    assert (life.state, life.generation, life.restarts, life.failure) == (WorkerState.STARTING, 1, 1, "")


@pytest.mark.parametrize("event", [WorkerEvent.SAID_DONE, WorkerEvent.REVIVED, WorkerEvent.SPAWNED])
def test_what_cannot_happen_is_known_before_it_is_tried(event: WorkerEvent) -> None:
    life = a_life()
    assert not life.may(event)
    with pytest.raises(ValueError, match="cannot happen"):
        life.happened(event)


class LifeMachine(RuleBasedStateMachine):
    """Any order of what may happen to a worker, against what it must never do."""

    def __init__(self) -> None:
        super().__init__()
        self.life = a_life(max_restarts=4)
        self.now_ns = 0
        self.ready_ns: int | None = None
        # (when, what it counts) of each death of this budget.
        self.deaths: list[tuple[int, int]] = []

    @rule(by_ns=st.integers(0, 90 * S))
    def time_passes(self, by_ns: int) -> None:
        self.now_ns += by_ns

    @precondition(lambda self: self.life.may(WorkerEvent.SAID_READY))
    @rule()
    def it_gets_ready(self) -> None:
        self.life.happened(WorkerEvent.SAID_READY)
        self.ready_ns = self.now_ns

    @precondition(lambda self: self.life.state.has_process)
    @rule(is_final=st.sampled_from([None, False, True]), was_away=st.booleans(), was_asked=st.booleans())
    def it_dies(self, is_final: bool | None, was_away: bool, was_asked: bool) -> None:
        self.life.last_words = Words(is_final=is_final)
        self.life.died(Death(self.now_ns, "killed", self.ready_ns, was_asked=was_asked, was_away=was_away))
        if was_asked:
            assert self.life.is_due(self.now_ns)
            return
        early = self.ready_ns is None or self.now_ns - self.ready_ns < 2 * S
        self.deaths.append((self.now_ns, 1 if was_away or not early else 2))
        spent = sum(cost for at, cost in self.deaths if self.now_ns - at <= 60 * S)
        must_end = bool(is_final) or spent > 4
        assert (self.life.state is WorkerState.GAVE_UP) == must_end
        assert "no such device" in self.life.failure

    @precondition(lambda self: self.life.state is WorkerState.RESTARTING)
    @rule()
    def a_successor_comes_when_it_is_due(self) -> None:
        assert self.life.restart_due_ns - self.now_ns <= 10 * S
        self.now_ns = max(self.now_ns, self.life.restart_due_ns)
        assert self.life.is_due(self.now_ns)
        before = self.life.generation
        self.life.succeeded()
        self.life.spawned()
        self.ready_ns = None
        assert self.life.generation == before + 1

    @precondition(lambda self: self.life.state is WorkerState.GAVE_UP)
    @rule()
    def it_is_revived(self) -> None:
        self.life.begin_anew(self.now_ns)
        self.life.revived()
        self.life.spawned()
        self.deaths.clear()
        self.ready_ns = None

    @invariant()
    def it_is_due_only_while_it_has_no_process(self) -> None:
        assert not (self.life.is_due(2**62) and (self.life.state.has_process or self.life.state.is_final))
        assert self.life.restarts == self.life.generation


TestLives = LifeMachine.TestCase
TestLives.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
