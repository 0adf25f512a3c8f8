"""One remote that is served: what it has, what it was sent, and how much more it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dtopipe.core.link import ServingEnd
from dtopipe.gateway.source import EARLIEST, NotAvailable, Reader, ServedSource, first_sample
from dtopipe.host.clock import mono_ns
from dtopipe.model.span import Gap, Span
from dtopipe.wire.link_items import encode_items
from dtopipe.wire.link_messages import (
    Alive,
    Credit,
    Finished,
    GatewayAnswers,
    Items,
    LinkRefused,
    Pull,
    StreamBegins,
    StreamEnds,
)

# Whatever a remote offers to take.
_LEAST_WINDOW, _MOST_WINDOW = 4, 4096
_AHEAD_BYTES = 32 * 2**20
_LONGEST_LABEL = 80
# Of one remote that are on record at the source; more are only counted.
_MOST_GAPS = 10_000


class ServedRemote:
    """One remote from its first request to its last word; `remote_id` names it, whatever connection it comes by."""

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
        self.gap_samples = 0
        self.joined_ns = mono_ns()
        self.link = ServingEnd(self.joined_ns)
        # Gaps of the link that it has told, and nobody here has heard of yet; it tells them more than once.
        self.new_gaps: list[Gap] = []
        self._known_gaps: set[Span] = set()
        self._since: str | int = EARLIEST
        self._resumes = False
        self._held_from: int | None = None
        self._greeted = self._ended = True
        self._was_told_the_end = False
        self._reader: Reader | None = None

    @property
    def has_everything(self) -> bool:
        """True if it was told the end, and has taken all that came before."""
        return self._was_told_the_end and self.link.has_taken_all

    @property
    def needs_hold(self) -> int | None:
        """The sample from which the source has to keep what it has before this remote may begin; None if it may."""
        if self._greeted or self.drops or self._held_from is not None:
            return None
        return self._since if isinstance(self._since, int) else 0

    def was_held(self, at: int) -> None:
        """Nothing is deleted from this sample on before it is durable there."""
        self._held_from = at

    def pull(self, address: bytes, message: Pull) -> None:
        """It asks for the stream from a place on, in a new session."""
        self.pause()
        self.address, self._since = address, message.since
        self._resumes, self.drops = message.resumes, message.drops
        self.label = _printable(message.label)
        self.link.open(message.session, min(message.window, _MOST_WINDOW), message.durable, mono_ns())
        self._held_from = None
        self._greeted = self._ended = self._was_told_the_end = False
        self._note(message.gaps)

    def credit(self, message: Credit) -> None:
        """It has taken so many items of the session. Raises WireError."""
        if message.session == self.link.session:
            self.link.credit(message.taken, message.durable, mono_ns())
            self._note(message.gaps)

    def finish(self, message: Finished) -> None:
        """Everything is in its outputs, and durable up to where it says."""
        self.link.finish(message.durable)
        self._note(message.gaps)
        self.has_finished = True
        self.pause()

    def pause(self) -> None:
        """Send nothing more until it asks anew, which its silence makes it do: not even that we are here."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._ended = True

    def due(
        self, source: ServedSource | None, ahead_bytes: int = _AHEAD_BYTES
    ) -> Iterator[tuple[GatewayAnswers, bytes]]:
        """What is to be sent to it now: at most one message of samples.

        Whatever window it asked for, about `ahead_bytes` wait here for it to take them.
        """
        now_ns = mono_ns()
        may_begin = source is not None and source.has_begun and (not source.retires or self.needs_hold is None)
        if source is not None and may_begin and not self._greeted:
            yield self._greeting(source), b""
        if self._reader is not None and not self._ended and source is not None:
            yield from self._samples(self._reader, source, now_ns, ahead_bytes)
        is_paused = self._greeted and self._reader is None
        if not is_paused and self.link.is_to_speak(now_ns):
            yield Alive(self.link.session), b""

    def _greeting(self, source: ServedSource) -> StreamBegins | LinkRefused:
        """What it gets, and from where on; or why not."""
        self._greeted = True
        self.link.speaks(mono_ns())
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
            return LinkRefused(self.link.session, str(error), "start from latest, or from earliest")
        self._reader = source.reader(start, drops=self.drops)
        self.link.begin(start)
        return StreamBegins(self.link.session, source.stream, source.anchor(), start, source.end)

    def _samples(
        self, reader: Reader, source: ServedSource, now_ns: int, ahead_bytes: int
    ) -> Iterator[tuple[GatewayAnswers, bytes]]:
        stream = source.stream
        block_bytes = len(stream.channels) * stream.samples_per_block * np.dtype(stream.dtype).itemsize
        room = self.link.room(max(_LEAST_WINDOW, ahead_bytes // max(1, block_bytes)))
        items = reader.take(room) if room > 0 else []
        if items:
            first = self.link.send(len(items), items[-1].span.stop, now_ns)
            yield Items(self.link.session, first), encode_items(items)
        elif reader.is_at_end and source.end is not None and self.link.takes_samples:
            self._ended = self._was_told_the_end = True
            self.link.speaks(now_ns)
            yield StreamEnds(self.link.session, self.link.sent, source.end), b""

    def _note(self, gaps: Sequence[Gap]) -> None:
        """What it lacks of the link's own doing; it may have told it before."""
        for gap in gaps:
            if gap.span not in self._known_gaps and len(self._known_gaps) < _MOST_GAPS:
                self._known_gaps.add(gap.span)
                self.new_gaps.append(gap)
                self.gap_samples += len(gap)


def _printable(text: str) -> str:
    """A stranger's words, fit for a terminal."""
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_LABEL]
