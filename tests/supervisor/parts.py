"""A supervisor's parts around a real ring, where nothing starts a process: whoever would is told so by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dtopipe.boards.contract import Opened
from dtopipe.core.verdict import Verdict
from dtopipe.host.clock import RunTimes
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import Anchor
from dtopipe.model.marks import Mark
from dtopipe.model.plan import BoardPlan, ListenPlan, RingPlan, RunPlan, SinkPlan
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Channel
from dtopipe.shm.reader import RingReader
from dtopipe.shm.writer import RingWriter
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.answers import Answers
from dtopipe.supervisor.attachments import Attachments
from dtopipe.supervisor.board_watch import BoardWatch
from dtopipe.supervisor.clock_watch import ClockWatch
from dtopipe.supervisor.course import CourseWatch
from dtopipe.supervisor.disks import Disks
from dtopipe.supervisor.drain import Drain
from dtopipe.supervisor.gateway_agent import GatewayAgent
from dtopipe.supervisor.goal import Goal
from dtopipe.supervisor.hearing import Hearing
from dtopipe.supervisor.instruments import Instruments
from dtopipe.supervisor.judging import Judging
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.limiting import Limiting
from dtopipe.supervisor.limits import Limits
from dtopipe.supervisor.limits_agent import LimitsAgent
from dtopipe.supervisor.lines import ClockFile
from dtopipe.supervisor.marking import Marking
from dtopipe.supervisor.metadata import Metadata
from dtopipe.supervisor.moments import Moments
from dtopipe.supervisor.notes import Notes
from dtopipe.supervisor.on_events import OnEvents
from dtopipe.supervisor.placement import Placement
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.restart_requests import RestartRequests
from dtopipe.supervisor.retention import Retention
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.supervisor.starts import Starts
from dtopipe.supervisor.status import StatusBoard
from dtopipe.supervisor.subscriptions import Subscriptions
from dtopipe.supervisor.watch import Watch
from dtopipe.transport.malformed import Malformed
from dtopipe.wire.control import decode, encode
from dtopipe.wire.message_fields import TypedMessage
from dtopipe.wire.messages import (
    EXIT_AFTER_FAILED,
    BoardOpened,
    Failed,
    Hello,
    Serving,
    SinkDone,
    SinkReady,
    StreamEnded,
)
from dtopipe.wire.orders import WorkerOrders

RATE_HZ, BLOCK = 1000.0, 100
S = 1_000_000_000


class FakeProcess:
    """It lives until a test ends it."""

    def __init__(self, number: int, module: str, orders: WorkerOrders) -> None:
        self.pid = number
        self.module = module
        self.orders = orders
        self.exit_code: int | None = None
        self.was_killed = self.is_released = False

    @property
    def is_alive(self) -> bool:
        return self.exit_code is None

    @property
    def has_ended_in_order(self) -> bool:
        return self.exit_code == 0

    @property
    def has_said_why(self) -> bool:
        return self.exit_code == EXIT_AFTER_FAILED

    @property
    def exit_text(self) -> str:
        return "" if self.exit_code is None else f"exit {self.exit_code}"

    def end(self, code: int = 1) -> None:
        self.exit_code = code

    def kill(self) -> None:
        if self.exit_code is None:
            self.exit_code = -9
        self.was_killed = self.is_released = True

    def release(self) -> None:
        self.is_released = True


class FakeStarter:
    """Everything that was started, by name."""

    def __init__(self) -> None:
        self.started: list[tuple[str, FakeProcess]] = []

    def start(self, name: str, module: str, orders: Callable[[Mapping[str, Any]], WorkerOrders]) -> FakeProcess:
        common = {
            "entry": "/entry", "run_folder": "/run", "control": "ipc://control", "public_key": "", "secret_key": "",
            "drain_limit_s": 60.0,
        }  # fmt: skip
        process = FakeProcess(1000 + len(self.started), module, orders(common))
        self.started.append((name, process))
        return process

    def of(self, name: str) -> list[FakeProcess]:
        return [process for each, process in self.started if each == name]


class Sent:
    """Everything that was said, and to whom."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, TypedMessage]] = []

    def send(self, address: bytes, message: TypedMessage) -> None:
        self.messages.append((address.decode(), message))

    def to(self, address: str) -> list[TypedMessage]:
        return [message for each, message in self.messages if each == address]


