"""A row of the ring for a sink that has none: one that was attached, or is revived."""

from __future__ import annotations

from dtopipe.gateway.source import NotAvailable
from dtopipe.model.errors import RingError, WireError
from dtopipe.model.position import Position
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.supervisor.starts import Starts


class Placement:
    """Opens it as late as can be, so that nobody is held while a process starts."""

    def __init__(self, memory: RunMemory, sinks: Sinks, starts: Starts, record: RunRecord, events: Events) -> None:
        self._memory = memory
        self._sinks = sinks
        self._starts = starts
        self._record = record
        self._events = events

    def find(self, agent: SinkAgent) -> bool:
        """Open its row, if it has none; False where it cannot begin."""
        if agent.row is not None:
            return True
        if not agent.is_placed:
            return self._begin(agent)
        table = self._memory.table
        if table is not None:
            agent.row = table.open_behind(agent.plan.policy, agent.left_at, covered=self._sinks.is_covered(agent))
        return table is not None

    def fail(self, agent: SinkAgent, message: str, remedy: str) -> None:
        """It never began: nothing of it stays in the record."""
        agent.never_began = message, remedy
        self._events.append("attach_failed", agent.plan.name, why=message)

    def _begin(self, agent: SinkAgent) -> bool:
        """Open the row of a sink that is attached, and find where it starts; False where that is not to be had."""
        since = agent.attached_since
        if since is None:
            raise RuntimeError(f"{agent.plan.name} was not attached")
        try:
            row, start = self._starts.open_row(agent.plan.policy, since, covered=self._sinks.is_covered(agent))
        except (RingError, NotAvailable, WireError) as error:
            self.fail(agent, error.headline, error.remedy)
            return False
        except OSError as error:
            self.fail(agent, str(error), "")
            return False
        agent.row = row
        agent.position = Position(start, start, start)
        agent.is_placed = True
        # Before its output is there: whoever finds this run killed has to know of it.
        self._record.add_sink(agent.plan.name, agent.fragment)
        return True
