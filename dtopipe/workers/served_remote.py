"""One remote that the gateway serves: what it has, what it was sent, and how much more it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import WireError
from dtopipe.wire.control import Message
from dtopipe.wire.describe import describe_anchor, describe_stream
from dtopipe.wire.link_items import encode_items
from dtopipe.workers.served_run import RunReader, ServedRun, close_quietly

PROTOCOL_VERSION = 1
# It speaks twice a second; who is silent for so long is away, and costs nothing until it comes back.
_SILENCE_NS = 10_000_000_000
_ALIVE_EVERY_NS = 500_000_000
# Whatever a remote offers to take.
_MOST_WINDOW = 4096
_MOST_INDEX = 2**62


class ServedRemote:
    """From its first request to its last word; `remote_id` names it, whatever connection it comes by."""

    def __init__(self, remote_id: str, name: str, key: bytes) -> None:
        self.remote_id = remote_id
        self.name = name
        self.key = key
        self.address = b""
        self.has_finished = False
        self.durable = self.sent_to = 0
        self.joined_ns = self.progress_ns = self._heard_ns = mono_ns()
        self._said_ns = 0
        self._session = self._sent = self._taken = self._window = 0
        self._at = 0
        self._greeted = self._ended = True
        self._was_told_the_end = False
        self._reader: RunReader | None = None

    @property
    def is_away(self) -> bool:
        """True if nothing was heard of it for long."""
        return mono_ns() - self._heard_ns > _SILENCE_NS

    @property
    def fell_silent_behind_the_end(self) -> bool:
        """True if it has taken everything, and nobody will say any more that it is there for good."""
        return self.is_away and self._was_told_the_end and self._taken >= self._sent

    def pull(self, address: bytes, message: Message) -> None:
        """It asks for the stream from an index on, in a new session. Raises WireError."""
        at, window = message.get("at", int), message.get("window", int)
        if not 0 <= at < _MOST_INDEX or window < 0:
            raise WireError(f"a request for sample {at} with a window of {window}")
        self.pause()
        self.address = address
        self._session = message.get("session", int)
        self._at, self._window = at, min(window, _MOST_WINDOW)
        self._sent = self._taken = 0
        self._greeted = self._ended = self._was_told_the_end = False
        self._heard(message)
        self.progress_ns = self._heard_ns

    def credit(self, message: Message) -> None:
        """It has taken so many items of the session. Raises WireError."""
        if message.get("session", int) != self._session:
            return
        taken = message.get("taken", int)
        if not self._taken <= taken <= self._sent:
            raise WireError(f"{taken} items taken, of {self._sent}")
        if taken > self._taken or message.get("durable", int) > self.durable:
            self.progress_ns = mono_ns()
        self._taken = taken
        self._heard(message)

    def pause(self) -> None:
        """Send nothing more until it asks anew."""
        close_quietly(self._reader)
        self._reader = None
        self._ended = True

    def due(self, run: ServedRun | None) -> Iterator[tuple[Message, bytes]]:
        """What is to be sent to it now: at most one message of samples."""
        now_ns = mono_ns()
        if not self._greeted and run is not None and run.has_begun:
            self._greeted = True
            self._said_ns = now_ns
            anchor = describe_anchor(run.ring.anchor())
            yield self._message("stream", stream=describe_stream(run.stream), anchor=anchor), b""
            self._reader = RunReader(run, self._at)
        if self._reader is not None and not self._ended:
            yield from self._samples(self._reader, now_ns)
        if now_ns - self._said_ns > _ALIVE_EVERY_NS:
            self._said_ns = now_ns
            yield self._message("alive"), b""

    def _samples(self, reader: RunReader, now_ns: int) -> Iterator[tuple[Message, bytes]]:
        room = self._window - (self._sent - self._taken)
        items = reader.take(room) if room > 0 else []
        if items:
            self._said_ns = now_ns
            yield self._message("items", first=self._sent), encode_items(items)
            self._sent += len(items)
            self.sent_to = items[-1].span.stop
        elif reader.at_end and self._window > 0:
            self._ended = self._was_told_the_end = True
            self._said_ns = now_ns
            yield self._message("end", first=self._sent, end_sample_index=reader.end), b""

    def _heard(self, message: Message) -> None:
        self._heard_ns = mono_ns()
        self.durable = min(message.get("durable", int), _MOST_INDEX)

    def _message(self, kind: str, **body: Any) -> Message:
        return Message(kind, {"session": self._session, **body})
