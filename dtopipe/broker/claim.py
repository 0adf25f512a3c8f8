"""Being the only one: a name that one connection holds as long as it lives.

Servers keep no locks. Whoever holds a name answers whoever asks for it; the answer goes with the connection, whatever
ends that. Two who ask at the same moment hear of each other: the one with the smaller number has it.
"""

from __future__ import annotations

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


class Held(BrokerError):
    """Another connection has that name. `holder`: what it says of itself."""

    def __init__(self, target: str, what: str, holder: str) -> None:
        self.holder = holder
        super().__init__(target, f"{what} ({holder})", "wait until it ends, or end it")


class Claim:
    """One name on one connection."""

    def __init__(self, connection: BrokerConnection, name: str, who: str) -> None:
        """`who`: of the holder, for people, such as the run's name."""
        self._connection = connection
        # A subject of its own, whatever characters the name has.
        self._subject = f"{CLAIM_ROOT}.{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        self._id = uuid.uuid4().hex
        self._who = f"{who}, process {os.getpid()} on {platform.node()}"
        self._is_held = False
        self._subscription: Any = None

    def take(self, what: str) -> None:
        """Hold the name from now on, as long as the connection lasts. Raises Held: `what` is to be said of it."""
        self._is_held = False
        holder = self._connection.call(self._ask)
        if holder is not None:
            raise Held(self._connection.target, what, holder)

    async def _ask(self) -> str | None:
        client = self._connection.client
        self._subscription = await client.subscribe(self._subject, cb=self._answer)
        await client.flush(timeout=self._connection.address.timeout_s)
        asked = json.dumps({"id": self._id}).encode()
        try:
            answer = await client.request(self._subject, asked, timeout=_ANSWER_S)
            other = json.loads(answer.data)
            is_other_first = bool(other["held"]) or str(other["id"]) < self._id
            holder = str(other["who"])[:200] if is_other_first else None
        except Exception as error:
            # Nobody there, or somebody who never answers: a machine that is gone.
            if not _is_silence(error):
                raise
            holder = None
        if holder is not None:
            await self._subscription.unsubscribe()
        self._is_held = holder is None
        return holder

    async def _answer(self, message: Any) -> None:
        await message.respond(json.dumps({"id": self._id, "held": self._is_held, "who": self._who}).encode())


def _is_silence(error: Exception) -> bool:
    return isinstance(error, TimeoutError | ValueError | KeyError) or type(error).__name__ == "NoRespondersError"
