"""The lives of one worker of a run, whatever it does: born, ready, dead, succeeded, or given up.

It knows no process, no clock and no message: what was seen of a process comes in, with times as `now_ns`; whether and
when a successor is to be started comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from dtopipe.core.budget import GiveUp, RestartAfter, RestartBudget
from dtopipe.core.lifecycle import WorkerEvent, WorkerState, after, can_happen
from dtopipe.model.plan import RestartPlan


class LastWords(Protocol):
    """What a worker says before it ends by itself: why, and the way out.

    `is_final`: True if a successor would only be told the same, False if what it needs may come back; None where it
    does not know.
    """

    @property
    def message(self) -> str:
        """Why it ends."""

    @property
    def remedy(self) -> str:
        """The way out, or empty."""

    @property
    def where_and_what(self) -> str:
        """The message with the path that it is about, if it is about one."""

    @property
    def is_final(self) -> bool | None:
        """Whether another try would change nothing."""


# From a process's end to the word that it sent before: the system has it then, and hands it over within milliseconds
# where anything runs at all.
_LONGEST_WAY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Death:
    """What is known of a process that is dead before its work was done.

    `how`: its exit, in words, for one that had no last words. `ready_ns`: since when it had worked; None for one that
    never did. `was_asked`: it was to die, for a successor. `was_away`: what it needs was not there, so that it counts
    as one try; with `is_waited_for` it is then waited for without end. A pause is never longer than `longest_pause_s`.
    """

    now_ns: int
    how: str
    ready_ns: int | None
    was_asked: bool = False
    was_away: bool = False
    is_waited_for: bool = False
    longest_pause_s: float = math.inf


class WorkerLife:
    """State, last words and restarts of one worker, across all processes that it has."""

    def __init__(self, restart: RestartPlan) -> None:
        self._restart = restart
        self._budget = RestartBudget(restart)
        self._seen_dead_ns: int | None = None
        self.state = WorkerState.STARTING
        # Of its present process: how many it had before, and how often one was started anew.
        self.generation = self.restarts = 0
        self.last_words: LastWords | None = None
        self.ready_ns: int | None = None
        # While it is restarting.
        self.restart_due_ns = 0
        # Why its last process died; once it gave up, after how many of them.
        self.failure = ""

    def may(self, event: WorkerEvent) -> bool:
        """True if that can happen to it now."""
        return can_happen(self.state, event)

    def happened(self, event: WorkerEvent) -> None:
        """Move on in the table of transitions. Raises ValueError for what cannot happen now."""
        self.state = after(self.state, event)

    def spawned(self) -> None:
        """A process was started for it."""
        self.last_words, self.ready_ns, self._seen_dead_ns = None, None, None

    def is_surely_dead(self, now_ns: int, *, owes_words: bool) -> bool:
        """True once a dead process has nothing more to say: from the second look on.

        `owes_words`: its end says that it sent a last word, which is then waited for until it is heard, or was lost.
        """
        if self._seen_dead_ns is None:
            self._seen_dead_ns = now_ns
            return False
        if self.last_words is not None or not owes_words:
            return True
        return now_ns - self._seen_dead_ns >= _LONGEST_WAY_NS

    def died(self, death: Death) -> None:
        """Its process is dead: now it is restarting, or has given up; `failure` says why."""
        said = self.last_words
        why = (said.message if said else "") or death.how
        self.failure = why
        self.happened(WorkerEvent.DIED)
        if death.was_asked:
            self.restart_due_ns, self.failure = death.now_ns, ""
            return
        answer = self._answer(death)
        if said is not None and said.is_final:
            self._gave_up(f"gave up: {why}")
        elif isinstance(answer, GiveUp):
            self._gave_up(f"gave up after {answer.text}: {why}")
        else:
            pause_s = min(answer.pause_s, death.longest_pause_s)
            self.restart_due_ns = death.now_ns + round(pause_s * 1e9)

    def is_due(self, now_ns: int) -> bool:
        """True once a successor is to be started."""
        return self.state is WorkerState.RESTARTING and now_ns >= self.restart_due_ns

    def succeeded(self) -> None:
        """A successor takes over."""
        self._next(WorkerEvent.SPAWNED)

    def begin_anew(self, now_ns: int) -> None:
        """Somebody asked for a restart: deaths so far do not count any more, and there is no pause."""
        self._budget = RestartBudget(self._restart)
        self.failure = ""
        self.restart_due_ns = now_ns

    def revived(self) -> None:
        """It had given up, or was cut off, and begins again."""
        self._next(WorkerEvent.REVIVED)

    def _next(self, event: WorkerEvent) -> None:
        self.happened(event)
        self.generation += 1
        self.restarts += 1

    def _answer(self, death: Death) -> RestartAfter | GiveUp:
        if not death.was_away:
            return self._budget.died(death.now_ns, death.ready_ns)
        answer = self._budget.was_away(death.now_ns)
        if death.is_waited_for and isinstance(answer, GiveUp):
            return RestartAfter(self._budget.longest_pause_s)
        return answer

    def _gave_up(self, why: str) -> None:
        self.happened(WorkerEvent.SPENT_ITS_BUDGET)
        self.failure = why
