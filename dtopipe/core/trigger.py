"""What of a run a triggered output has: the samples around events; all else is a gap of cause `not_triggered`.

A sample is kept if the condition counts, as `core.sustained` says, at some sample from `post` before it to `pre` behind
it. So what is kept depends on the samples alone, not on how they come in blocks, and whoever is told `lookback` samples
before a place decides about all behind it as its predecessor did.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isnan

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.sustained import Sustained
from dtopipe.model.clock import SampleClock
from dtopipe.model.columns import RowValues
from dtopipe.model.condition import Condition
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream

# Behind these a successor may have begun that knows nothing of what was before: so nobody does.
FORGETTING = (Cause.WORKER_FAILED, Cause.STALLED, Cause.WRITE_ERROR)


@dataclass(frozen=True, slots=True)
class Window:
    """In samples: for how long a condition must hold, and what is kept before and behind that."""

    for_samples: int
    pre: int
    post: int

    @classmethod
    def of(cls, trigger: TriggerPlan, condition: Condition, rate_hz: float) -> Window:
        """Of a topology's times: as many samples as they take at least."""
        times = (condition.for_s, trigger.pre_s, trigger.post_s)
        return cls(*map(SampleClock(rate_hz).samples_in, times))

    @property
    def lookback(self) -> int:
        """What happened so many samples before a place still has a say in what happens behind it."""
        return self.for_samples + self.post + 1

    @property
    def span(self) -> int:
        """All that is looked at for one sample, but that sample itself."""
        return self.pre + self.lookback


@dataclass(frozen=True, slots=True)
class Triggered:
    """An event began: at this sample the condition came to count, with these values of its channels, None for null."""

    sample_index: int
    t_utc_ns: int
    values: Mapping[str, float | None]


