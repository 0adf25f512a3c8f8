"""The sinks of a run by their names, the journal among them, and who watches limits beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dtopipe.model.policy import Policy
from dtopipe.supervisor.limits_agent import LimitsAgent
from dtopipe.supervisor.sink_agent import SinkAgent


class Sinks:
    """Those of the topology, and those that were attached.

    `watcher`: the worker that watches limits, where there are any. It lives as a sink's does, and has no output: only
    who deals with processes, rows and restarts asks for it, by `workers`.
    """

    def __init__(self, agents: Iterable[SinkAgent], watcher: LimitsAgent | None = None) -> None:
        self.watcher = watcher
        self.by_name = {agent.plan.name: agent for agent in agents}
        self.journal = next((agent for agent in self if agent.plan.is_journal), None)

    def __iter__(self) -> Iterator[SinkAgent]:
        """The sinks in the order in which they came; some may come or go meanwhile."""
        return iter(list(self.by_name.values()))

    @property
    def workers(self) -> list[SinkAgent]:
        """The sinks, and the watcher of limits."""
        return [*self, *([] if self.watcher is None else [self.watcher])]

    @property
    def workers_by_name(self) -> dict[str, SinkAgent]:
        """The same by their names."""
        return {agent.plan.name: agent for agent in self.workers}

    def covers(self, policy: Policy) -> bool:
        """True if who reads under this policy finds in a journal what the ring has no more."""
        return self.journal is not None and policy is Policy.BLOCK

    def is_covered(self, agent: SinkAgent) -> bool:
        """True for a sink that the run's journal covers."""
        return agent is not self.journal and self.covers(agent.plan.policy)
