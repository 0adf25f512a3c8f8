"""The life of a worker process, as its supervisor sees it: a table of transitions; and how a sink is in the end."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class WorkerState(StrEnum):
    """What a worker is doing; the last four are final unless somebody revives it."""

    STARTING = "starting"
    OPENING = "opening"
    READY = "ready"
    RUNNING = "running"
    RESTARTING = "restarting"
    DONE = "done"
    GAVE_UP = "gave_up"
    CUT_OFF = "cut_off"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True if nothing more is expected of this worker."""
        return self in _FINAL

    @property
    def has_process(self) -> bool:
        """True if there is a process, or there should be."""
        return self in (WorkerState.STARTING, WorkerState.OPENING, WorkerState.READY, WorkerState.RUNNING)


class WorkerEvent(StrEnum):
    """What can happen to a worker."""

    BEGUN = "begun"
    SAID_READY = "said_ready"
    BOARD_STARTED = "board_started"
    SAID_DONE = "said_done"
    DIED = "died"
    SPAWNED = "spawned"
    SPENT_ITS_BUDGET = "spent_its_budget"
    WAS_CUT_OFF = "was_cut_off"
    WAS_CANCELLED = "was_cancelled"
    REVIVED = "revived"


_FINAL = frozenset({WorkerState.DONE, WorkerState.GAVE_UP, WorkerState.CUT_OFF, WorkerState.CANCELLED})

_S, _H = WorkerState, WorkerEvent
TRANSITIONS: dict[tuple[WorkerState, WorkerEvent], WorkerState] = {
    (_S.STARTING, _H.BEGUN): _S.OPENING,
    # A board and a port are opened unasked.
    (_S.STARTING, _H.SAID_READY): _S.READY,
    (_S.OPENING, _H.SAID_READY): _S.READY,
    (_S.READY, _H.BOARD_STARTED): _S.RUNNING,
    (_S.READY, _H.SAID_DONE): _S.DONE,
    (_S.RUNNING, _H.SAID_DONE): _S.DONE,
    (_S.RESTARTING, _H.SPAWNED): _S.STARTING,
    (_S.RESTARTING, _H.SPENT_ITS_BUDGET): _S.GAVE_UP,
    (_S.RESTARTING, _H.WAS_CUT_OFF): _S.CUT_OFF,
    (_S.RESTARTING, _H.WAS_CANCELLED): _S.CANCELLED,
    (_S.GAVE_UP, _H.REVIVED): _S.STARTING,
    (_S.CUT_OFF, _H.REVIVED): _S.STARTING,
    **{(state, _H.DIED): _S.RESTARTING for state in WorkerState if state.has_process},
    **{(state, _H.WAS_CUT_OFF): _S.CUT_OFF for state in WorkerState if state.has_process},
    **{(state, _H.WAS_CANCELLED): _S.CANCELLED for state in WorkerState if state.has_process},
}


class SinkState(StrEnum):
    """How a sink is: what its worker does, or what else there is to say of it. As run records have it."""

    STARTING = "starting"
    OPENING = "opening"
    READY = "ready"
    RUNNING = "running"
    RESTARTING = "restarting"
    DONE = "done"
    GAVE_UP = "gave_up"
    CUT_OFF = "cut_off"
    CANCELLED = "cancelled"
    # Its output, or the journal, is not there for now.
    AWAY = "away"
    # It stands in one call, or was stopped; a table says in which.
    HUNG = "hung"
    DETACHING = "detaching"
    DETACHED = "detached"
    # Of a run whose every process was killed.
    INTERRUPTED = "interrupted"

    @property
    def is_under_way(self) -> bool:
        """True until it writes, or cannot."""
        return self in _UNDER_WAY

    @property
    def is_over(self) -> bool:
        """True if it writes no more."""
        return self in _OVER

    @property
    def is_closed(self) -> bool:
        """True if its output was closed in order."""
        return self in (SinkState.DONE, SinkState.DETACHED)


_UNDER_WAY = frozenset({SinkState.STARTING, SinkState.OPENING, SinkState.READY, SinkState.RESTARTING})
_OVER = frozenset({SinkState.DETACHED, SinkState.DONE, SinkState.GAVE_UP, SinkState.CUT_OFF, SinkState.CANCELLED})


def condition_of(sink: Mapping[str, Any]) -> SinkState:
    """How a sink is, by the facts of a status or of a run record; hung where only a table's words are known."""
    said = sink.get("condition", sink["state"])
    return next((state for state in SinkState if state.value == said), SinkState.HUNG)


def lacks(sink: Mapping[str, Any]) -> int:
    """How many samples it has not that it was to have, by the facts of a status or of a run record."""
    return int(sink["gaps"]) - int(sink.get("untriggered", 0))


def can_happen(state: WorkerState, event: WorkerEvent) -> bool:
    """True if that can happen to a worker in this state."""
    return (state, event) in TRANSITIONS


def after(state: WorkerState, event: WorkerEvent) -> WorkerState:
    """The next state. Raises ValueError for what cannot happen in this one."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"{event} cannot happen to a worker that is {state}") from None