class Trigger:
    """Takes the blocks and gaps of a whole stream in order, contiguous; gives back what is decided of them.

    Blocks that come out are parts of those that came in; what comes in as a gap goes out as it is. `at`: the output
    begins there, what is told before only says what was. Raises KeyError for a channel that there is not.
    """

    def __init__(self, condition: Condition, window: Window, stream: Stream, at: int) -> None:
        self._condition = condition
        self._window = window
        self._clock = stream.clock
        self._values = RowValues(stream, condition.names)
        self._sustained = Sustained(window.for_samples)
        # The last sample at which it counted.
        self._last: int | None = None
        # What is kept behind `_out`, in order and apart; the last may go on beyond what is known.
        self._kept: deque[Span] = deque()
        self._held: deque[Block | Gap] = deque()
        self._out = at
        # Nothing before is kept for what comes behind.
        self._begin = 0
        self._events: list[Triggered] = []

    @property
    def held_from(self) -> int | None:
        """The first sample of which it is not decided whether it is kept, or that still waits."""
        return self._out if self._held else None

    @property
    def is_triggered(self) -> bool:
        """True while an event goes on."""
        return bool(self._kept)

    def of(self, items: Iterable[Block | Gap]) -> list[Block | Gap]:
        """What of everything so far is decided now."""
        found: list[Block | Gap] = []
        for item in items:
            if isinstance(item, Gap):
                if item.cause in FORGETTING:
                    found += self.rest()
                    self._last, self._begin = None, item.span.stop
            else:
                self._look_at(item)
            if item.span.stop > self._out:
                self._held.append(item)
            found += self._given(self._decided_to(item.span.stop))
            if isinstance(item, Block) and self._held and self._held[-1] is item:
                self._held[-1] = _owned(item)
        return found

    def rest(self) -> list[Block | Gap]:
        """What waits for an event that does not come any more."""
        found = list(self._given(self._held[-1].span.stop)) if self._held else []
        self._kept.clear()
        return found

    def events(self) -> list[Triggered]:
        """Those that have begun since this was asked."""
        found, self._events = self._events, []
        return found

    def _decided_to(self, stop: int) -> int:
        """Up to where it is decided what is kept, everything before `stop` being known."""
        known = stop - self._window.pre
        return max(known, min(stop, self._kept[-1].stop)) if self._kept else known

    def _look_at(self, block: Block) -> None:
        first = block.first_sample_index
        holds = np.zeros(block.n_samples, bool)
        if block.error is None:
            values = self._values(block.codes, block.sensor_status)
            holds = self._condition(values)
        counts = self._sustained.of(holds, first)
        for start, stop in _runs(counts):
            if self._last is None or first + start > self._last + self._window.post + 1:
                self._begin_event(block, start)
            self._last = first + stop - 1
            self._keep(Span(max(self._begin, first + start - self._window.pre), self._last + self._window.post + 1))

    def _begin_event(self, block: Block, at: int) -> None:
        index = block.first_sample_index + at
        if index < self._out:
            # Whoever gave out what is there has told of it.
            return
        values = self._values(block.codes, block.sensor_status)
        numbers = {name: float(each[at]) for name, each in zip(self._condition.names, values, strict=True)}
        shown = {name: None if isnan(number) else number for name, number in numbers.items()}
        self._events.append(Triggered(index, block.t_utc_ns_at(index, self._clock), shown))

    def _keep(self, span: Span) -> None:
        if self._kept and span.start <= self._kept[-1].stop:
            last = self._kept.pop()
            span = Span(min(last.start, span.start), max(last.stop, span.stop))
        self._kept.append(span)

    def _given(self, stop: int) -> Iterator[Block | Gap]:
        """What is held up to `stop`, of which all is decided; a gap as soon as it comes first."""
        while self._held:
            item = self._held[0]
            if isinstance(item, Gap):
                yield item.trimmed(Span(self._out, item.span.stop), self._clock)
            elif self._out < stop:
                part = item.trimmed(self._out, stop)
                yield from self._parted(part)
                if part.span.stop < item.span.stop:
                    self._out = part.span.stop
                    break
            else:
                break
            self._out = self._held.popleft().span.stop
        while self._kept and self._kept[0].stop <= self._out:
            self._kept.popleft()

    def _parted(self, block: Block) -> Iterator[Block | Gap]:
        """The block as what is kept of it, and gaps between."""
        at, stop = block.span.start, block.span.stop
        for span in self._kept:
            kept = span.intersection(Span(at, stop))
            if not kept:
                continue
            if kept.start > at:
                yield self._gap(block, at, kept.start)
            yield block.trimmed(kept.start, kept.stop)
            at = kept.stop
        if at < stop:
            yield self._gap(block, at, stop)

    def _gap(self, block: Block, start: int, stop: int) -> Gap:
        return Gap(Span(start, stop), Cause.NOT_TRIGGERED, block.t_utc_ns_at(start, self._clock))


def _owned(block: Block) -> Block:
    """The block, to be held for as long as it takes: what cannot be written to is another's memory, such as a slot."""
    status = block.sensor_status
    if block.codes.flags.writeable:
        return block
    return replace(block, codes=block.codes.copy(), sensor_status=None if status is None else status.copy())


def overlaid(items: Iterable[Block | Gap], gaps: Sequence[Gap], clock: SampleClock) -> Iterator[Block | Gap]:
    """The same, with these gaps, in order and apart, for what is within them."""
    waiting = deque(gaps)
    for item in items:
        at, stop = item.span.start, item.span.stop
        while waiting and waiting[0].span.stop <= at:
            waiting.popleft()
        for gap in list(waiting):
            part = gap.span.intersection(Span(at, stop))
            if not part:
                break
            if part.start > at:
                yield _part_of(item, Span(at, part.start), clock)
            yield gap.trimmed(part, clock)
            at = part.stop
        if at < stop:
            yield _part_of(item, Span(at, stop), clock)


def _part_of(item: Block | Gap, span: Span, clock: SampleClock) -> Block | Gap:
    return item.trimmed(span, clock) if isinstance(item, Gap) else item.trimmed(span.start, span.stop)


def _runs(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, stop) of each run of true ones."""
    if not which.any():
        return []
    edges = np.flatnonzero(np.diff(which, prepend=False, append=False)).tolist()
    return [(start, stop) for start, stop in list(pairwise(edges))[::2]]
