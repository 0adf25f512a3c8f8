"""Being the only one: a name that one connection holds as long as it lives.

Servers keep no locks. Whoever holds a name answers whoever asks for it; the answer goes with the connection, whatever
ends that. Two who ask at the same moment hear of each other: the one with the smaller number has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import uuid
from typing import Any

from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError

CLAIM_ROOT = "_dtopipe.claim"
# Who holds a name answers from a thread that does nothing else for long; a machine that is gone never does.
_ANSWER_S = 1.0
# That nobody is there who would answer.
_NOBODY = "503"
# The question of who only wants to know, and comes before nobody.
_LOOK = b""


class Held(BrokerError):
    """Another connection has that name. `holder`: what it says of itself."""

    def __init__(self, target: str, what: str, holder: str) -> None:
        self.holder = holder
        super().__init__(target, f"{what} ({holder})", "wait until it ends, or end it")


class Claim:
    """One name on one connection, which hears nothing of itself."""

    def __init__(self, connection: BrokerConnection, name: str, who: str) -> None:
        """`who`: of the holder, for people, such as the run's name."""
        self.name = name
        self._connection = connection
        # A subject of its own, whatever characters the name has.
        self._subject = f"{CLAIM_ROOT}.{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        self._id = uuid.uuid4().hex
        self._who = f"{who}, process {os.getpid()} on {platform.node()}"
        self._is_held = False
        # Of who asked at the same moment, and comes first.
        self._beaten_by: str | None = None
        self._client: Any = None
        self._subscription: Any = None

    def take(self, what: str) -> None:
        """Hold the name from now on, as long as the connection lasts. Raises Held: `what` is to be said of it.

        Who holds it already asks once more: servers that had just met may have let two have it.
        """
        holder = self._connection.call(self._ask)
        if holder is not None:
            raise Held(self._connection.target, what, holder)

    def holder(self) -> str | None:
        """Who has it now, without asking for it; None where nobody answers."""
        return self._connection.call(lambda: self._holder(self._connection.client, _LOOK))

    def release(self) -> None:
        """Hold it no longer. Never raises."""
        with contextlib.suppress(BrokerError):
            self._connection.call(self._let_go)

    async def _ask(self) -> str | None:
        client = self._connection.client
        self._beaten_by = None
        if self._client is not client:
            self._is_held = False
            self._client = client
            self._subscription = await client.subscribe(self._subject, cb=self._answer)
            await client.flush(timeout=self._connection.address.timeout_s)
        holder = await self._holder(client, self._told())
        self._is_held = holder is None
        if holder is not None:
            await self._let_go()
        return holder

    async def _holder(self, client: Any, question: bytes) -> str | None:
        """Who has it, or comes before us; None where nobody answers in time."""
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        try:
            await client.publish(self._subject, question, inbox)
            async with asyncio.timeout(_ANSWER_S):
                while True:
                    answer = await answers.next_msg(_ANSWER_S)
                    if (answer.headers or {}).get("Status") == _NOBODY:
                        return self._beaten_by
                    if (before := self._before(answer.data)) is not None:
                        return before
        # A machine that is gone never answers.
        except TimeoutError:
            return self._beaten_by
        finally:
            await answers.unsubscribe()

    async def _answer(self, message: Any) -> None:
        if not self._is_held:
            self._beaten_by = self._before(message.data) or self._beaten_by
        await message.respond(self._told())

    def _told(self) -> bytes:
        return json.dumps({"id": self._id, "held": self._is_held, "who": self._who}).encode()

    def _before(self, told: bytes) -> str | None:
        """Who that is, if the name is theirs rather than ours; None for what is no word of a claim."""
        try:
            other = json.loads(told)
            theirs, ours = (not other["held"], str(other["id"])), (not self._is_held, self._id)
            return str(other["who"])[:200] if theirs < ours else None
        except (ValueError, LookupError, TypeError):
            return None

    async def _let_go(self) -> None:
        subscription, self._client, self._subscription = self._subscription, None, None
        self._is_held = False
        if subscription is not None:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
