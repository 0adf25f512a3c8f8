"""What can happen to a worker, and what it is then."""

from __future__ import annotations

import pytest

from dtopipe.core.lifecycle import TRANSITIONS, WorkerEvent, WorkerState, after

LIFE = [WorkerEvent.BEGUN, WorkerEvent.SAID_READY, WorkerEvent.BOARD_STARTED]


def after_all(*events: WorkerEvent) -> WorkerState:
    state = WorkerState.STARTING
    for event in events:
        state = after(state, event)
    return state


def test_a_worker_goes_from_starting_to_done() -> None:
    assert after_all(*LIFE, WorkerEvent.SAID_DONE) is WorkerState.DONE


def test_a_worker_that_died_begins_anew() -> None:
    assert after_all(*LIFE, WorkerEvent.DIED, WorkerEvent.SPAWNED, *LIFE) is WorkerState.RUNNING


def test_a_worker_gives_up_only_when_it_has_died() -> None:
    assert after_all(*LIFE, WorkerEvent.DIED, WorkerEvent.SPENT_ITS_BUDGET) is WorkerState.GAVE_UP
    with pytest.raises(ValueError, match="spent_its_budget cannot happen to a worker that is running"):
        after_all(*LIFE, WorkerEvent.SPENT_ITS_BUDGET)


@pytest.mark.parametrize("state", [state for state in WorkerState if not state.is_final])
def test_whatever_is_not_final_can_be_cut_off_and_cancelled(state: WorkerState) -> None:
    assert after(state, WorkerEvent.WAS_CUT_OFF) is WorkerState.CUT_OFF
    assert after(state, WorkerEvent.WAS_CANCELLED) is WorkerState.CANCELLED


@pytest.mark.parametrize("state", [state for state in WorkerState if state.has_process])
def test_whoever_has_a_process_can_die_and_is_then_restarted(state: WorkerState) -> None:
    assert after(state, WorkerEvent.DIED) is WorkerState.RESTARTING


@pytest.mark.parametrize("state", [WorkerState.GAVE_UP, WorkerState.CUT_OFF])
def test_a_worker_that_gave_up_or_was_cut_off_can_be_revived(state: WorkerState) -> None:
    assert after(state, WorkerEvent.REVIVED) is WorkerState.STARTING


@pytest.mark.parametrize("state", [state for state in WorkerState if not state.is_final])
def test_what_is_not_over_cannot_be_revived(state: WorkerState) -> None:
    with pytest.raises(ValueError, match="cannot happen"):
        after(state, WorkerEvent.REVIVED)


@pytest.mark.parametrize("event", [event for event in WorkerEvent if event is not WorkerEvent.REVIVED])
@pytest.mark.parametrize("state", [state for state in WorkerState if state.is_final])
def test_nothing_else_happens_to_what_is_final(state: WorkerState, event: WorkerEvent) -> None:
    with pytest.raises(ValueError, match="cannot happen"):
        after(state, event)


def test_every_state_can_be_reached_and_left_to_a_final_one() -> None:
    reached = {WorkerState.STARTING}
    ends = {state for state in WorkerState if state.is_final}
    for _ in WorkerState:
        reached |= {then for (state, _), then in TRANSITIONS.items() if state in reached}
        ends |= {state for (state, _), then in TRANSITIONS.items() if then in ends}
    assert reached == ends == set(WorkerState)
