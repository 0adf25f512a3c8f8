"""Where samples come from when an output is refilled: of several sources the first that has a range gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dtopipe.core.gaps import explained
from dtopipe.model.clock import Anchor
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.verify.recount import joined, without


class SampleSource(Protocol):
    """An output that samples can be taken from."""

    name: str
    stream: Stream

    def spans(self) -> list[Span]:
        """What is in it, in order."""

    def gaps(self) -> Sequence[Gap]:
        """What it says is absent."""

    def anchor_near(self, sample_index: int) -> Anchor | None:
        """An anchor for the times of samples near this one."""

    def gives(self, stream: Stream, *, as_codes: bool) -> bool:
        """True if it has every channel of an output with this stream, in the form that it takes."""

    def items(self, span: Span, stream: Stream, *, as_codes: bool) -> Iterator[Block | Readings]:
        """Everything within `span`, which is in it, in order, as an output with this stream takes it."""

    def release(self) -> None:
        """Hold no file open any longer: what it reads may be gone on with or replaced now."""


@dataclass(frozen=True, slots=True)
class Refill:
    """The sources of one output, the best first, and the gaps that are known by cause, the surest first.

    `as_codes`: the output is raw.
    """

    stream: Stream
    as_codes: bool
    sources: Sequence[SampleSource]
    gaps: Sequence[Sequence[Gap]]
    t_utc_ns_at: Callable[[int], int]

    def available(self) -> list[Span]:
        """What can be had."""
        return joined(span for source in self._able() for span in source.spans())

    def items(self, span: Span) -> Iterator[Block | Readings | Gap]:
        """Everything of `span` in order: samples where a source has them, else gaps. Raises SinkError."""
        try:
            for part, source in self._parts(span):
                if source is None:
                    yield from self._named(part, self.gaps)
                else:
                    yield from source.items(part, self.stream, as_codes=self.as_codes)
        finally:
            for source in self.sources:
                source.release()

    def _able(self) -> list[SampleSource]:
        """The sources that have every channel."""
        return [source for source in self.sources if source.gives(self.stream, as_codes=self.as_codes)]

    def _parts(self, span: Span) -> list[tuple[Span, SampleSource | None]]:
        parts: list[tuple[Span, SampleSource | None]] = []
        rest = joined([span])
        for source in self._able():
            left = without(rest, source.spans())
            parts += [(part, source) for part in without(rest, left)]
            rest = left
        parts += [(part, None) for part in rest]
        return sorted(parts, key=lambda part: part[0])

    def _named(self, absent: Span, layers: Sequence[Sequence[Gap]]) -> Iterator[Gap]:
        """The gaps that make up `absent`, each with the surest cause that is known."""
        if not layers:
            # It was there once, and on record as being there.
            yield Gap(absent, Cause.WRITE_ERROR, self.t_utc_ns_at(absent.start))
            return
        known = joined(gap.span for gap in layers[0])
        unknown = without([absent], known)
        for part in sorted([*without([absent], unknown), *unknown]):
            if part in unknown:
                yield from self._named(part, layers[1:])
            else:
                yield from explained(part, layers[0], Cause.WRITE_ERROR, self.t_utc_ns_at)