class Events:
    """Instead of `events.jsonl`."""

    def append_of(self, of: str, event: str, process: str = "", /, **details: Any) -> None:
        self.append(event, process, **details)

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def append(self, event: str, process: str = "", /, **details: Any) -> None:
        self.lines.append({"event": event, "process": process, **details})

    def append_mark(self, mark: Mark) -> bool:
        self.lines.append({"event": "mark", "process": "", "mark": mark})
        return True

    def names(self, process: str | None = None) -> list[str]:
        return [line["event"] for line in self.lines if process is None or line["process"] == process]

    def last(self, event: str) -> dict[str, Any]:
        return next(line for line in reversed(self.lines) if line["event"] == event)


class Gaps:
    """Instead of `gaps.jsonl`."""

    def __init__(self) -> None:
        # A dict that keeps its order.
        self.found: dict[tuple[str | None, Gap], None] = {}

    def append(self, sink: str | None, gaps: Iterable[Gap]) -> list[Gap]:
        fresh = [gap for gap in gaps if (sink, gap) not in self.found]
        self.found |= {(sink, gap): None for gap in fresh}
        return fresh


class Places:
    """Instead of the runtime entry: nobody looks for this run."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, **facts: Any) -> None:
        self.told.append(facts)


class Life:
    """Instead of the locks of programs that follow: those that are held."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.forgotten: list[str] = []

    def is_listening(self, key: str) -> bool:
        return key in self.held

    def listens(self, key: str) -> bool:
        return key in self.held

    def forget_subscriber(self, key: str) -> None:
        self.forgotten.append(key)


def sink(name: str, **own: Any) -> SinkPlan:
    return SinkPlan(name, "csv", f"{name}.csv", **own)


def journal(**own: Any) -> SinkPlan:
    return SinkPlan("raw", "hbuf", "raw.dt-raw", **{"is_journal": True, "essential": True, **own})


def plan_of(sinks: Sequence[SinkPlan], root: Path, **own: Any) -> RunPlan:
    facts: dict[str, Any] = {
        "name": "bench", "run_root": root, "source_file": root / "bench.yaml",
        "board": BoardPlan("simulated", {}, None), "ring": RingPlan(slots=8),
        "sinks": tuple(sinks), "drain_limit_s": 60.0,
        "document": {"board": {"type": "simulated"}, "sinks": {each.name: {"type": each.type} for each in sinks}},
    }  # fmt: skip
    return RunPlan(**{**facts, **own})


