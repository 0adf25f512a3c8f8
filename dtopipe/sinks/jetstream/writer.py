"""Publishes a run to one subject of a stream of a NATS server.

What is in the stream says by itself how far the run is there: every message has the run's position behind it. A commit
is that the server has acknowledged every message up to there. After whatever went wrong the stream is looked at before
anything more is sent, so that nothing is there twice, however long the break was; and where it has less than was
acknowledged, the run goes on behind what it has.
"""

from __future__ import annotations

import contextlib
import platform
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dtopipe.broker.address import BrokerOptionError, address_of
from dtopipe.broker.claim import Claim, Held
from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.log import LogSettings
from dtopipe.broker.publishing import AnotherWriter, Outgoing, Publisher, Window
from dtopipe.broker.runs import SubjectRuns, Tail
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import OutputExists, OutputLocked, SinkError, SinkOptionError, SinkUnavailable
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap, add
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.jetstream.messages import batches, least_bytes, most_bytes, outgoing
from dtopipe.wire.log_messages import (
    SUBJECT_ROOT,
    Description,
    LogHead,
    LogKind,
    encode_description,
    encode_marks,
    subject_of,
)

# A reader that begins anywhere finds what the run is, however much of its beginning was deleted.
_TELL_AGAIN_MESSAGES = 1000


