"""How an output is split into parts: by samples, so that a repair makes the same ones.

Part `n`, from 1, has the samples `[(n - 1) * samples_a_part, n * samples_a_part)` of the run. A part without a sample
is not made, and a gap belongs to the part before it, however far it goes: parts follow on each other without a hole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtopipe.model.policy import Layout
from dtopipe.model.sink_types import SinkType
from dtopipe.model.span import Span
from dtopipe.model.stream import Stream


@dataclass(frozen=True, slots=True)
class Split:
    """After how much an output goes on in the next part: exactly one of a time in s and a size in bytes."""

    time_s: float | None = None
    n_bytes: int | None = None

    @classmethod
    def of(cls, value: Any) -> Split:
        """The one that is written like 1h or 1GiB. Raises ValueError."""
        if isinstance(value, str):
            for found in (cls._of_time, cls._of_size):
                split = found(value)
                if split is not None:
                    return split
        raise ValueError(f"a part is as long as a time or a size, such as 1h or 1GiB; this is {value!r}")

    @classmethod
    def _of_time(cls, text: str) -> Split | None:
        # What topologies are read with takes long to load, and most outputs are not split.
        from dtopipe.model.quantities import seconds

        try:
            time_s = seconds(text)
        except ValueError:
            return None
        return cls(time_s=time_s) if time_s > 0 else None

    @classmethod
    def _of_size(cls, text: str) -> Split | None:
        from dtopipe.model.quantities import n_bytes

        try:
            size = n_bytes(text)
        except ValueError:
            return None
        # A number alone may be anything.
        return None if text.isdecimal() or not size else cls(n_bytes=size)


def samples_a_part(split: Split, stream: Stream, kind: SinkType, layout: Layout) -> int:
    """How many samples of the run a part has: whole rows of a view, one at least.

    Of a size it is so many as take about that at most: real signals take less than what is reckoned with.
    `stream`: of the output.
    """
    if split.time_s is not None:
        wanted = round(split.time_s * stream.rate_hz)
    else:
        size = kind.size
        row = size.readings if stream.polled else size.long if layout is Layout.LONG else size.wide
        a_sample = (row.row + len(stream.channels) * row.value) / stream.every + size.block / stream.samples_per_block
        wanted = int((split.n_bytes or 0) / max(a_sample, 1e-9))
    return max(1, round(wanted / stream.every)) * stream.every


def number_of(sample_index: int, samples: int) -> int:
    """The part that this sample is in."""
    return sample_index // samples + 1


def layout_of(whole: Span, samples: int, absent: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Number and span of every part of an output of `whole`, of which `absent`, in order and apart, is in gaps."""
    number, start = number_of(whole.start, samples), whole.start
    at = whole.start
    for gap in (*absent, Span(whole.stop, whole.stop)):
        there = Span(at, min(gap.start, whole.stop))
        at = max(at, gap.stop)
        if not there:
            continue
        for other in range(number_of(there.start, samples), number_of(there.stop - 1, samples) + 1):
            if other == number:
                continue
            begin = max(there.start, (other - 1) * samples)
            # Nothing was before: the first part begins with the output, whatever its samples.
            yield number, Span(start, begin)
            number, start = other, begin
    yield number, Span(start, whole.stop)


def held_to(
    parts: Sequence[tuple[int, Span]], there: Mapping[int, Span], absent: Sequence[Span]
) -> list[tuple[int, Span]]:
    """The parts, with the bounds of those that are `there` where nothing but what is absent lies between the two.

    `there`: what parts say of themselves. Whoever made one may have known of a gap, or not, so that it is in the part
    before or behind it, or a part of its own.
    """
    starts = {number: span.start for number, span in parts}
    whole = Span(parts[0][1].start, parts[-1][1].stop)
    for number, span in there.items():
        if not whole.start <= span.start <= span.stop <= whole.stop:
            continue
        between = Span(*sorted((starts[number], span.start))) if number in starts else span
        if number != parts[0][0] and not _present(between, absent):
            starts[number] = span.start
    numbers = sorted(starts)
    stops = [*(starts[number] for number in numbers[1:]), whole.stop]
    found = [(number, Span(starts[number], stop)) for number, stop in zip(numbers, stops, strict=True)]
    is_in_order = all(span.start <= span.stop for _, span in found)
    return found if is_in_order else list(parts)


def _present(span: Span, absent: Sequence[Span]) -> bool:
    """True if a sample of the span is in none of `absent`, which are in order and apart."""
    at = span.start
    for gap in absent:
        if gap.start > at:
            break
        at = max(at, gap.stop)
    return at < span.stop
