"""A consumer that the servers keep: what it has acknowledged is not wanted again, everything else comes until it is."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from importlib import import_module
from typing import NamedTuple

from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.log import Log
from dtopipe.broker.pulling import LogMessage, Pull

_NO_CONSUMER = 10014
# What is not acknowledged by then comes once more, and is acknowledged then: twice the time of a slow disk.
_COMES_AGAIN_S = 60.0
# Messages that are not acknowledged yet: seconds of a fast board in small blocks.
_MOST_UNACKNOWLEDGED = 8192
# How long the servers keep one that nobody reads and that has no name of its user's.
_UNNAMED_S = 3600.0
_ACK = b"+ACK"
_TURN_S = 5.0


class ConsumerState(NamedTuple):
    """Sequences: everything up to `floor` is acknowledged, up to `delivered` it was sent to somebody.

    `turn`: how many messages were sent so far.
    """

    floor: int
    delivered: int
    turn: int = 0


class _Unacknowledged(NamedTuple):
    stop: int
    reply: str


class Consumer:
    """One of one subject. `is_named`: the servers keep it until it is deleted there. Raises BrokerError."""

    def __init__(self, connection: BrokerConnection, subject: str, name: str, *, is_named: bool) -> None:
        self._connection = connection
        self._stream = connection.address.stream
        self._subject = subject
        self._name = name
        self._is_named = is_named
        self._log = Log(connection)
        self._unacknowledged: deque[_Unacknowledged] = deque()
        self._again: Iterator[LogMessage] = iter(())
        self._pull: Pull | None = None
        self._coming: Future[list[LogMessage]] | None = None
        # Of the message that came last.
        self._turn = 0

    def state(self) -> ConsumerState | None:
        """How far it is; None where the servers do not have it."""

        async def asked() -> ConsumerState | None:
            try:
                info = await self._connection.js.consumer_info(self._stream, self._name)
            except Exception as error:
                if getattr(error, "err_code", None) == _NO_CONSUMER:
                    return None
                raise
            floor = info.ack_floor.stream_seq if info.ack_floor else 0
            sent = info.delivered
            return ConsumerState(floor, sent.stream_seq, sent.consumer_seq) if sent else ConsumerState(floor, 0)

        return self._connection.call(asked)

    def make(self, first: int) -> None:
        """Let the servers keep it, from this sequence on; one that they have is forgotten."""

        async def made() -> None:
            api, js = import_module("nats.js.api"), self._connection.js
            with contextlib.suppress(Exception):
                await js.delete_consumer(self._stream, self._name)
            config = api.ConsumerConfig(
                name=self._name,
                durable_name=self._name,
                filter_subject=self._subject,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=_COMES_AGAIN_S,
                max_ack_pending=_MOST_UNACKNOWLEDGED,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=max(1, first),
                inactive_threshold=None if self._is_named else _UNNAMED_S,
            )
            await js.add_consumer(self._stream, config=config)

        self._connection.call(made)
        self._unacknowledged.clear()

    def begin(self, state: ConsumerState) -> None:
        """Give messages from behind `floor` on: at once what was sent to somebody who did not acknowledge it."""
        self.drop()
        self._again = self._log.read(self._subject, state.floor + 1, state.delivered)
        self._turn = state.turn
        self._pull = Pull(self._connection.client, self._stream, self._name, self._connection.target)

    def take(self, timeout_s: float) -> list[LogMessage]:
        """What has come; empty where nothing does in time."""
        again = next(self._again, None)
        if again is not None:
            # It comes once more by itself, and is acknowledged then.
            return [again._replace(reply="")]
        pull = self._pull
        if pull is None:
            raise BrokerError(self._connection.target, "nothing was asked for yet", "")
        if self._coming is None:
            self._coming = self._connection.start(lambda: pull.take(_TURN_S))
        try:
            found = self._connection.result(self._coming, timeout_s)
        except TimeoutError:
            if not self._connection.is_connected:
                self._coming = None
                raise BrokerError(self._connection.target, "the connection is lost", "see whether it runs") from None
            return []
        except BrokerError:
            self._coming = None
            raise
        # The next ones come while these are worked on.
        self._coming = self._connection.start(lambda: pull.take(_TURN_S))
        self._ensure_all(found)
        return found

    def _ensure_all(self, messages: Sequence[LogMessage]) -> None:
        """Raises BrokerError where one was sent that has not come: to somebody else, or lost on its way."""
        for message in messages:
            if message.turn > self._turn + 1:
                what = f"{message.turn - self._turn - 1} messages were sent and did not come"
                raise BrokerError(self._connection.target, what, "they come again")
            # A server that took over may send once more what another one had sent.
            self._turn = message.turn

    def drop(self) -> None:
        """Wait for nothing any more."""
        coming, self._coming = self._coming, None
        self._again, self._pull = iter(()), None
        if coming is not None:
            coming.cancel()

    def is_taken(self, stop: int, reply: str) -> None:
        """A message that is not wanted again once everything before the sample index `stop` is durable."""
        if reply:
            self._unacknowledged.append(_Unacknowledged(stop, reply))

    def acknowledge(self, durable: int) -> None:
        """Everything before this index is durable here. What cannot be said now is said by the next call."""
        if not self._connection.is_connected:
            return
        due = [each for each in self._unacknowledged if each.stop <= durable]
        if due:
            self._connection.call(lambda: self._say(due))
            self._unacknowledged = deque(each for each in self._unacknowledged if each.stop > durable)

    def end(self) -> None:
        """It is not wanted any more; one without a name of its user's is forgotten."""

        async def ended() -> None:
            await self._connection.client.flush(timeout=self._connection.address.timeout_s)
            if not self._is_named:
                await self._connection.js.delete_consumer(self._stream, self._name)

        self._connection.call(ended)

    async def _say(self, due: list[_Unacknowledged]) -> None:
        # Nobody waits for an answer: what is not heard comes again, and is acknowledged then.
        for each in due:
            await self._connection.client.publish(each.reply, _ACK)


def consumer_name(durable: str | None, remote_id: str, subject: str) -> str:
    """What the servers call our consumer of a subject: unlike for each of them."""
    where = hashlib.sha256(subject.encode()).hexdigest()[:12]
    return f"dtopipe-{durable or f'{platform.node()[:32]}-{remote_id}'}-{where}".replace(".", "_")
