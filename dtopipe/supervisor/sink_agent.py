"""One sink as the supervisor knows it, across all processes that served it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtopipe.core.absence import Absence
from dtopipe.core.budget import must_start_now, pause_within
from dtopipe.core.hanging import CallClock
from dtopipe.core.lifecycle import SinkState, WorkerEvent, WorkerState
from dtopipe.core.outcome import SinkOutcome
from dtopipe.core.row_count import RowCount, RowShape
from dtopipe.core.worker import Death, WorkerLife
from dtopipe.model.errors import WireError
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.span import LOST_BY_BOARD, Cause, Span
from dtopipe.model.splitting import Split, samples_a_part
from dtopipe.model.stream import Stream
from dtopipe.model.view import output_stream
from dtopipe.shm.table import RowStatus, SubscriberTable
from dtopipe.sinks.registry import known_sink_type
from dtopipe.supervisor.ports import Process
from dtopipe.supervisor.sink_trigger import SinkTrigger
from dtopipe.wire.orders import SinkOrders


class SinkAgent:
    """State of one sink: its process, its row, its restarts, and how far its output is."""

    # What its process is.
    module = "dtopipe.workers.sink_worker"

    def __init__(self, plan: SinkPlan, run_folder: Path) -> None:
        self.plan = plan
        self.path = None if plan.path is None else run_folder / plan.path
        self.life = WorkerLife(plan.restart)
        self.process: Process | None = None
        self.row: int | None = None
        self.position = Position()
        self.absence = Absence()
        self.trigger = None if plan.trigger is None else SinkTrigger(plan.trigger)
        self.spawned_ns = 0
        # The longest that a successor took until it was ready; the first process waits for the board as well.
        self.start_s = 0.0
        self.otherwise = Cause.POLICY_DROP
        self.said_hello = False
        # Its process has closed the output in order, and what it said of that.
        self.is_closed = False
        self.remark = ""
        self.knows_stream = False
        self.row_count = RowCount(RowShape())
        # Samples in each part of an output that is split.
        self.part_samples: int | None = None
        # Why its output is away, while it is.
        self.away = ""
        self.moved: tuple[int, int] = (0, 0)
        self.unmoved_s = 0.0
        self.cut_off_at_ns = 0
        # Number of the first block that it had not released when its row was closed.
        self.left_at = 0
        self.restart_asked_ns: int | None = None
        # From where it was asked to start: latest, earliest, a sample index; None for a sink of the topology.
        self.attached_since: str | int | None = None
        self.fragment: Any = None
        # False while it is not known where it starts: it is not in the record yet.
        self.is_placed = True
        # Why it could not be attached: what is wrong, and the way out.
        self.never_began: tuple[str, str] | None = None
        # Where the run was when it was to be detached.
        self.detach_at: int | None = None
        # How long its output is still waited for then, if it does not get on.
        self.waited_for_s = 0.0
        # Somebody typed it again: its output is not waited for.
        self.detaches_now = False
        # Why it ends before that, where it does though its output was closed in order.
        self.detached_short = ""
        self.clock = CallClock(plan.hung_limit_s)
        # The call in which it hangs, as `hung in commit`, while it does.
        self.stands = ""

    def learn(self, stream: Stream) -> None:
        """The board has said what it delivers: from that follows what a row is, and where the next part begins."""
        plan, kind = self.plan, known_sink_type(self.plan.type)
        if self.knows_stream:
            return
        self.knows_stream = True
        own = output_stream(stream, plan.channels, plan.every_s, plan.reduce, as_codes=kind.as_codes)
        is_long = plan.layout is Layout.LONG and kind.has_layouts and not stream.polled
        self.row_count = RowCount(RowShape(own.every, len(own.channels) if is_long else 1))
        if plan.split is not None:
            self.part_samples = samples_a_part(Split.of(plan.split), own, kind, plan.layout)

    @property
    def key(self) -> str:
        """The key of the topology that a refusal of its process is about."""
        return f"sinks.{self.plan.name}.path"

    def lag_samples(self, end: int, rate_hz: float) -> int:
        """How far it is behind `end`; what waits for an event is not behind."""
        held = self.trigger.window(rate_hz).pre if self.trigger and rate_hz else 0
        return max(0, end - self.position.committed - held)

    @property
    def state(self) -> WorkerState:
        """What its worker does."""
        return self.life.state

    @property
    def failure(self) -> str:
        """Why its last process died, or its output was not completed."""
        return self.life.failure

    @property
    def address(self) -> bytes:
        """The control address of the present process."""
        return self.lock.encode()

    @property
    def lock(self) -> str:
        """The liveness lock of the present process; a successor's is another file."""
        return f"sink.{self.plan.name}.{self.life.generation}"

    @property
    def is_detached(self) -> bool:
        """True once it was taken out of the run, and its output is closed."""
        return self.detach_at is not None and self.state is WorkerState.DONE

    @property
    def condition(self) -> SinkState:
        """What its worker does; `away` while that waits for its output."""
        if not self.state.is_final and (self.stands or self.away):
            return SinkState.HUNG if self.stands else SinkState.AWAY
        if self.is_detached:
            return SinkState.DETACHED
        if self.detach_at is not None and self.state is WorkerState.RUNNING:
            return SinkState.DETACHING
        return SinkState(self.state.value)

    @property
    def shown_state(self) -> str:
        """The condition in tables, with where it hangs if it does."""
        condition = self.condition
        if condition is SinkState.HUNG:
            return f"{self.stands} for {self.clock.stands_s:.0f} s"
        return condition.value

    @property
    def trouble(self) -> str:
        """What is wrong with it, or was in the end."""
        if self.state is WorkerState.DONE:
            return ""
        return self.failure if self.state.is_final else self.away or self.failure

    def troubles(self) -> dict[str, Any]:
        """What status and record say besides: `failure`, and `detached` of an output that ends before it was to."""
        facts: dict[str, Any] = {"failure": self.trouble} if self.trouble else {}
        if self.detached_short:
            facts["detached"] = {"asked_at": self.detach_at, "why": self.detached_short}
        return facts

    def spawned(self, process: Process, now_ns: int) -> None:
        """It has a process, which says hello once it is up."""
        self.process = process
        self.life.spawned()
        self.said_hello = self.is_closed = False
        self.spawned_ns = now_ns

    def begin_anew(self, now_ns: int) -> None:
        """Somebody asked for a restart: what was wrong with it does not count any more."""
        self.life.begin_anew(now_ns)
        self.away = ""
        self.cut_off_at_ns = 0
        self.unmoved_s = 0.0

    def became_ready(self, now_ns: int, position: Position, *, runs: bool) -> None:
        """Its process has opened the output, and goes on there; `runs`: so does the board."""
        self.position = position
        self.life.ready_ns = now_ns
        if self.life.generation:
            self.start_s = max(self.start_s, (now_ns - self.spawned_ns) / 1e9)
        # Why its predecessor ended is no state of this one; it stands in the events.
        self.life.failure = ""
        self.life.happened(WorkerEvent.SAID_READY)
        if runs:
            self.life.happened(WorkerEvent.BOARD_STARTED)

    def became_done(self, position: Position) -> None:
        """Its process writes nothing more. Raises WireError of one that has no output that it could have ended."""
        # Whoever took it out knows where it ends; all that it has is in order.
        is_detached_short = bool(self.cut_off_at_ns) and self.detach_at is not None and self.is_closed
        is_cut_off = bool(self.cut_off_at_ns) and not is_detached_short
        event = WorkerEvent.WAS_CUT_OFF if is_cut_off else WorkerEvent.SAID_DONE
        if not self.life.may(event):
            raise WireError(f"message 'done' of a sink that is {self.state}")
        self.position = position
        if is_detached_short:
            self.detached_short, self.cut_off_at_ns = self.failure, 0
        elif is_cut_off and not self.is_closed:
            self.life.failure += "; its output could not be closed"
        self.life.happened(event)

    def is_to_be_restarted(self, now_ns: int, room_s: float | None) -> bool:
        """True once its pause is over, or the ring that it holds has not got more room than its start takes."""
        if self.state is not WorkerState.RESTARTING:
            return False
        return self.life.is_due(now_ns) or (room_s is not None and must_start_now(room_s, self.start_s))

    def died(self, now_ns: int, room_s: float | None = None) -> None:
        """Its process is dead: restart it, at once if that was asked for, else after a pause, or give up.

        `room_s`: how long the ring has room, where that is full while this sink is not there; None where it is not, or
        where the board waits.
        """
        how, was_asked = self.release(), self.restart_asked_ns is not None
        self.away = ""
        self.restart_asked_ns = None
        longest_pause_s = math.inf if room_s is None else pause_within(math.inf, room_s)
        self.life.died(Death(now_ns, how, self.life.ready_ns, was_asked=was_asked, longest_pause_s=longest_pause_s))

    def release(self) -> str:
        """Let go of a process that is dead; how it ended, in words."""
        how = ""
        if self.process:
            how = self.process.exit_text
            self.process.release()
        self.process = None
        return how

    def kill(self) -> None:
        """End its process at once, if it has one."""
        if self.process:
            self.process.kill()
        self.process = None

    def leave(self, table: SubscriberTable | None) -> None:
        """It holds no slot of the ring any more."""
        if table and self.row is not None:
            row = self.look(table)
            self.left_at = row.released if row else 0
            table.close(self.row)
            self.row = None

    def look(self, table: SubscriberTable) -> RowStatus | None:
        """Read the row, and keep the position that it shows."""
        if self.row is None:
            return None
        row = table.status(self.row)
        known = self.position
        if row.committed > known.committed or row.durable > known.durable or row.retained_from > known.retained_from:
            self.position = Position(
                row.start, row.committed, row.durable, row.samples, row.gap_samples, row.dropped, row.retained_from
            )
        return row

    def stop(self, end: int) -> int:
        """Where its output is to end, in a run that ends there: earlier if it was detached."""
        if self.detach_at is None:
            return end
        if self.detached_short:
            return self.position.committed
        return max(self.position.committed, min(self.detach_at, end))

    def tail(self, stop: int) -> Span:
        """What a sink that did not reach `stop` lacks at its end."""
        at = self.position.committed
        return Span(at, at) if self.state is WorkerState.DONE else Span(at, max(at, stop))

    def gap_samples(self, stop: int) -> int:
        """How many samples it lacks, of a run up to `stop`."""
        return self.position.gap_samples + len(self.tail(stop))

    def untriggered(self, stop: int) -> int:
        """How many samples of a run up to `stop` it was not to have: a gap that grows is not told before its end."""
        return 0 if self.trigger is None else max(0, self.gap_samples(stop) - self.absence.lacking)

    @property
    def tail_cause(self) -> Cause:
        """Why it lacks it."""
        return Cause.STALLED if self.state is WorkerState.CUT_OFF else Cause.WORKER_FAILED

    def outcome(self, stop: int) -> SinkOutcome:
        """How it ended, for the verdict."""
        return SinkOutcome(
            name=self.plan.name,
            policy=self.plan.policy,
            start=self.position.start,
            stop=stop,
            samples=self.position.samples,
            gaps=self.gap_samples(stop),
            failure=self.failure if self.state is not WorkerState.DONE else "",
            overruns=sum(map(self.absence.samples, LOST_BY_BOARD)),
            absent=self.absence.kept,
            retained_from=self.position.retained_from,
            untriggered=self.untriggered(stop),
        )

    @property
    def owes_words(self) -> bool:
        """True of a process that has ended by itself, and has said `failed` or `done` before."""
        if self.process is None:
            return False
        # One that had nothing open, or was asked to let go of it, ends without a word.
        has_said_done = self.life.ready_ns is not None and self.restart_asked_ns is None
        return self.process.has_said_why or (has_said_done and self.process.has_ended_in_order)

    def orders(self, common: Mapping[str, Any]) -> SinkOrders:
        """What its process must know before it knows the stream."""
        plan = self.plan
        return SinkOrders(
            **common,
            name=plan.name,
            lock=self.lock,
            address=self.lock,
            type=plan.type,
            path=None if self.path is None else str(self.path),
            policy=plan.policy,
            layout=plan.layout,
            on_exists=plan.on_exists,
            channels=plan.channels,
            flush_interval_s=plan.flush_interval_s,
            sync_s=plan.sync_s,
            queue_blocks=plan.queue_blocks,
            delay_per_block_s=plan.delay_per_block_s,
            every_s=plan.every_s,
            reduce=plan.reduce,
            split=plan.split,
            trigger=plan.trigger,
            options=plan.options,
        )