@dataclass
class Bench:
    """One run's parts. A test says what its processes would, and lets time pass."""

    root: Path
    plans: Sequence[SinkPlan] = (sink("table"),)
    own: dict[str, Any] = field(default_factory=dict)
    clocked: bool = True

    def __post_init__(self) -> None:
        plan = self.plan = plan_of(self.plans, self.root, **self.own)
        self.starter, self.sent, self.events, self.gaps, self.life = FakeStarter(), Sent(), Events(), Gaps(), Life()
        progress = self.progress = Progress("run-1", RunTimes())
        memory = self.memory = RunMemory()
        self.folder = RunFolder.create(self.root, plan.name, progress.started)
        self.clock_file = ClockFile(self.folder.path / "clock.jsonl")
        self.places = Places()
        starter, post, events, path = self.starter, self.sent, self.events, self.folder.path
        acquirer = self.acquirer = AcquirerAgent(plan)
        watcher = LimitsAgent(plan, path) if plan.limits else None
        sinks = self.sinks = Sinks((SinkAgent(each, path) for each in plan.sinks), watcher)
        self.on_events = OnEvents(plan, progress, self.folder, events)
        self.limits = Limits(plan, progress, memory, watcher, events)
        goal = self.goal = Goal(plan, memory, acquirer)
        self.gateway = GatewayAgent(plan, progress, memory, sinks, starter, post, events, self.gaps)
        self.board_watch = BoardWatch(plan, progress, memory, acquirer, goal, events)
        self.clock_watch = ClockWatch(progress, memory, acquirer, self.clock_file.fit, events)
        self.drain = Drain(plan, progress, memory, acquirer, sinks, self.gateway, goal, post, events)
        self.disks = Disks(plan, path, progress, memory, sinks, self.drain, events)
        self.limiting = Limiting(progress, memory, acquirer, sinks, self.board_watch)
        self.record = RunRecord(
            plan, self.folder, self.places, progress, memory, acquirer, sinks, goal, self.clock_file,
            self.board_watch, self.clock_watch, self.disks, self.limits, self.limiting,
            CourseWatch(progress, memory, sinks),
        )  # fmt: skip
        self.starts = Starts(memory, sinks)
        self.placement = Placement(memory, sinks, self.starts, self.record, events)
        self.launcher = Launcher(
            plan, progress, memory, acquirer, sinks, self.gateway, self.clock_watch, self.record, self.placement,
            starter, post, events,
        )  # fmt: skip
        self.watch = Watch(
            plan, progress, memory, acquirer, sinks, self.launcher, self.drain, events, lambda process, n: ["its log"]
        )
        self.restarts = RestartRequests(progress, sinks, self.launcher, post, events)
        self.retention = Retention(memory, sinks, self.gateway)
        self.attachments = Attachments(
            path, progress, memory, sinks, self.starts, self.placement, self.launcher, self.drain, self.record, post,
            events,
        )  # fmt: skip
        self.subscriptions = Subscriptions(
            plan.name, path, progress, memory, sinks, self.starts, self.launcher, self.life, events
        )
        self.malformed = Malformed("message")
        self.judging = Judging(progress, memory, acquirer, sinks, goal, self.record, self.limits, self.gaps)
        moments = Moments(progress, memory, acquirer, goal)
        self.notes = Notes(
            memory,
            moments,
            Marking(progress, moments, self.events),
            Instruments(memory, moments, path),
            Metadata(progress, self.record, events),
        )
        self.status = StatusBoard(
            plan, path, progress, memory, acquirer, sinks, self.gateway, self.board_watch, self.disks, self.retention,
            self.subscriptions, self.notes, self.limits, self.on_events, self.record, self.malformed,
            self.limiting,
        )  # fmt: skip
        self.stops: list[tuple[Any, bool]] = []
        answers = Answers(
            path, self.status, self.restarts, self.attachments, self.subscriptions, self.notes, self._request_stop
        )
        self.hearing = Hearing(
            progress, memory, acquirer, sinks, self.gateway, self.launcher, self.attachments, self.limits, answers,
            self.gaps, self.clock_file, post, events, self.malformed,
        )  # fmt: skip
        self.now_ns = progress.started_ns
        self.writer: RingWriter | None = None

    def _request_stop(self, by: Any, *, hurry: bool = False) -> None:
        self.stops.append((by, hurry))

    def close(self) -> None:
        self.disks.close()
        self.memory.close()
        self.clock_file.close()
        self.notes.instruments.close()

    def says(self, address: str, message: TypedMessage) -> None:
        """A process says it, through every byte of the way but the socket."""
        self.hearing.hear(address.encode(), decode(encode(message)))

    def process(self, name: str) -> FakeProcess:
        """The newest of that name."""
        return self.starter.of(name)[-1]

    def agent(self, name: str = "table") -> SinkAgent:
        return self.sinks.workers_by_name[name]

    def phase(self) -> Phase:
        """How far the run is."""
        return self.progress.phase

    def turn(self, after_s: float = 0.05) -> None:
        """One turn of the supervisor, so long after the last."""
        self.now_ns += round(after_s * S)
        self.restarts.look(self.now_ns)
        self.attachments.look(self.now_ns, after_s)
        self.subscriptions.look()
        self.watch.look(self.now_ns)
        self.gateway.look(self.now_ns)
        self.retention.look()
        self.notes.look(self.now_ns)
        self.board_watch.look(after_s)
        if self.progress.phase is Phase.OPENING:
            self.launcher.go_on()
        elif self.progress.phase is Phase.DRAINING:
            self.drain.go_on(self.now_ns, after_s)

    def start(self) -> None:
        """Everybody was started."""
        self.launcher.start_everybody()

    def open_board(self) -> None:
        """The acquirer's process has the board open."""
        opened = Opened(
            "box", (Channel("a"), Channel("b")), "int16", RATE_HZ, BLOCK, clocked=self.clocked, resumable=False
        )
        self.says(self.acquirer.address.decode(), Hello(1))
        self.says(self.acquirer.address.decode(), BoardOpened(opened, "ipc://wake", "ipc://credit"))

    def ready(self, name: str, position: Position | None = None) -> None:
        """The sink's process has its output open."""
        agent = self.agent(name)
        self.says(agent.lock, Hello(2))
        self.says(agent.lock, SinkReady(position or agent.position))

    def run(self) -> None:
        """From nothing to a board that takes samples."""
        self.start()
        self.open_board()
        self.turn()
        for agent in self.sinks.workers:
            self.ready(agent.plan.name)
        if self.plan.listen is not None:
            self.says(self.gateway.address.decode(), Serving("tcp://127.0.0.1:5700"))
        self.turn()
        assert self.progress.phase is Phase.RUNNING
        assert self.memory.ring is not None
        self.writer = RingWriter(self.memory.ring)
        self.writer.begin_epoch(Anchor(0, self.progress.started_ns, self.progress.times.utc_ns()))

    def publish(self, n_blocks: int = 1) -> None:
        """Blocks of zeros, as the acquirer would."""
        assert self.writer is not None
        for _ in range(n_blocks):
            lease = self.writer.lease()
            assert isinstance(lease, int), "the ring is full"
            at = self.memory.end_sample_index
            self.writer.publish(lease, at, np.zeros((2, BLOCK), np.int16), None, Anchor(at, 1, 1), 1, 0)

    def commit(self, name: str, committed: int) -> None:
        """The sink's process has so much in its output."""
        table, row = self.memory.table, self.agent(name).row
        assert table is not None
        assert row is not None
        assert self.memory.ring is not None
        reader = RingReader(self.memory.ring, row)
        while reader.take(64):
            pass
        start = self.agent(name).position.start
        reader.report(Position(start, committed, committed, committed - start))
        reader.release()

    def die(self, name: str, message: str = "", code: int = 1, **words: Any) -> None:
        """The newest process of that name ends, with last words or without."""
        address = self.acquirer.address.decode() if name == "acquirer" else self.agent(name).lock
        if message:
            self.says(address, Failed(message, **words))
        self.process(name).end(code)
        # Its last words may still be on their way: it is looked at twice.
        self.turn(0.0)
        self.turn(0.0)

    def end_board(self) -> None:
        """The acquirer's process says that the stream has ended, and ends in order."""
        self.says(self.acquirer.address.decode(), StreamEnded())
        self.process("acquirer").end(0)
        self.turn()
        self.turn()

    def finish(self) -> Verdict:
        """Everybody ends as he can; how the run is judged then."""
        for _ in range(200):
            if self.phase() is Phase.FINISHED:
                break
            self.turn(0.5)
            if self.acquirer.process is not None:
                self.process("acquirer").end(0)
        self.progress.finished(self.judging.verdict())
        assert self.progress.verdict is not None
        return self.progress.verdict

    def sink_status(self, name: str = "table") -> dict[str, Any]:
        """As `dtopipe status --json` has it."""
        facts: dict[str, Any] = self.status.snapshot()["sinks"][name]
        return facts

    def done(self, name: str) -> None:
        """The sink's process has written everything, and ends in order."""
        agent, end = self.agent(name), self.memory.end_sample_index
        self.says(agent.lock, SinkDone(Position(agent.position.start, end, end, end - agent.position.start)))
        self.process(name).end(0)


LISTEN = ListenPlan("tcp://127.0.0.1:5700", insecure=True)
BLOCKING = Policy.BLOCK
