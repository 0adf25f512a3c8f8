"""Starting: ring first, then the sinks, then the board, so that the first sample is in every BLOCK output."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dtopipe.core.lifecycle import WorkerEvent, WorkerState
from dtopipe.core.ring_size import ring_slots
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import RingError
from dtopipe.model.plan import RunPlan
from dtopipe.model.position import Position
from dtopipe.model.stream import Stream
from dtopipe.shm.layout import Layout
from dtopipe.supervisor.acquirer_agent import NAME, AcquirerAgent
from dtopipe.supervisor.clock_watch import ClockWatch
from dtopipe.supervisor.gateway_agent import GatewayAgent
from dtopipe.supervisor.placement import Placement
from dtopipe.supervisor.ports import Events, Post, Starter
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.refusal import refusal
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.messages import BeginSink, StartBoard


@dataclass(frozen=True, slots=True)
class ReaderFacts:
    """What whoever reads the ring must know of it."""

    stream: Stream
    segment: str
    held: str
    descriptor_endpoint: str
    credit_endpoint: str


class Launcher:
    """Starts processes, and brings them together once each is ready for it."""

    def __init__(
        self,
        plan: RunPlan,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        sinks: Sinks,
        gateway: GatewayAgent,
        clock_watch: ClockWatch,
        record: RunRecord,
        placement: Placement,
        starter: Starter,
        post: Post,
        events: Events,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._gateway = gateway
        self._clock_watch = clock_watch
        self._record = record
        self._placement = placement
        self._starter = starter
        self._post = post
        self._events = events

    def start_everybody(self) -> None:
        """All processes at once: they load their libraries side by side."""
        self.spawn_acquirer()
        self._gateway.spawn()
        for agent in self._sinks.workers:
            self.spawn_sink(agent)

    def spawn_acquirer(self) -> None:
        """A process for the board."""
        agent = self._acquirer
        agent.spawned(self._starter.start(NAME, "dtopipe.workers.acquirer", agent.orders))

    def spawn_sink(self, agent: SinkAgent) -> None:
        """A process for a sink; it says hello once it is up."""
        now_ns = mono_ns()
        agent.spawned(self._starter.start(agent.plan.name, agent.module, agent.orders), now_ns)

    def begin_sink(self, agent: SinkAgent) -> None:
        """Tell a sink's process what to write, once it has said hello and there is a ring."""
        reader, table = self.reader_facts(), self._memory.table
        if reader is None or table is None:
            return
        if not agent.said_hello or agent.state is not WorkerState.STARTING:
            return
        if not self._placement.find(agent) or agent.row is None:
            return
        agent.learn(reader.stream)
        journal = self._sinks.journal if table.is_covered(agent.row) else None
        begin = BeginSink(
            stream=reader.stream,
            segment=reader.segment,
            held=reader.held,
            descriptor_endpoint=reader.descriptor_endpoint,
            credit_endpoint=reader.credit_endpoint,
            row=agent.row,
            start=agent.position.start,
            committed=agent.position.committed,
            resume=agent.life.generation > 0,
            otherwise=agent.otherwise,
            journal=None if journal is None else str(journal.path),
        )
        self._post.send(agent.address, begin)
        agent.life.happened(WorkerEvent.BEGUN)

    def reader_facts(self) -> ReaderFacts | None:
        """What whoever reads the ring must know; None before the board has opened."""
        opened, stream = self._acquirer.opened, self._memory.stream
        if opened is None or stream is None:
            return None
        return ReaderFacts(
            stream=stream,
            **self._memory.facts(),
            descriptor_endpoint=opened.descriptor_endpoint,
            credit_endpoint=opened.credit_endpoint,
        )

    def start_board(self) -> None:
        """Everybody is ready: the first sample may come."""
        acquirer, progress = self._acquirer, self._progress
        if not progress.has_begun:
            # As late as can be: a clock that was set while the board opened is right now.
            self._clock_watch.begin()
        progress.has_begun = True
        acquirer.board_started(mono_ns(), self._memory.n_blocks)
        start = StartBoard(
            **self._memory.facts(), utc_offset_ns=progress.times.utc_offset_ns, hole_cause=acquirer.hole_cause
        )
        self._post.send(acquirer.address, start)

    def go_on(self) -> None:
        """One turn of the start."""
        if self._acquirer.is_open and self._memory.ring is None:
            self._make_ring()
            for agent in self._sinks.workers:
                self.begin_sink(agent)
        everybody_is_ready = all(agent.state is WorkerState.READY for agent in self._sinks.workers)
        if self._memory.ring and everybody_is_ready and self._gateway.lets_begin:
            self._progress.phase = Phase.RUNNING
            for agent in self._sinks.workers:
                agent.life.happened(WorkerEvent.BOARD_STARTED)
            self.start_board()
            self._record.become_latest()
            self._events.append("running")

    def _make_ring(self) -> None:
        progress, plan, acquirer = self._progress, self._plan, self._acquirer
        stream = acquirer.stream(progress.run_id, progress.started.isoformat())
        # Of the other machine's run, where the samples come from one.
        progress.run_id = stream.run_id
        watcher = self._sinks.watcher
        if watcher is not None and (misfit := watcher.misfit(stream)):
            raise refusal(plan, *misfit)
        shape = Layout(0, len(stream.channels), stream.samples_per_block, stream.dtype)
        n_slots = ring_slots(plan.ring, stream.rate_hz, stream.samples_per_block, shape.slot_bytes)
        try:
            _, table = self._memory.make(stream, replace(shape, n_slots=n_slots), acquirer.first_sample_index)
        except RingError as error:
            raise refusal(plan, "ring", error.headline, error.remedy) from error
        self._record.tell_where()
        if watcher is not None:
            watcher.follow_board(clocked=acquirer.is_clocked)
        first = self._memory.end_sample_index
        for agent in self._sinks.workers:
            agent.learn(stream)
            agent.position = Position(first, first, first)
            agent.row = table.open_at_head(agent.plan.policy, covered=self._sinks.is_covered(agent))
        journal = self._sinks.journal
        if journal is not None and journal.row is not None:
            table.name_journal(journal.row)
        # Before the first sample: whoever finds this run killed has to know what its outputs hold.
        self._record.save()
