"""The order of a run's messages in a log: each sample once, in order, whatever came twice, late or never.

A message that was sent and not acknowledged is sent again, behind others that were: so a log may have a message before
one that it follows on, and may have one twice. Each says what was there for certain when it was sent; what is before
that and has not been seen is not there any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from dtopipe.model.span import Span

_T = TypeVar("_T")
# Messages that wait for one before them: more than any sender has on its way.
_MOST_HELD = 4096


@dataclass(frozen=True, slots=True)
class Entry(Generic[_T]):
    """A message with samples `span`. `whole_to`: everything before this index was in the log when it was sent."""

    span: Span
    whole_to: int
    message: _T


class LogOrder(Generic[_T]):
    """Takes messages in the order of the log, and gives them in the order of their samples.

    `at`: the first sample index that is wanted; what was given moves it on.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self._held: dict[int, Entry[_T]] = {}

    @property
    def n_held(self) -> int:
        """Messages that wait for one before them."""
        return len(self._held)

    def came(self, entry: Entry[_T]) -> Iterator[Entry[_T] | Span]:
        """What is to be taken now: messages, the first of which may begin before `at`, and spans that are nowhere."""
        if entry.span.stop > self.at:
            before = self._held.get(entry.span.start)
            if before is None or before.span.stop < entry.span.stop:
                self._held[entry.span.start] = entry
        yield from self._ready()
        yield from self.whole(max(entry.whole_to, min(self._held) if len(self._held) > _MOST_HELD else 0))

    def whole(self, to: int) -> Iterator[Entry[_T] | Span]:
        """The same once everything before this index is known to have come that will."""
        while self.at < to:
            hole = Span(self.at, min(to, min(self._held, default=to)))
            self.at = hole.stop
            yield hole
            yield from self._ready()

    def _ready(self) -> Iterator[Entry[_T]]:
        while (start := next((start for start in self._held if start <= self.at), None)) is not None:
            entry = self._held.pop(start)
            if entry.span.stop > self.at:
                self.at = entry.span.stop
                yield entry
