"""The supervisor of one run: one loop that hears everybody, and never waits for anybody in particular."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from dtopipe.core.lifecycle import Happened, WorkerState
from dtopipe.core.ring_size import ring_slots
from dtopipe.core.verdict import Verdict, judge
from dtopipe.host.clock import mono_ns
from dtopipe.host.runtime import EntryFacts, RuntimeEntry
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import DtopipeError, Problem, RingError, TopologyError, WireError
from dtopipe.model.plan import RunPlan
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Stream
from dtopipe.shm.layout import Head, Layout, Stage
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.table import SubscriberTable
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.lines import ClockFile, EventsFile, GapsFile
from dtopipe.supervisor.processes import WorkerProcess
from dtopipe.supervisor.record import acquired, channel_facts, clock_facts, host, verdict_facts, versions
from dtopipe.host.run_folder import RunFolder
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.status import StatusBoard
from dtopipe.transport.control import ControlServer
from dtopipe.transport.link import run_keys
from dtopipe.wire.control import Message
from dtopipe.wire.describe import describe_stream, gaps_from, position_from

_TURN_S = 0.05
_SAVE_EVERY_NS = 5_000_000_000
# A sink that is cut off commits what it has; one that cannot is killed.
_CUT_OFF_GRACE_S = 3.0
_HURRY_LIMIT_S = 2.0
# A process that said that it is done, and does not end.
_EXIT_GRACE_S = 5.0
# A laptop that slept must not be charged for it: no turn counts as more than this.
_LONGEST_TURN_S = 1.0


class Phase(StrEnum):
    """How far the run is."""

    OPENING = "opening"
    RUNNING = "running"
    DRAINING = "draining"
    FINISHED = "finished"


class Supervisor:
    """Runs one plan from start to verdict. `request_stop` may be called from a signal handler or another thread."""

    def __init__(self, plan: RunPlan, on_turn: Callable[[Supervisor], None] | None = None) -> None:
        self.plan = plan
        self._on_turn = on_turn or (lambda supervisor: None)
        self._stops_wanted = 0
        self._hurried = False
        self.phase = Phase.OPENING
        self.verdict: Verdict | None = None
        self.run_id = str(uuid.uuid4())
        self.started = datetime.now(UTC)
        self.started_ns = mono_ns()
        self.finished_at: str | None = None
        self.stream: Stream | None = None
        self.ring: Ring | None = None
        self._table: SubscriberTable | None = None
        self._segment = new_name()
        self._aborted = ""
        self._ending_s = 0.0
        self._turned_ns = mono_ns()
        self._saved_ns = 0
        self._board_gaps_seen = 0
        self._pairs_seen = 0

    def run(self) -> Verdict:
        """The whole run. Raises TopologyError if it could not be started; then nothing is left of it."""
        self.folder = RunFolder.create(self.plan.run_root, self.plan.name, self.started)
        self.entry = RuntimeEntry.create()
        self._lock = self.entry.supervisor_lock()
        self._lock.acquire(timeout_s=5.0)
        self._keys = run_keys()
        self._server = ControlServer(self.entry.folder, self._keys)
        self.events = EventsFile(self.folder.path / "events.jsonl")
        self._gaps = GapsFile(self.folder.path / "gaps.jsonl")
        self._clock = ClockFile(self.folder.path / "clock.jsonl")
        self.acquirer = AcquirerAgent(self.plan)
        self.sinks = {sink.name: SinkAgent(sink, self.folder.path) for sink in self.plan.sinks}
        self.status = StatusBoard(self)
        refused: DtopipeError | None = None
        try:
            self._register()
            self._spawn_acquirer()
            for agent in self.sinks.values():
                self._spawn_sink(agent)
            while self.phase is not Phase.FINISHED:
                self._turn()
            return self._conclude()
        except DtopipeError as error:
            refused = error
            raise
        finally:
            self._clear(refused)

    def request_stop(self, *, hurry: bool = False) -> None:
        """End the run in order; the second time, or with `hurry`, without waiting for slow sinks."""
        self._stops_wanted += 2 if hurry else 1

    # -- one turn ------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        received = self._server.receive(_TURN_S)
        while received:
            self._hear(*received)
            received = self._server.receive(0)
        now_ns = mono_ns()
        elapsed_s = min((now_ns - self._turned_ns) / 1e9, _LONGEST_TURN_S)
        self._turned_ns = now_ns
        self._follow_stops()
        self._watch_acquirer(now_ns)
        for agent in self.sinks.values():
            self._watch_sink(agent, now_ns)
        self._gather()
        if self.phase is Phase.OPENING:
            self._start_when_ready()
        elif self.phase is Phase.RUNNING:
            self._watch_stalls(now_ns)
        elif self.phase is Phase.DRAINING:
            self._bound_drain(now_ns, elapsed_s)
        if now_ns - self._saved_ns > _SAVE_EVERY_NS:
            self.save()
        self._on_turn(self)

    def _hear(self, address: bytes, message: Message) -> None:
        try:
            if message.kind == "status":
                self._server.send(address, Message("status", self.status.snapshot()))
            elif message.kind == "stop":
                self.request_stop(hurry=message.get("now", bool, False))
                self._server.send(address, Message("stopping", {"folder": str(self.folder.path)}))
            elif address == self.acquirer.address.encode():
                self._hear_acquirer(message)
            else:
                for agent in self.sinks.values():
                    if address == agent.address.encode():
                        self._hear_sink(agent, message)
        except WireError as error:
            self.events.append("malformed_message", details=str(error))

    def _hear_acquirer(self, message: Message) -> None:
        agent = self.acquirer
        if message.kind == "opened":
            agent.opened, agent.opened_now = message, True
            if self.phase is Phase.RUNNING:
                self._start_board()
        elif message.kind == "ended":
            agent.ended = True
        elif message.kind == "failed":
            agent.reported = message
            self.events.append("failed", "acquirer", message=message.get("message", str))

    def _hear_sink(self, agent: SinkAgent, message: Message) -> None:
        if message.kind == "hello":
            agent.said_hello = True
            self._begin_sink(agent)
        elif message.kind == "ready" and agent.state is WorkerState.OPENING:
            agent.happened(Happened.SAID_READY)
            agent.position = position_from(message.body)
            agent.ready_ns = mono_ns()
            if self.phase is not Phase.OPENING:
                agent.happened(Happened.BOARD_STARTED)
            self.events.append("ready", agent.plan.name, committed=agent.position.committed)
        elif message.kind == "gaps":
            gaps = gaps_from(message.get("gaps", list))
            agent.gaps += gaps
            self._gaps.append(agent.plan.name, gaps)
        elif message.kind == "done" and not agent.state.is_final:
            agent.position = position_from(message.body)
            agent.happened(Happened.WAS_CUT_OFF if agent.cut_off_at_ns else Happened.SAID_DONE)
            self.events.append("done", agent.plan.name, committed=agent.position.committed)
        elif message.kind == "failed":
            agent.reported = message
            self.events.append("failed", agent.plan.name, message=message.get("message", str))

    # -- starting ------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        facts = EntryFacts(
            run_id=self.run_id,
            name=self.plan.name,
            run_folder=str(self.folder.path),
            started_at=self.started.isoformat(),
            control=self._server.endpoint,
            public_key=self._keys.public,
            secret_key=self._keys.secret,
            segment=self._segment,
        )
        self.entry.write(facts)
        self.save()

    def _common_orders(self) -> dict[str, Any]:
        return {
            "entry": str(self.entry.folder),
            "control": self._server.endpoint,
            "public_key": self._keys.public,
            "secret_key": self._keys.secret,
        }

    def _spawn_acquirer(self) -> None:
        agent = self.acquirer
        agent.restart_due_ns = None
        agent.reported = None
        orders = agent.orders(self._common_orders())
        agent.process = WorkerProcess("dtopipe.workers.acquirer", orders, self.folder.log_path("acquirer"))
        self.events.append("started", "acquirer", pid=agent.process.pid)

    def _spawn_sink(self, agent: SinkAgent) -> None:
        agent.reported = None
        agent.said_hello = False
        agent.ready_ns = None
        orders = agent.orders(self._common_orders())
        log_path = self.folder.log_path(agent.plan.name)
        agent.process = WorkerProcess("dtopipe.workers.sink_worker", orders, log_path)
        self.events.append("started", agent.plan.name, pid=agent.process.pid)

    def _start_when_ready(self) -> None:
        """Ring first, then the sinks, then the board: the first sample is in every BLOCK output."""
        if self.acquirer.opened_now and self.ring is None:
            self._make_ring()
            for agent in self.sinks.values():
                self._begin_sink(agent)
        if self.ring and all(agent.state is WorkerState.READY for agent in self.sinks.values()):
            self.phase = Phase.RUNNING
            for agent in self.sinks.values():
                agent.happened(Happened.BOARD_STARTED)
            self._start_board()
            self.folder.become_latest()
            self.events.append("running")

    def _make_ring(self) -> None:
        self.stream = self.acquirer.stream(self.run_id, self.started.isoformat())
        shape = Layout(2, len(self.stream.channels), self.stream.samples_per_block, self.stream.dtype)
        n_slots = ring_slots(self.plan.ring, self.stream.rate_hz, self.stream.samples_per_block, shape.slot_bytes)
        layout = Layout(n_slots, shape.n_channels, shape.samples_per_block, shape.dtype)
        try:
            self.ring = Ring.create(self._segment, layout)
        except RingError as error:
            raise self._refusal("ring", str(error)) from error
        self._table = SubscriberTable(self.ring)
        for agent in self.sinks.values():
            agent.row = self._table.open_at_head(agent.plan.policy)

    def _start_board(self) -> None:
        self.acquirer.started_ns = mono_ns()
        self._tell_acquirer(Message("start", {"segment": self._segment}))

    def _begin_sink(self, agent: SinkAgent) -> None:
        """Tell a sink's process what to write, once it has said hello and there is a ring."""
        if self.ring is None or self.stream is None or self.acquirer.opened is None or agent.row is None:
            return
        if not agent.said_hello or agent.state is not WorkerState.STARTING:
            return
        opened = self.acquirer.opened
        begin = {
            "stream": describe_stream(self.stream),
            "segment": self._segment,
            "row": agent.row,
            "start": agent.position.start,
            "resume": agent.generation > 0,
            "otherwise": agent.otherwise.value,
            "descriptor_endpoint": opened.get("descriptor_endpoint", str),
            "credit_endpoint": opened.get("credit_endpoint", str),
        }
        self._server.send(agent.address.encode(), Message("begin", begin))
        agent.happened(Happened.BEGUN)

    def _tell_acquirer(self, message: Message) -> None:
        self._server.send(self.acquirer.address.encode(), message)

    def _refusal(self, key: str, message: str, remedy: str = "") -> TopologyError:
        parts = key.split(".")
        places = (self.plan.places.get(".".join(parts[:n])) for n in range(len(parts), 0, -1))
        return TopologyError([Problem(next(filter(None, places), None), key, message, remedy)])

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch_acquirer(self, now_ns: int) -> None:
        agent = self.acquirer
        if agent.restart_due_ns is not None and now_ns >= agent.restart_due_ns and self.phase is not Phase.DRAINING:
            agent.generation += 1
            agent.restarts += 1
            self._spawn_acquirer()
        if agent.process is None or agent.process.is_alive:
            return
        ended = agent.ended or (self.ring is not None and self.ring.status().stage is Stage.ENDED)
        if ended or self.phase is Phase.DRAINING:
            agent.process.release()
            agent.process = None
            self._end_stream()
            return
        self.events.append("died", "acquirer", how=agent.process.exit_text)
        if self.phase is Phase.OPENING and agent.reported:
            raise self._refusal("board", agent.reported.get("message", str), agent.reported.get("remedy", str, ""))
        agent.died(now_ns)
        if agent.failure:
            self._abort(agent.failure)

    def _watch_sink(self, agent: SinkAgent, now_ns: int) -> None:
        if self._table:
            agent.look(self._table)
        if agent.state is WorkerState.RESTARTING and now_ns >= agent.restart_due_ns:
            self._restart_sink(agent)
        if agent.process is None or agent.process.is_alive:
            return
        if agent.state.is_final:
            agent.process.release()
            agent.process = None
            self._close_row(agent)
            return
        # What it said last may still be on its way.
        if self._server_has_more():
            return
        how = agent.process.exit_text
        self.events.append("died", agent.plan.name, how=how)
        if self.phase is Phase.OPENING and agent.reported:
            raise self._sink_refusal(agent)
        agent.died(now_ns)
        if agent.state is WorkerState.GAVE_UP:
            self._gave_up(agent)

    def _server_has_more(self) -> bool:
        received = self._server.receive(0)
        if received:
            self._hear(*received)
        return received is not None

    def _sink_refusal(self, agent: SinkAgent) -> TopologyError:
        reported = agent.reported or Message("failed")
        path = reported.get("path", str, "")
        message = f"{path}: {reported.get('message', str)}" if path else reported.get("message", str)
        return self._refusal(f"sinks.{agent.plan.name}.path", message, reported.get("remedy", str, ""))

    def _restart_sink(self, agent: SinkAgent) -> None:
        agent.generation += 1
        agent.restarts += 1
        if self._table and agent.row is not None:
            agent.row = self._table.open_successor(agent.row)
        agent.otherwise = Cause.WORKER_FAILED
        agent.happened(Happened.SPAWNED)
        self._spawn_sink(agent)

    def _gave_up(self, agent: SinkAgent) -> None:
        self._close_row(agent)
        self.events.append("gave_up", agent.plan.name, why=agent.failure)
        if agent.plan.essential:
            self._abort(f"the essential sink {agent.plan.name} {agent.failure}")

    def _close_row(self, agent: SinkAgent) -> None:
        if self._table and agent.row is not None:
            agent.look(self._table)
            self._table.close(agent.row)
            agent.row = None

    def _watch_stalls(self, now_ns: int) -> None:
        """A BLOCK sink that holds the acquirer longer than its `stall_limit` is overruled."""
        if self.ring is None:
            return
        status = self.ring.status()
        held_s = (now_ns - status.waiting_since_ns) / 1e9 if status.waiting_since_ns else 0.0
        for agent in self.sinks.values():
            limit_s = agent.plan.stall_limit_s
            if limit_s is None or held_s < limit_s or agent.row not in status.waiting_for:
                continue
            self.events.append("stalled", agent.plan.name, held_s=round(held_s, 3), then=agent.plan.on_stall)
            if agent.plan.on_stall == "stop":
                self._abort(f"{agent.plan.name} held the board for {held_s:.1f} s, longer than its stall_limit")
            else:
                self._overrule(agent)

    def _overrule(self, agent: SinkAgent) -> None:
        """Let the acquirer go on: the sink's process is replaced by one that reads from the head on."""
        if self._table is None or agent.row is None:
            return
        if agent.process:
            agent.process.kill()
        agent.look(self._table)
        self._table.close(agent.row)
        agent.row = self._table.open_at_head(Policy(agent.plan.policy))
        if agent.state.has_process:
            agent.happened(Happened.DIED)
        agent.happened(Happened.SPAWNED)
        agent.generation += 1
        agent.restarts += 1
        agent.otherwise = Cause.STALLED
        self._spawn_sink(agent)

    def _gather(self) -> None:
        """What the ring tells for the records: the board's gaps, the clock's pairs."""
        if self.ring is None:
            return
        count = self.ring.words[Head.GAPS]
        if count > self._board_gaps_seen:
            self._gaps.append(None, self.ring.board_gaps(self._board_gaps_seen))
            self._board_gaps_seen = count
        pairs, pair = self.ring.clock_pair()
        if pairs > self._pairs_seen:
            self._clock.append(pair)
            self._pairs_seen = pairs

    # -- ending --------------------------------------------------------------------------------------------------

    def _follow_stops(self) -> None:
        if self._stops_wanted and self.phase in (Phase.OPENING, Phase.RUNNING):
            self.events.append("stopping")
            self._drain()
        if self._stops_wanted > 1 and not self._hurried:
            self._hurried = True
            self.events.append("hurried")
            self._tell_acquirer(Message("stop", {"hurry": True}))

    def _abort(self, why: str) -> None:
        self._aborted = self._aborted or why
        self.events.append("aborting", why=why)
        self._drain()

    def _drain(self) -> None:
        """Stop the board; the sinks go on until they have everything that was published."""
        started = self.phase is Phase.RUNNING
        self.phase = Phase.DRAINING
        self._tell_acquirer(Message("stop"))
        if self.acquirer.process is None or not started:
            self._end_stream()

    def _end_stream(self) -> None:
        """No more blocks come, also where the acquirer could not say so itself."""
        self.phase = Phase.DRAINING
        if self.ring:
            self.ring.words[Head.STAGE] = Stage.ENDED
            return
        for agent in self.sinks.values():
            # Without a ring no output was opened yet.
            if agent.process:
                agent.process.kill()
            if not agent.state.is_final:
                agent.happened(Happened.WAS_CANCELLED)

    def _bound_drain(self, now_ns: int, elapsed_s: float) -> None:
        """Wait for those that get on; cut off who has not moved for `drain_limit`."""
        limit_s = _HURRY_LIMIT_S if self._hurried else self.plan.drain_limit_s
        for agent in self.sinks.values():
            self._bound_sink(agent, now_ns, elapsed_s, limit_s)
        acquirer = self.acquirer.process
        waits_for_board = acquirer is not None and not (self.ring and self.ring.status().waiting_for)
        self._ending_s = self._ending_s + elapsed_s if waits_for_board else 0.0
        if acquirer and self._ending_s > (_HURRY_LIMIT_S if self._hurried else _EXIT_GRACE_S):
            self.events.append("killed", "acquirer", why="it did not end")
            acquirer.kill()
        if self.acquirer.process is None and all(
            agent.state.is_final and agent.process is None for agent in self.sinks.values()
        ):
            self.phase = Phase.FINISHED

    def _bound_sink(self, agent: SinkAgent, now_ns: int, elapsed_s: float, limit_s: float) -> None:
        row = self._table.status(agent.row) if self._table and agent.row is not None else None
        moved = (row.cursor, row.committed) if row else agent.moved
        agent.unmoved_s = 0.0 if moved != agent.moved else agent.unmoved_s + elapsed_s
        agent.moved = moved
        if agent.state.is_final:
            if agent.process and agent.unmoved_s > _EXIT_GRACE_S:
                agent.process.kill()
        elif agent.cut_off_at_ns:
            if now_ns - agent.cut_off_at_ns > _CUT_OFF_GRACE_S * 1e9:
                self._kill_cut_off(agent)
        elif agent.unmoved_s > limit_s:
            agent.cut_off_at_ns = now_ns
            agent.failure = f"cut off after {limit_s:g} s without progress at the end of the run" + (
                f" ({agent.failure})" if agent.failure else ""
            )
            self.events.append("cut_off", agent.plan.name)
            self._server.send(agent.address.encode(), Message("cut_off", {"reason": agent.failure}))
            if agent.process is None:
                self._kill_cut_off(agent)

    def _kill_cut_off(self, agent: SinkAgent) -> None:
        if agent.process:
            agent.process.kill()
            agent.process = None
        self._close_row(agent)
        agent.happened(Happened.WAS_CUT_OFF)

    def _conclude(self) -> Verdict:
        """The accounting identity, the verdict, and the record of it all."""
        end = self.ring.end()[0] if self.ring else 0
        outcomes = []
        for agent in self.sinks.values():
            agent.gaps += self._record_tail(agent, end)
            overruns = sum(len(gap) for gap in agent.gaps if gap.cause is Cause.BOARD_OVERRUN)
            outcomes.append(agent.outcome(end, overruns))
        simulated = self.stream is not None and self.stream.simulated
        self.verdict = judge(outcomes, end_sample_index=end, aborted=self._aborted, simulated=simulated)
        self.finished_at = datetime.now(UTC).isoformat()
        self.events.append("finished", verdict=self.verdict.state.value, text=self.verdict.text)
        self.save()
        return self.verdict

    def _record_tail(self, agent: SinkAgent, end: int) -> list[Gap]:
        """Write down what a sink that was cut off or gave up lacks at its end."""
        anchor = self.ring.anchor() if self.ring else None
        if self.stream is None or anchor is None:
            return []
        clock = SampleClock(self.stream.rate_hz)
        tail = [
            Gap(gap.span, gap.cause, anchor.t_utc_ns + clock.offset_ns(gap.span.start - anchor.sample_index))
            for gap in agent.missing(end)
        ]
        self._gaps.append(agent.plan.name, tail)
        return tail

    def _clear(self, refused: DtopipeError | None) -> None:
        """Nothing outlives the run: processes, shared memory, sockets, the runtime entry."""
        for process in (self.acquirer.process, *(agent.process for agent in self.sinks.values())):
            if process:
                process.kill()
        self._server.close()
        if self.ring:
            self.ring.close()
        unlink(self._segment)
        for file in (self.events, self._gaps, self._clock):
            file.close()
        if refused and self.phase is Phase.OPENING:
            self.folder.remove()
        self._lock.release()
        self.entry.remove()

    # -- records -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write `run.json` as things stand."""
        self._saved_ns = mono_ns()
        self.folder.write_record(self.record())

    def record(self) -> dict[str, Any]:
        """The run record as things stand."""
        counts = acquired(self.ring)
        return {
            "run_id": self.run_id,
            "name": self.plan.name,
            "versions": versions(),
            "host": host(),
            "started_at": self.started.isoformat(),
            "finished_at": self.finished_at,
            "metadata": dict(self.plan.metadata),
            "simulated": self.stream is not None and self.stream.simulated,
            "topology": dict(self.plan.document),
            "stream": describe_stream(self.stream) if self.stream else None,
            "clock": clock_facts(self.stream, self._clock.pairs, clocked=self.acquirer.is_clocked),
            "acquired": counts,
            "channels": channel_facts(self.ring, self.stream.channels if self.stream else ()),
            "sinks": {name: self._sink_record(agent, counts["end_sample_index"]) for name, agent in self.sinks.items()},
            "verdict": verdict_facts(self.verdict),
        }

    def _sink_record(self, agent: SinkAgent, end: int) -> dict[str, Any]:
        final = self.phase is Phase.FINISHED
        position = agent.position
        stop = end if final else position.committed
        outcome = agent.outcome(stop, 0)
        return {
            "type": agent.plan.type,
            "policy": agent.plan.policy.value,
            "path": agent.plan.path,
            "state": agent.state.value,
            "start": position.start,
            "stop": stop,
            "committed": position.committed,
            "durable": position.durable,
            "samples": position.samples,
            "gaps": outcome.gaps,
            "dropped": position.dropped,
            "restarts": agent.restarts,
            **({"failure": agent.failure} if agent.failure and agent.state is not WorkerState.DONE else {}),
        }
