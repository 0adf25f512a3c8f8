"""The sinks of a run by their names, and the journal among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dtopipe.model.policy import Policy
from dtopipe.supervisor.sink_agent import SinkAgent


class Sinks:
    """Those of the topology, and those that were attached."""

    def __init__(self, agents: Iterable[SinkAgent]) -> None:
        self.by_name = {agent.plan.name: agent for agent in agents}
        self.journal = next((agent for agent in self if agent.plan.is_journal), None)

    def __iter__(self) -> Iterator[SinkAgent]:
        """The sinks in the order in which they came; some may come or go meanwhile."""
        return iter(list(self.by_name.values()))

    def covers(self, policy: Policy) -> bool:
        """True if who reads under this policy finds in a journal what the ring has no more."""
        return self.journal is not None and policy is Policy.BLOCK

    def is_covered(self, agent: SinkAgent) -> bool:
        """True for a sink that the run's journal covers."""
        return agent is not self.journal and self.covers(agent.plan.policy)
