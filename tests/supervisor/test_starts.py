"""Places for readers that join a run in progress."""

from __future__ import annotations

from pathlib import Path

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.model.plan import SinkPlan
from dtopipe.model.stream import Channel, Stream
from dtopipe.shm.layout import MAX_ROWS, Layout
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.supervisor.starts import Starts

STREAM = Stream("run-1", "heat", "box", (Channel("a"),), "int16", 100.0, 10, "2026-11-22T23:41:00Z")
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
            agent.life.happened(event)
        found[agent.plan.name] = agent
    return found


def test_places_are_kept_for_those_who_may_need_one_again_and_for_nobody_whose_output_is_closed() -> None:
    memory, sinks = RunMemory(), Sinks([])
    try:
        memory.make(STREAM, Layout(4, 1, 10, "int16"), 0)
        starts = Starts(memory, sinks)
        most = starts.rows_left()
        assert 0 < most < MAX_ROWS
        sinks.by_name |= _agents("detached", 2 * MAX_ROWS)
        assert {agent.state for agent in sinks} == {WorkerState.DONE}
        assert starts.rows_left() == most
        sinks.by_name |= _agents("gave up", 3) | _agents("starting", 2)
        assert starts.rows_left() == most - 5
    finally:
        memory.close()
