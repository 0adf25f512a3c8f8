"""Starting: ring first, then the sinks, then the board, so that the first sample is in every BLOCK output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.core.ring_size import ring_slots
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import RingError
from dtopipe.model.position import Position
from dtopipe.shm.layout import Head, Layout
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable
from dtopipe.supervisor.processes import WorkerProcess
from dtopipe.supervisor.run import Phase, Run
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.wire.messages import BeginSink, StartBoard


class Launcher:
    """Starts processes, and brings them together once each is ready for it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # Opens the row of a sink that is attached, and says whether it may begin.
        self.place: Callable[[SinkAgent], bool] = lambda agent: False

    def start_everybody(self) -> None:
        """All processes at once: they load their libraries side by side."""
        self.spawn_acquirer()
        self._run.gateway.spawn()
        for agent in self._run.sinks.values():
            self.spawn_sink(agent)

    def spawn_acquirer(self) -> None:
        """A process for the board."""
        agent, run = self._run.acquirer, self._run
        agent.restart_due_ns = None
        agent.found_dead = False
        agent.reported = None
        agent.process = WorkerProcess(
            "dtopipe.workers.acquirer", agent.orders(run.common_orders()), run.folder.log_path("acquirer")
        )
        run.events.append("started", "acquirer", pid=agent.process.pid)

    def spawn_sink(self, agent: SinkAgent) -> None:
        """A process for a sink; it says hello once it is up."""
        run = self._run
        agent.reported = None
        agent.said_hello = agent.found_dead = agent.is_closed = False
        agent.ready_ns, agent.spawned_ns = None, mono_ns()
        agent.process = WorkerProcess(
            "dtopipe.workers.sink_worker", agent.orders(run.common_orders()), run.folder.log_path(agent.plan.name)
        )
        run.events.append("started", agent.plan.name, pid=agent.process.pid)

    def begin_sink(self, agent: SinkAgent) -> None:
        """Tell a sink's process what to write, once it has said hello and there is a ring."""
        run = self._run
        if run.ring is None or run.table is None or run.stream is None or run.acquirer.opened is None:
            return
        if not agent.said_hello or agent.state is not WorkerState.STARTING:
            return
        # Only now, so that nobody is held while the process starts.
        if agent.row is None and not self._found_place(agent):
            return
        journal = run.journal if agent.row is not None and run.table.is_covered(agent.row) else None
        begin = BeginSink(
            **self.reader_facts(),
            row=agent.row or 0,
            start=agent.position.start,
            committed=agent.position.committed,
            resume=agent.generation > 0,
            otherwise=agent.otherwise,
            journal=None if journal is None else str(journal.path),
        )
        run.tell_sink(agent, begin)
        agent.happened(WorkerEvent.BEGUN)

    def reader_facts(self) -> dict[str, Any]:
        """What whoever reads the ring must know of it, once the board has opened."""
        run, opened = self._run, self._run.acquirer.opened
        if run.stream is None or opened is None:
            return {}
        return {
            "stream": run.stream,
            **run.memory(),
            "descriptor_endpoint": opened.descriptor_endpoint,
            "credit_endpoint": opened.credit_endpoint,
        }

    def _found_place(self, agent: SinkAgent) -> bool:
        """Open a row for a sink that was attached, or revived; False where it cannot begin."""
        table = self._run.table
        if not agent.is_placed:
            return self.place(agent)
        if table is not None:
            agent.row = table.open_behind(agent.plan.policy, agent.left_at, covered=self.is_covered(agent))
        return table is not None

    def start_board(self) -> None:
        """Everybody is ready: the first sample may come."""
        run = self._run
        if run.acquirer.started_ns is None:
            # As late as can be: a clock that was set while the board opened is right now.
            run.clock_watch.begin()
        run.acquirer.started_ns = mono_ns()
        if run.ring is not None:
            run.acquirer.began_at_block = run.ring.words[Head.HEAD]
        start = StartBoard(**run.memory(), utc_offset_ns=run.times.utc_offset_ns, hole_cause=run.acquirer.hole_cause)
        run.tell_acquirer(start)

    def go_on(self) -> None:
        """One turn of the start."""
        run = self._run
        if run.acquirer.opened_now and run.ring is None:
            self._make_ring()
            # Before the first sample: whoever finds this run killed has to know what its outputs hold.
            run.save()
            for agent in run.sinks.values():
                self.begin_sink(agent)
        everybody_is_ready = all(agent.state is WorkerState.READY for agent in run.sinks.values())
        if run.ring and everybody_is_ready and run.gateway.lets_begin:
            run.phase = Phase.RUNNING
            for agent in run.sinks.values():
                agent.happened(WorkerEvent.BOARD_STARTED)
            self.start_board()
            run.folder.become_latest()
            run.events.append("running")

    def _make_ring(self) -> None:
        run = self._run
        stream = run.stream = run.acquirer.stream(run.run_id, run.started.isoformat())
        # Of the other machine's run, where the samples come from one.
        run.run_id = stream.run_id
        shape = Layout(0, len(stream.channels), stream.samples_per_block, stream.dtype)
        n_slots = ring_slots(run.plan.ring, stream.rate_hz, stream.samples_per_block, shape.slot_bytes)
        try:
            run.ring = Ring.create(run.segment, replace(shape, n_slots=n_slots), run.acquirer.first_sample_index)
        except RingError as error:
            raise run.refusal("ring", str(error)) from error
        run.tell_where()
        run.table = SubscriberTable(run.ring)
        first = run.end_sample_index
        for agent in run.sinks.values():
            agent.position = Position(first, first, first)
            agent.row = run.table.open_at_head(agent.plan.policy, covered=self.is_covered(agent))
        journal = run.journal
        if journal is not None and journal.row is not None:
            run.table.name_journal(journal.row)

    def is_covered(self, agent: SinkAgent) -> bool:
        """True for a sink that the run's journal covers."""
        return agent is not self._run.journal and self._run.covers(agent.plan.policy)
