"""The run that somebody publishes to a stream of NATS servers, followed from any sample on."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dtopipe.boards.contract import Ended, Opened, Overrun, Surroundings, Taken
from dtopipe.boards.jetstream.beginning import Beginning, Wanted, sequence_of
from dtopipe.boards.jetstream.consumer import Consumer, ConsumerState
from dtopipe.boards.jetstream.devices import Devices
from dtopipe.boards.jetstream.pieces import Pieces
from dtopipe.broker.address import BrokerOptionError, address_of
from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.pulling import LogMessage
from dtopipe.broker.runs import SubjectRuns, Told
from dtopipe.core.log_order import Entry, LogOrder
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import Anchor, utc_ns
from dtopipe.model.errors import BoardError, WireError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.wire.link_items import decode_items
from dtopipe.wire.log_messages import SUBJECT_ROOT, LogKind, token

BOARD = "jetstream"
_TURN_S = 0.05
# Between two looks for a run, and between two attempts to reach a server that is away.
_LOOK_EVERY_NS, _TRY_EVERY_NS = 500_000_000, 500_000_000


class JetStreamBoard:
    """Blocks, gaps, times and run id are those of the run that is published; it waits for its reader.

    Options are those of `JetStreamBoardOptions`; besides, `followed`: ids of runs that are not wanted any more.

    A message is acknowledged once its samples are durable here. Whatever breaks, the servers are asked for what was not
    acknowledged; what comes twice is taken once, and what comes too early waits for what is before it.
    """

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None = None) -> None:
        try:
            self._address = address_of(options)
        except BrokerOptionError as error:
            raise BoardError(BOARD, error.message, error.remedy, is_final=True) from None
        runs = options.get("runs", "next")
        names = (options.get("run_name"), options.get("device"))
        self._pattern = ".".join([SUBJECT_ROOT, *("*" if name is None else token(str(name)) for name in names)])
        chosen = "" if runs in ("next", "every") else str(runs)
        self._wanted = Wanted(chosen, tuple(options.get("followed", ())), options.get("start", "earliest"))
        self._may_wait = bool(options.get("waits", True))
        self._connection = BrokerConnection(self._address)
        self._devices = Devices(self._connection, self._pattern, options.get("durable"))
        self._surroundings: Surroundings | None = None
        self._remote_id = self._run_id = ""
        self._runs: SubjectRuns | None = None
        self._consumer: Consumer | None = None
        self._stream: Stream | None = None
        self._order: LogOrder[Told] = LogOrder(0)
        self._events: deque[Taken | Overrun | Ended] = deque()
        self._anchor = Anchor(0, 0, 0)
        self._durable = self._newest = 0
        self._tried_ns = 0
        self._stopped = self._has_ended = self._is_away = False

    def take_surroundings(self, surroundings: Surroundings, remote_id: str, run_id: str) -> None:
        """As SurroundedBoard has it."""
        self._surroundings = surroundings
        self._remote_id = remote_id
        self._run_id = run_id

    def recall(self, gaps: Sequence[Gap]) -> None:
        """Nobody there is told of gaps."""

    def open(self) -> Opened:
        """Wait for a run. Raises BoardError if there will never be one for us, or we are not wanted."""
        while True:
            if not self._around.is_wanted():
                raise BoardError(BOARD, f"there was no run at {self._where} until the end", "start it there first")
            try:
                if not self._connection.is_connected:
                    self._connection.connect()
                found = self._devices.look(self._wanted, self._remote_id, self._run_id)
                if found is not None and (opened := self._opened(*found)) is not None:
                    self._goes_on()
                    return opened
                self._goes_on()
                if not self._may_wait:
                    raise BoardError(BOARD, f"{self._where} has not this run", "see dtopipe runs there", is_final=True)
            except BrokerError as error:
                self._met(error)
            time.sleep(_LOOK_EVERY_NS / 1e9)

    def start(self, at: int) -> None:
        """Give everything from this index on."""
        self._order = LogOrder(at)
        self._events.clear()
        try:
            self._begin()
        except BrokerError as error:
            self._met(error)

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next block, gap or end, or None if there is none in time. Raises BoardError if there will be none."""
        if not self._events and not (self._stopped or self._has_ended):
            try:
                self._ensure_begun()
                for message in self._own.take(timeout_s):
                    self._come(message)
            except BrokerError as error:
                self._met(error)
                time.sleep(min(timeout_s, _TURN_S))
        if self._events:
            return self._events.popleft()
        return Ended(self._order.at) if self._stopped or self._has_ended else None

    def give_back(self) -> None:
        """Nothing: each block has memory of its own."""

    def acknowledge(self, sample_index: int) -> None:
        """Everything before this index is durable here."""
        self._durable = max(self._durable, sample_index)
        if self._consumer is not None and not self._is_away:
            with contextlib.suppress(BrokerError):
                self._consumer.acknowledge(self._durable)

    def finish(self) -> None:
        """Everything is here for good: nothing of it is wanted again."""
        try:
            self._ensure_begun()
            self._own.acknowledge(self._durable)
            self._own.end()
        except BrokerError as error:
            logging.warning("%s: what is here was not acknowledged there: %s", self._where, error.message)

    def leave(self) -> None:
        """Nobody here wants more: the servers need not remember us."""
        with contextlib.suppress(BrokerError):
            if self._consumer is not None and self._connection.is_connected:
                self._consumer.end()

    def keep_alive(self) -> None:
        """The connection does so by itself."""

    def stop(self) -> None:
        """Want no more than what is here already."""
        self._stopped = True

    def close(self) -> None:
        """Leave. Harmless twice."""
        if self._consumer is not None:
            self._consumer.drop()
        self._connection.close()

    @property
    def _where(self) -> str:
        return self._address.target(self._pattern)

    @property
    def _around(self) -> Surroundings:
        if self._surroundings is None:
            raise BoardError(BOARD, "it is used without its surroundings")
        return self._surroundings

    @property
    def _own(self) -> Consumer:
        if self._consumer is None:
            raise BoardError(BOARD, "it was not opened")
        return self._consumer

    def _opened(self, runs: SubjectRuns, consumer: Consumer, found: Beginning) -> Opened | None:
        """What the run is; None while it has no block yet, whose times would be known."""
        anchor = self._first_anchor(runs, found)
        stream = runs.description(found.run_id, found.first).stream
        if anchor is None and found.tail.has_ended:
            anchor = Anchor(found.at, 1, utc_ns(stream.started_at))
        if anchor is None:
            return None
        if consumer.state() is None:
            consumer.make(found.first.message.sequence)
        self._runs, self._consumer, self._stream, self._anchor = runs, consumer, stream, anchor
        self._run_id = found.run_id
        self._pieces = Pieces(stream)
        self._order = LogOrder(found.at)
        self._durable = max(self._durable, found.at)
        source = {"endpoint": self._address.target(runs.subject), "task": stream.task}
        return Opened(
            device=stream.device,
            channels=stream.channels,
            dtype=stream.dtype,
            rate_hz=stream.rate_hz,
            samples_per_block=stream.samples_per_block,
            clocked=False,
            resumable=True,
            simulated=stream.simulated,
            metadata={**stream.metadata, "source": source},
            run_id=stream.run_id,
            started_at=stream.started_at,
            anchor=anchor,
            first_sample_index=found.at,
            end_sample_index=found.tail.position.committed if found.tail.has_ended else None,
            virtual=stream.virtual,
        )

    def _first_anchor(self, runs: SubjectRuns, found: Beginning) -> Anchor | None:
        """Where the times of the first block come from."""
        stream: Stream | None = None
        sequence = found.first.message.sequence
        while (message := runs.log.next_of(runs.subject, sequence)) is not None:
            told = runs.told(message)
            if told.head.run_id == found.run_id and told.head.kind is LogKind.ITEMS:
                stream = stream or runs.description(found.run_id, told).stream
                for item in self._decoded(message.payload, stream):
                    if isinstance(item, Block):
                        return item.anchor
            sequence = message.sequence + 1
        return None

    def _ensure_begun(self) -> None:
        """Connect again after a loss, not too often. Raises BrokerError."""
        if self._connection.is_connected and not self._is_away:
            return
        if mono_ns() - self._tried_ns < _TRY_EVERY_NS:
            raise BrokerError(self._connection.target, "the connection is lost", "see whether the server runs")
        self._tried_ns = mono_ns()
        self._connection.connect()
        self._begin()
        self._goes_on()

    def _begin(self) -> None:
        """Ask for everything behind what was acknowledged. Raises BrokerError."""
        runs, consumer = self._subject_runs, self._own
        self._devices.hold(runs.subject, self._remote_id)
        log = runs.log.state()
        state = consumer.state()
        if state is None or state.delivered > log.last or state.floor > log.last:
            # A server has lost it, or messages that it had acknowledged: it would wait for what comes far behind.
            logging.warning("the consumer of %s is made anew behind sample %d", runs.subject, self._durable)
            tail = runs.tail(self._run_id)
            told = None if tail is None else sequence_of(runs, tail, self._run_id, self._durable)
            first = log.last + 1 if told is None else told.message.sequence
            consumer.make(first)
            state = ConsumerState(first - 1, first - 1)
        # What waited for another message comes again.
        self._order = LogOrder(self._order.at)
        self._pieces = Pieces(self._own_stream)
        consumer.begin(state)

    @property
    def _subject_runs(self) -> SubjectRuns:
        if self._runs is None:
            raise BoardError(BOARD, "it was not opened")
        return self._runs

    @property
    def _own_stream(self) -> Stream:
        if self._stream is None:
            raise BoardError(BOARD, "it was not opened")
        return self._stream

    def _come(self, message: LogMessage) -> None:
        """One message, as the log has it. Raises BrokerError."""
        told = self._subject_runs.told(message)
        head = told.head
        if head.run_id != self._run_id:
            if message.sequence > self._newest and self._newest:
                # Of the run that is followed no end was said, and another one goes on there.
                self._over(head.run_id)
            else:
                # Of a run before, that nobody wants any more.
                self._own.is_taken(0, message.reply)
            return
        self._newest = max(self._newest, message.sequence)
        self._own.is_taken(head.stop, message.reply)
        if head.kind is LogKind.ITEMS:
            at = self._order.at
            entry = Entry(Span(head.first_index, head.stop), head.whole_to, told)
            self._take_up(self._order.came(entry), at)
        elif head.kind is LogKind.END:
            self._take_up(self._order.whole(head.stop), self._order.at)
            self._events += map(self._as_taken, self._pieces.rest())
            self._events.append(Ended(head.stop, is_of_source=True))
            self._has_ended = True

    def _over(self, other: str) -> None:
        logging.warning("the run %s never said where it ends, and %s follows on it", self._run_id, other)
        self._events += map(self._as_taken, self._pieces.rest())
        self._events.append(Ended(self._order.at))
        self._has_ended = True

    def _take_up(self, steps: Iterator[Entry[Told] | Span], at: int) -> None:
        for step in steps:
            if isinstance(step, Span):
                self._events.append(Overrun(step, Cause.TRANSPORT, self._t_utc_ns(step.start)))
                at = step.stop
                continue
            try:
                for item in self._pieces.items(step.message.head, step.message.message.payload, at):
                    self._events.append(self._as_taken(item) if isinstance(item, Block) else self._as_overrun(item))
            except WireError as error:
                raise BoardError(BOARD, f"{self._where}: {error}", "install the same version", is_final=True) from error
            at = step.span.stop

    def _as_taken(self, block: Block) -> Taken:
        self._anchor = block.anchor
        return Taken(block.first_sample_index, block.codes, block.sensor_status, None, block.anchor)

    def _as_overrun(self, gap: Gap) -> Overrun:
        return Overrun(gap.span, gap.cause, gap.t_utc_ns)

    def _t_utc_ns(self, index: int) -> int:
        """When this sample was taken, by the newest anchor that came."""
        return self._anchor.t_utc_ns + self._own_stream.clock.offset_ns(index - self._anchor.sample_index)

    def _decoded(self, payload: bytes, stream: Stream) -> Sequence[Block | Gap]:
        try:
            return decode_items(payload, len(stream.channels), stream.dtype, stream.samples_per_block)
        except WireError as error:
            raise BoardError(BOARD, f"{self._where}: {error}", "install the same version", is_final=True) from error

    def _met(self, error: BrokerError) -> None:
        """Wait where that helps. Raises BoardError where it does not."""
        if error.is_final:
            raise BoardError(BOARD, f"{self._where}: {error.message}", error.remedy, is_final=True) from None
        if self._consumer is not None:
            self._consumer.drop()
        self._connection.drop()
        if not self._is_away:
            self._is_away = True
            self._around.away(f"{self._address.target()}: {error.message}")

    def _goes_on(self) -> None:
        if self._is_away:
            self._is_away = False
            self._around.back()
