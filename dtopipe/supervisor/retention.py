"""Tells the journal, in shared memory, up to where every other BLOCK output is durable."""

from __future__ import annotations

from dtopipe.core.retention import kept_for, settled_before
from dtopipe.model.policy import Policy
from dtopipe.supervisor.gateway_agent import GatewayAgent
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks


class Retention:
    """Looks once a turn; only where the journal retires segments."""

    def __init__(self, memory: RunMemory, sinks: Sinks, gateway: GatewayAgent) -> None:
        self._memory = memory
        self._sinks = sinks
        self._gateway = gateway
        self._settled = 0

    def look(self) -> None:
        """One turn. A sink that gave up, is away or stopped counts with what it had."""
        journal, table = self._sinks.journal, self._memory.table
        if journal is not None and journal.plan.retires and table is not None:
            # Never less than before: it may be gone already. Whoever is attached starts behind it.
            self._settled = max(self._settled, settled_before(self._durable_elsewhere()))
            table.settle(self._settled)

    def waited_for(self, committed: int) -> list[str]:
        """The names of those for which the journal, committed up to there, keeps what it keeps."""
        return list(kept_for(self._durable_elsewhere(), committed))

    def _durable_elsewhere(self) -> dict[str, int]:
        """The indices up to which each BLOCK reader besides the journal, and each remote, needs it no more."""
        outputs = {
            agent.plan.name: agent.position.durable - self._lookback(agent)
            for agent in self._sinks.workers
            if agent is not self._sinks.journal and agent.plan.policy is Policy.BLOCK and not agent.is_detached
            # Nobody will ever come back for what it did not look at.
            if not (agent is self._sinks.watcher and agent.state.is_final)
        }
        return outputs | self._gateway.kept()

    def _lookback(self, agent: SinkAgent) -> int:
        """How far before its end a successor has to be told again what there was."""
        stream = self._memory.stream
        return 0 if agent.trigger is None or stream is None else agent.trigger.window(stream.rate_hz).lookback
