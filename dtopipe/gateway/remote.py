"""One remote that is served: what it has, what it was sent, and how much more it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from dtopipe.gateway.source import EARLIEST, LATEST, NotAvailable, Reader, Source, first_sample
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap
from dtopipe.wire.control import Message
from dtopipe.wire.describe import describe_anchor, describe_stream
from dtopipe.wire.link_items import encode_items

# It speaks twice a second; who is silent for so long is away, and costs nothing until it comes back.
_SILENCE_NS = 10_000_000_000
_ALIVE_EVERY_NS = 500_000_000
# Whatever a remote offers to take.
_MOST_WINDOW = 4096
_MOST_INDEX = 2**62
_LONGEST_LABEL = 80
# Of causes that are the link's, or this gateway's: at the source nobody else lacks these samples.
_OF_LINK = (Cause.TRANSPORT, Cause.POLICY_DROP, Cause.WRITE_ERROR)


class ServedRemote:
    """From its first request to its last word; `remote_id` names it, whatever connection it comes by."""

    def __init__(self, remote_id: str, name: str, key: bytes) -> None:
        self.remote_id = remote_id
        self.name = name
        self.key = key
        self.address = b""
        # Its host, and what it calls itself.
        self.peer = self.label = ""
        self.has_finished = False
        # It cannot start where it is to start, and was told so.
        self.was_refused = False
        self.drops = False
        self.durable = self.sent_to = self.gap_samples = 0
        self.joined_ns = self.progress_ns = self.heard_ns = mono_ns()
        # Gaps of the link that it has taken, and nobody was told of yet.
        self.new_gaps: list[Gap] = []
        self._told_gaps: deque[tuple[int, Gap]] = deque()
        self._said_ns = 0
        self._session = self._sent = self._taken = self._window = 0
        self._since: str | int = EARLIEST
        self._resumes = False
        self._held_from: int | None = None
        self._greeted = self._ended = True
        self._was_told_the_end = False
        self._reader: Reader | None = None

    @property
    def is_away(self) -> bool:
        """True if nothing was heard of it for long."""
        return mono_ns() - self.heard_ns > _SILENCE_NS

    @property
    def has_everything(self) -> bool:
        """True if it was told the end, and has taken all that came before."""
        return self._was_told_the_end and self._taken >= self._sent

    @property
    def needs_hold(self) -> int | None:
        """From which sample on the source has to keep its samples before this remote may begin; None if it may."""
        if self._greeted or self.drops or self._held_from is not None:
            return None
        return self._since if isinstance(self._since, int) else 0

    def was_held(self, at: int) -> None:
        """From this sample on nothing is deleted before it is durable there."""
        self._held_from = at

    def pull(self, address: bytes, message: Message) -> None:
        """It asks for the stream from a place on, in a new session. Raises WireError."""
        since, window = message.body.get("since"), message.get("window", int)
        if since not in (LATEST, EARLIEST):
            since = message.get("since", int)
            if isinstance(since, bool) or not 0 <= since < _MOST_INDEX:
                raise WireError(f"a request for sample {since}")
        if window < 0:
            raise WireError(f"a window of {window}")
        session, resumes, drops = message.get("session", int), message.get("resumes", bool), message.get("drops", bool)
        durable = _index(message, "durable")
        self.pause()
        self.address, self._session, self._since, self._resumes, self.drops = address, session, since, resumes, drops
        self.label = _printable(message.get("label", str, ""))
        self._window = min(window, _MOST_WINDOW)
        if window and isinstance(since, int):
            # What is behind the place from which it goes on never came there. Without a window it only asks.
            self._settle_gaps(lambda number, gap: gap.span.stop <= since)
            self._told_gaps.clear()
        self._sent = self._taken = 0
        self._held_from = None
        self._greeted = self._ended = self._was_told_the_end = False
        self.durable = max(self.durable, durable)
        self.progress_ns = self.heard_ns = mono_ns()

    def credit(self, message: Message) -> None:
        """It has taken so many items of the session. Raises WireError."""
        if message.get("session", int) != self._session:
            return
        taken, durable = message.get("taken", int), _index(message, "durable")
        if not self._taken <= taken <= self._sent:
            raise WireError(f"{taken} items taken, of {self._sent}")
        self.heard_ns = mono_ns()
        if taken > self._taken or durable > self.durable:
            self.progress_ns = self.heard_ns
        self._taken = taken
        self.durable = max(self.durable, durable)
        self._settle_gaps(lambda number, gap: number < taken)

    def finish(self, message: Message) -> None:
        """Everything is in its outputs, and durable up to where it says. Raises WireError."""
        self.durable = max(self.durable, _index(message, "durable"))
        self.has_finished = True
        self.pause()

    def pause(self) -> None:
        """Send nothing more until it asks anew."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._ended = True

    def due(self, source: Source | None) -> Iterator[tuple[Message, bytes]]:
        """What is to be sent to it now: at most one message of samples."""
        now_ns = mono_ns()
        may_begin = source is not None and source.has_begun and (not source.retires or self.needs_hold is None)
        if source is not None and may_begin and not self._greeted:
            yield self._greeting(source), b""
        if self._reader is not None and not self._ended and source is not None:
            yield from self._samples(self._reader, source, now_ns)
        if now_ns - self._said_ns > _ALIVE_EVERY_NS:
            self._said_ns = now_ns
            yield self._message("alive"), b""

    def answer(self, kind: str, **body: Any) -> Message:
        """A message of its present session."""
        return self._message(kind, **body)

    def _greeting(self, source: Source) -> Message:
        """What it gets, and from where on; or why not."""
        self._greeted = True
        self._said_ns = mono_ns()
        since = self._since
        try:
            if self._resumes and isinstance(since, int):
                start = since
            else:
                start = first_sample(source, since, drops=self.drops)
                if self._held_from is not None and start < self._held_from:
                    if isinstance(since, int):
                        oldest = self._held_from
                        raise NotAvailable(f"sample {since} is gone: the oldest that is available is {oldest}")
                    start = self._held_from
        except NotAvailable as error:
            self.was_refused = True
            return self._message("refused", message=str(error), remedy="start from latest, or from earliest")
        self._reader = source.reader(start, drops=self.drops)
        self.sent_to = max(self.sent_to, start)
        anchor = describe_anchor(source.anchor())
        stream = describe_stream(source.stream)
        return self._message("stream", stream=stream, anchor=anchor, start=start, end=source.end)

    def _samples(self, reader: Reader, source: Source, now_ns: int) -> Iterator[tuple[Message, bytes]]:
        room = self._window - (self._sent - self._taken)
        items = reader.take(room) if room > 0 else []
        if items:
            self._said_ns = now_ns
            yield self._message("items", first=self._sent), encode_items(items)
            self._told_gaps.extend(
                (self._sent + number, item)
                for number, item in enumerate(items)
                if isinstance(item, Gap) and item.cause in _OF_LINK
            )
            self._sent += len(items)
            self.sent_to = items[-1].span.stop
        elif reader.is_at_end and source.end is not None and self._window > 0:
            self._ended = self._was_told_the_end = True
            self._said_ns = now_ns
            yield self._message("end", first=self._sent, end_sample_index=source.end), b""

    def _settle_gaps(self, has_it: Callable[[int, Gap], bool]) -> None:
        """Gaps that are known to have come there are known here too."""
        while self._told_gaps and has_it(*self._told_gaps[0]):
            _, gap = self._told_gaps.popleft()
            self.gap_samples += len(gap)
            self.new_gaps.append(gap)

    def _message(self, kind: str, **body: Any) -> Message:
        return Message(kind, {"session": self._session, **body})


def _index(message: Message, key: str) -> int:
    value = message.get(key, int)
    if isinstance(value, bool) or not 0 <= value < _MOST_INDEX:
        raise WireError(f"{key}: {value}")
    return value


def _printable(text: str) -> str:
    """A stranger's words, fit for a terminal."""
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_LABEL]
