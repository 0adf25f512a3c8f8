"""Messages of a consumer, as they are asked for: a batch is on its way while another one is worked on."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from dtopipe.broker.errors import BrokerError

# Asked for at once: some 32 MB of messages as large as ours are at most.
BATCH = 128
_EXPIRES_S = 5.0
_STATUS, _DESCRIPTION = "Status", "Description"
# That a request is over: nothing came in time, or it has reached its size.
_OVER = ("404", "408")
_CONFLICT = "409"
_NOBODY = "503"


class LogMessage(NamedTuple):
    """One message: its sequence in the log, and how it is acknowledged (empty where that is not asked for).

    `kept_at`: when the server took it, of one that was asked for by itself. `turn`: the how manyth message it is that
    the servers sent for its consumer, to whomever; 0 where nobody counts.
    """

    sequence: int
    subject: str
    headers: Mapping[str, str] | None
    payload: bytes
    reply: str = ""
    kept_at: datetime | None = None
    turn: int = 0


class Pull:
    """What one consumer gives to one client. For use in the connection's own thread."""

    def __init__(self, client: Any, stream: str, consumer: str, target: str) -> None:
        self._client, self._target = client, target
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._subscription: Any = None
        self._come: deque[LogMessage] = deque()
        self._has_come = asyncio.Event()
        self._asked = 0
        self._asked_until_s = 0.0
        self._problem: BrokerError | None = None

    async def take(self, timeout_s: float) -> list[LogMessage]:
        """What has come; empty where nothing does in time. Raises BrokerError once the consumer is gone."""
        if self._subscription is None:
            self._subscription = await self._client.subscribe(self._inbox, cb=self._hear)
        await self._ask()
        if not self._come and self._problem is None:
            self._has_come.clear()
            try:
                await asyncio.wait_for(self._has_come.wait(), timeout_s)
            except TimeoutError:
                return []
        if not self._come and self._problem is not None:
            raise self._problem
        found = list(self._come)
        self._come.clear()
        return found

    async def end(self) -> None:
        """Nothing more is wanted."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _ask(self) -> None:
        """Once half of what was asked for has come, or nothing is on its way."""
        now_s = asyncio.get_running_loop().time()
        if self._asked > BATCH // 2 and now_s < self._asked_until_s:
            return
        if now_s >= self._asked_until_s:
            # Whatever became of it, the server has forgotten it.
            self._asked = 0
        wanted = BATCH - self._asked
        self._asked += wanted
        self._asked_until_s = now_s + _EXPIRES_S + 0.5
        asked = {"batch": wanted, "expires": round(_EXPIRES_S * 1e9)}
        await self._client.publish(self._next, json.dumps(asked).encode(), self._inbox)

    async def _hear(self, message: Any) -> None:
        status = (message.headers or {}).get(_STATUS)
        if status is None:
            self._come.append(_received(message))
            self._asked = max(0, self._asked - 1)
        elif status in _OVER:
            self._asked = 0
        elif status == _CONFLICT and "Consumer Deleted" not in str(message.headers.get(_DESCRIPTION)):
            # Such as that its leader has changed.
            self._asked = 0
        elif status != "100":
            said = "nobody answers" if status == _NOBODY else str(message.headers.get(_DESCRIPTION) or "no answer")
            self._problem = BrokerError(self._target, f"the consumer is gone (NATS: {said})", "it is made again")
        self._has_come.set()


def _received(message: Any) -> LogMessage:
    # $JS.ACK.stream.consumer.deliveries.sequence.turn..., or with domain.account before the stream: NATS' ADR-15.
    words = message.reply.split(".")
    at = 5 if len(words) == 9 else 7
    sequence, turn = int(words[at]), int(words[at + 1])
    return LogMessage(sequence, message.subject, message.headers, message.data, message.reply, turn=turn)