class JetStreamWriter:
    """One run on one subject. Options are those of `JetStreamOptions`; `run_name` names the subject.

    Where the server is away or the stream is full, SinkUnavailable is raised, nothing is forgotten, and the next
    `commit` tries again.
    """

    retries = True

    def __init__(
        self,
        output: OutputOptions,
        *,
        endpoint: str | None = None,
        stream: str = "dtopipe",
        run_name: str | None = None,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        credentials: str | None = None,
        nkey: str | None = None,
        ca: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        timeout_s: float = 5.0,
        create: bool = True,
        storage: str | None = None,
        replicas: int | None = None,
        max_bytes: int | None = None,
        max_age: float | None = None,
        discard: str | None = None,
        duplicate_window: float | None = None,
        window_messages: int = 256,
        window_bytes: int = 16 * 2**20,
        server_sync_s: float = 120.0,
    ) -> None:
        who = {"user": user, "password": password, "token": token, "credentials": credentials, "nkey": nkey}
        tls = {"ca": ca, "certificate": certificate, "key": key}
        try:
            self._address = address_of({"endpoint": endpoint, "stream": stream, "timeout_s": timeout_s, **who, **tls})
        except BrokerOptionError as error:
            raise SinkOptionError(None, error.message, error.remedy) from None
        self._settings = LogSettings(storage, replicas, max_bytes, max_age, discard, duplicate_window, create)
        self._window = Window(window_messages, window_bytes)
        self._run_name = run_name
        self._sync_ns = round(server_sync_s * 1e9)
        self._connection = BrokerConnection(self._address)
        self._target = self._address.target()
        self._is_open = self._is_detached = False
        self._pending: list[Block | Gap | Readings] = []
        self._marks: dict[int, Mark] = {}
        self._metadata: Mapping[str, Any] | None = None
        self._position = Position()
        # When what was acknowledged: (mono_ns, committed), oldest first.
        self._acknowledged: deque[tuple[int, int]] = deque()
        self._most_bytes = 0
        self._last = self._begins_at = self._told_at = self._whole_at = 0
        self._since_told = 0

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """Connect, and find this run in the stream or begin it. Raises SinkError."""
        if stream.polled:
            raise SinkError(self._target, "takes no polled readings", "write them into a file or a database")
        self._stream = stream
        self._subject = subject_of(self._run_name or stream.task, stream.device)
        self._target = self._address.target(self._subject)
        self._runs = SubjectRuns(self._connection, self._subject)
        self._publisher = Publisher(self._connection, self._subject, self._window)
        try:
            tail = self._connect(was_there=resume)
            if tail is not None and not resume:
                raise OutputExists(
                    self._target, f"the run {stream.run_id} is there already", "set another run_name or stream"
                )
            self._take(tail, start)
            with self._explained():
                self._describe()
        except BaseException:
            self._connection.close()
            raise
        self._is_open = True
        return self._position

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Keep them for the next commit."""
        self._check_open()
        self._pending = add(self._pending, items)

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note: messages of their own; metadata stand in the next description of the run."""
        self._check_open()
        self._marks |= {mark.number: mark for mark in marks}
        self._metadata = self._metadata if metadata is None else metadata

    def commit(self) -> Position:
        """The server has acknowledged everything appended. Raises SinkUnavailable to be tried again."""
        self._check_open()
        self._connected()
        with self._explained():
            self._publish()
            self._publish_notes()
        return self._position

    def sync(self) -> Position:
        """What was acknowledged so long ago that the server has synced it since counts as durable.

        Nobody can be asked to sync: a server acknowledges first, and syncs every two minutes unless its `sync_interval`
        says otherwise.
        """
        self._check_open()
        before_ns = mono_ns() - self._sync_ns
        while self._acknowledged and self._acknowledged[0][0] <= before_ns:
            durable = self._acknowledged.popleft()[1]
            self._position = replace(self._position, durable=max(durable, self._position.durable))
        return self._position

    def detach(self) -> None:
        """As DetachableWriter.detach: whoever follows the run waits for more of it."""
        self._is_detached = True

    def close(self) -> Position:
        """Commit, and say that nothing follows, unless it was detached."""
        self.commit()
        with self._explained():
            self._describe()
            if not self._is_detached:
                head = self._head(LogKind.END)
                self._last = self._publisher.send([Outgoing(head.headers(), b"{}")], self._last)[0]
        position = self.sync()
        self.abandon()
        return position

    def abandon(self) -> None:
        """Give up the connection, and with it the subject."""
        self._is_open = False
        self._pending = []
        self._connection.close()

    def _connect(self, *, was_there: bool) -> Tail | None:
        """Connect, and be the only one; how far the run is in the stream. Raises SinkError."""
        with self._explained():
            self._connection.connect()
            state = self._runs.log.ensure(self._subject, f"{SUBJECT_ROOT}.>", self._settings, was_there=was_there)
            Claim(self._connection, f"{self._address.stream} {self._subject}", self._stream.task).take(
                "another process publishes to this subject"
            )
            self._most_bytes = most_bytes(self._connection.most_payload, state.most_message_bytes)
            self._ensure_room(state.most_bytes)
            return self._runs.tail(self._stream.run_id)

    def _ensure_room(self, most_stored: int | None) -> None:
        item_bytes = np.dtype(self._stream.dtype).itemsize
        least = least_bytes(self._stream, item_bytes)
        if self._most_bytes < least:
            raise BrokerError(
                self._target,
                f"a message takes {max(0, self._most_bytes)} bytes, and one sample of all channels has {least}",
                "raise max_payload of the server, and max_msg_size of the stream",
                is_final=True,
            )
        block = least * self._stream.samples_per_block
        if most_stored is not None and most_stored < 2 * block:
            raise BrokerError(
                self._target,
                f"the stream holds {most_stored} bytes, and one block takes {block}",
                "raise its max_bytes",
                is_final=True,
            )

    def _take(self, tail: Tail | None, start: int) -> None:
        """Go on behind what is in the stream."""
        newest = self._runs.newest() if tail is None else None
        at = Position(start, start, start) if tail is None else tail.position
        self._position = replace(at, durable=at.start)
        self._acknowledged.clear()
        self._acknowledged.append((mono_ns(), at.committed))
        self._begins_at, self._told_at, self._whole_at = (
            (0, 0, 0) if tail is None else (tail.begins_at, tail.told_at, tail.whole_at)
        )
        self._last = tail.last if tail is not None else 0 if newest is None else newest.message.sequence

    def _connected(self) -> None:
        """Connect again after a loss, and find out what of the last commit is there. Raises SinkUnavailable."""
        if self._connection.is_connected:
            return
        before = self._position
        try:
            tail = self._connect(was_there=True)
            there = before.start if tail is None else tail.position.committed
            if there < before.committed:
                raise SinkError(
                    self._target,
                    f"the server has lost what it had acknowledged: the run is there up to sample {there}, "
                    f"and was up to sample {before.committed}",
                    "what is absent is published again from the journal; sync_interval: always in the server's "
                    "configuration, and replicas, keep that from happening",
                )
            if tail is None:
                # Nothing was committed yet.
                self._take(None, before.start)
            else:
                self._take(tail, before.start)
                self._position = replace(self._position, durable=before.durable)
                self._pending = _behind(self._pending, there)
            with self._explained():
                self._describe()
        except BaseException:
            # Half a reconnection is none.
            self._connection.drop()
            raise

    def _publish(self) -> None:
        items = [item for item in self._pending if not isinstance(item, Readings)]
        head, position = self._head(LogKind.ITEMS), self._position

        def messages() -> Iterator[Outgoing]:
            nonlocal position
            for batch in batches(items, self._most_bytes):
                message, position = outgoing(batch, head, position, self._subject)
                yield message

        if sequences := self._publisher.send(messages(), self._last):
            self._last, self._whole_at = max(sequences), sequences[-1]
            self._acknowledged.append((mono_ns(), position.committed))
            self._since_told += len(sequences)
        self._position = replace(position, durable=self._position.durable)
        self._pending = []
        if self._since_told >= _TELL_AGAIN_MESSAGES:
            self._describe()

    def _publish_notes(self) -> None:
        if self._marks:
            payload = encode_marks([self._marks[number] for number in sorted(self._marks)])
            head = self._head(LogKind.MARKS)
            self._last = self._publisher.send([Outgoing(head.headers(), payload)], self._last)[0]
            self._marks = {}
        if self._metadata is not None:
            self._stream = replace(self._stream, metadata=dict(self._metadata))
            self._metadata = None
            self._describe()

    def _describe(self) -> None:
        """Say what the run is."""
        facts = {"host": platform.node()}
        payload, headers = encode_description(Description(self._stream, facts))
        if len(payload) > self._connection.most_payload - 1024:
            raise BrokerError(
                self._target, f"the description of the run takes {len(payload)} bytes, more than a message may have",
                "raise max_payload of the server", is_final=True,
            )  # fmt: skip
        head = self._head(LogKind.RUN)
        head = replace(head, told_at=0)
        self._last = self._publisher.send([Outgoing({**head.headers(), **headers}, payload)], self._last)[0]
        self._told_at = self._last
        self._begins_at = self._begins_at or self._last
        self._whole_at = self._whole_at or self._last
        self._since_told = 0

    def _head(self, kind: LogKind) -> LogHead:
        at = self._position
        return LogHead(
            kind, self._stream.run_id, at.committed, replace(at, durable=at.start),
            self._begins_at, self._told_at, self._whole_at, at.committed,
        )  # fmt: skip

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """An error of the server becomes one of ours, and the stream is looked at before the next try."""
        try:
            yield
        except Held as error:
            self._connection.drop()
            raise OutputLocked(self._target, error.message, error.remedy) from None
        except AnotherWriter as error:
            self._connection.drop()
            raise SinkUnavailable(
                self._target, f"its newest message is not the one that was expected ({error.message})", error.remedy
            ) from None
        except BrokerError as error:
            self._connection.drop()
            kind = SinkError if error.is_final else SinkUnavailable
            raise kind(self._target, error.message, error.remedy) from None

    def _check_open(self) -> None:
        if not self._is_open:
            raise SinkError(self._target, "is not open", "call open() first, and nothing after close()")


def _behind(items: Sequence[Block | Gap | Readings], index: int) -> list[Block | Gap | Readings]:
    """What of these is behind that sample index."""
    found: list[Block | Gap | Readings] = []
    for item in items:
        if item.span.stop <= index:
            continue
        if isinstance(item, Block):
            found.append(item.trimmed(index))
        elif isinstance(item, Gap) and item.span.start < index:
            found.append(replace(item, span=replace(item.span, start=index)))
        else:
            found.append(item)
    return found
