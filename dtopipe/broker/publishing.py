"""Messages on their way into a log: a window of them at a time, until the server has acknowledged each."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError

# A message is refused if the subject's newest one is not this.
_EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_STREAM = "Nats-Expected-Stream"
_WRONG_LAST = 10071
# Where nothing listens at all the answer is empty; the number is that of a stream that is not there.
_NOBODY = 10059
_LOOK_EVERY_S = 0.25


class Outgoing(NamedTuple):
    """One message to be sent."""

    headers: dict[str, str]
    payload: bytes


class AnotherWriter(BrokerError):
    """The newest message of the subject is not the one that was expected."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much may be on its way: messages, and bytes of them."""

    messages: int = 256
    most_bytes: int = 16 * 2**20


class Refused(Exception):
    """The server has not taken a message. `err_code`, `description`: as it says."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.err_code = facts.get("err_code")
        self.description = facts.get("description")
        super().__init__(str(self.description))


class Publisher:
    """Sends to one subject of one stream, by one connection. Raises BrokerError."""

    def __init__(self, connection: BrokerConnection, subject: str, window: Window) -> None:
        self._connection = connection
        self._subject = subject
        self._window = window
        # Of the client that answers come to: nats-py's own publish_async never hears of a refusal.
        self._client: Any = None
        self._inbox = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[int]] = {}

    def send(self, messages: Iterable[Outgoing], expected_last: int | None = None) -> list[int]:
        """The sequence of each, once the server has acknowledged all of them.

        With `expected_last`, the sequence of the subject's newest message, the first of them is sent alone, and refused
        (AnotherWriter) if it is another one. They are made as they are sent, while the server works on those before.
        After an error nobody knows which of them are there.
        """
        return self._connection.call(lambda: self._in_order(iter(messages), expected_last))

    async def _in_order(self, messages: Iterator[Outgoing], expected_last: int | None) -> list[int]:
        found = []
        if expected_last is not None and (first := next(messages, None)) is not None:
            headers = {**first.headers, _EXPECTED_LAST: str(expected_last)}
            found = await self._all([Outgoing(headers, first.payload)])
        return found + await self._all(messages)

    async def _all(self, messages: Iterable[Outgoing]) -> list[int]:
        client = await self._listening()
        stream = {_EXPECTED_STREAM: self._connection.address.stream}
        waiting: deque[tuple[asyncio.Future[int], int]] = deque()
        n_bytes, found = 0, []
        try:
            for each in messages:
                size = len(each.payload)
                while waiting and (len(waiting) >= self._window.messages or n_bytes + size > self._window.most_bytes):
                    n_bytes -= waiting[0][1]
                    found.append(await self._acknowledged(waiting[0][0]))
                    waiting.popleft()
                number = str(next(self._numbers))
                future = self._waiting[number] = asyncio.get_running_loop().create_future()
                waiting.append((future, size))
                n_bytes += size
                reply = f"{self._inbox}.{number}"
                await client.publish(self._subject, each.payload, reply, headers={**each.headers, **stream})
            while waiting:
                found.append(await self._acknowledged(waiting[0][0]))
                waiting.popleft()
        finally:
            # Nobody asks any more what became of the others.
            self._waiting.clear()
            for future, _ in waiting:
                future.cancel() if not future.done() else future.exception()
        return found

    async def _listening(self) -> Any:
        client = self._connection.client
        if client is not self._client:
            self._client, self._inbox = client, client.new_inbox()
            await client.subscribe(f"{self._inbox}.*", cb=self._hear)
        return client

    async def _hear(self, message: Any) -> None:
        future = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if future is None or future.done():
            return
        if not message.data:
            future.set_exception(Refused({"err_code": _NOBODY, "description": "no stream takes this subject"}))
            return
        answer = json.loads(message.data)
        if "error" in answer:
            future.set_exception(Refused(answer["error"]))
        else:
            future.set_result(int(answer["seq"]))

    async def _acknowledged(self, future: asyncio.Future[int]) -> int:
        """Not for ever: of a connection that is lost nothing comes any more."""
        limit_s, waited_s = self._connection.address.timeout_s, 0.0
        while not future.done():
            await asyncio.wait({future}, timeout=_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
            if not future.done() and not self._connection.is_connected:
                raise ConnectionError("it ended before everything was acknowledged")
            if not future.done() and waited_s > limit_s:
                raise TimeoutError
        try:
            return future.result()
        except Refused as error:
            if error.err_code == _WRONG_LAST:
                raise AnotherWriter(self._connection.target, str(error), "let one sink write it") from None
            raise
