"""Places for readers that join a run in progress."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.model.plan import SinkPlan
from dtopipe.shm.layout import MAX_ROWS, Layout
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.table import SubscriberTable
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.starts import Starts

_TO_THE_END = {
    "detached": (WorkerEvent.BEGUN, WorkerEvent.SAID_READY, WorkerEvent.BOARD_STARTED, WorkerEvent.SAID_DONE),
    "gave up": (WorkerEvent.DIED, WorkerEvent.SPENT_ITS_BUDGET),
    "starting": (),
}


def _agents(how: str, number: int) -> dict[str, SinkAgent]:
    found = {}
    for at in range(number):
        agent = SinkAgent(SinkPlan(f"{how} {at}", "csv", f"{how} {at}.csv"), Path("/nowhere"))
        for event in _TO_THE_END[how]:
            agent.happened(event)
        found[agent.plan.name] = agent
    return found


def test_places_are_kept_for_those_who_may_need_one_again_and_for_nobody_whose_output_is_closed() -> None:
    name = new_name()
    ring = Ring.create(name, Layout(4, 1, 10, "int16"))
    try:
        run: Any = SimpleNamespace(table=SubscriberTable(ring), sinks={})
        starts = Starts(run)
        most = starts.rows_left()
        assert 0 < most < MAX_ROWS
        run.sinks |= _agents("detached", 2 * MAX_ROWS)
        assert {agent.state for agent in run.sinks.values()} == {WorkerState.DONE}
        assert starts.rows_left() == most
        run.sinks |= _agents("gave up", 3) | _agents("starting", 2)
        assert starts.rows_left() == most - 5
    finally:
        ring.close()
        unlink(name)
