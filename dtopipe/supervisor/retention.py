"""Tells the journal, in shared memory, up to where every other BLOCK output is durable."""

from __future__ import annotations

from dtopipe.core.retention import kept_for, settled_before
from dtopipe.model.policy import Policy
from dtopipe.supervisor.run import Run


class Retention:
    """Looks once a turn; only where the journal retires segments."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._settled = 0

    def look(self) -> None:
        """One turn. A sink that gave up, is away or stopped counts with what it had."""
        journal = self._run.journal
        if journal is not None and journal.plan.retires and self._run.table is not None:
            # Never less than before: it may be gone already. Whoever is attached starts behind it.
            self._settled = max(self._settled, settled_before(durable_elsewhere(self._run)))
            self._run.table.settle(self._settled)


def durable_elsewhere(run: Run) -> dict[str, int]:
    """Up to where each BLOCK output besides the journal is durable, by name; and each remote that has to have it."""
    outputs = {
        name: agent.position.durable
        for name, agent in run.sinks.items()
        if agent is not run.journal and agent.plan.policy is Policy.BLOCK and not agent.is_detached
    }
    return outputs | run.gateway.kept()


def waited_for(run: Run, committed: int) -> list[str]:
    """For whom the journal, which is committed up to there, keeps what it keeps."""
    return list(kept_for(durable_elsewhere(run), committed))
