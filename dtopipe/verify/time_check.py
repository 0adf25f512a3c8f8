"""Holds the times of rows against the arithmetic of the sample clock, where no other output knows them.

Within an epoch of the acquirer a sample's time is `anchor + round((i - i0) * 1e9 / rate)`. Which epochs there were the
times themselves must tell: one begins for good, later than the one before it ended, and has a block at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import SampleClock
from dtopipe.model.span import Span
from dtopipe.verify.recount import joined, runs_of

# Rounding from another anchor, and from the first sample of a chunk.
_ROUNDING_NS = 3
# More epochs than any run has: then its times follow no clock at all.
_MOST_STRETCHES = 10_000


@dataclass(slots=True)
class _Stretch:
    """Samples of one epoch: its time at sample 0, what UTC is ahead of it, and its samples."""

    zero_ns: int
    utc_ahead_ns: int
    span: Span
    n_samples: int

    def goes_on(self, other: _Stretch) -> bool:
        """True if `other` is of the same epoch."""
        return abs(self.zero_ns - other.zero_ns) <= _ROUNDING_NS and self.utc_ahead_ns == other.utc_ahead_ns


class TimeCheck:
    """Takes rows in the order of the file. `least_samples`: of an epoch, but for the last."""

    def __init__(self, clock: SampleClock, least_samples: int) -> None:
        self._clock = clock
        self._least_samples = least_samples
        self._stretches: list[_Stretch] = []
        self._without_clock: list[Span] = []

    def add(self, sample_index: NDArray[np.int64], t_mono_ns: NDArray[np.int64], t_utc_ns: NDArray[np.int64]) -> None:
        """(n,) each, the next rows of all channels, or of one."""
        ahead = t_utc_ns - t_mono_ns
        for at, stop in runs_of(sample_index):
            first = int(sample_index[at])
            zero = t_mono_ns[at:stop] - self._clock.offsets_ns(first, stop - at)
            self._add_run(first, zero, ahead[at:stop])

    def mistimed(self) -> list[Span]:
        """The samples whose times cannot be."""
        wrong = list(self._without_clock)
        stretches = sorted(self._stretches, key=lambda stretch: stretch.span.start)
        right: list[_Stretch] = []
        for number, stretch in enumerate(stretches):
            while right and _outweighs(stretch, right[-1], stretches[number + 1 :]):
                wrong.append(right.pop().span)
            if not right or self._may_follow(stretch, right[-1], is_last=number == len(stretches) - 1):
                right.append(stretch)
            else:
                wrong.append(stretch.span)
        return joined(wrong)

    def _may_follow(self, stretch: _Stretch, before: _Stretch, *, is_last: bool) -> bool:
        if before.goes_on(stretch):
            return True
        # Another epoch has another reading of both clocks, and the monotonic one goes on.
        is_new = stretch.zero_ns > before.zero_ns + _ROUNDING_NS
        return is_new and (stretch.n_samples >= self._least_samples or (is_last and stretch.n_samples > 1))

    def _add_run(self, first: int, zero: NDArray[np.int64], ahead: NDArray[np.int64]) -> None:
        if int(zero.max()) - int(zero.min()) <= _ROUNDING_NS and int(ahead.max()) == int(ahead.min()):
            edges = [0, len(zero)]
        else:
            breaks = (np.abs(np.diff(zero)) > _ROUNDING_NS) | (np.diff(ahead) != 0)
            edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(zero)]
        for at, stop in pairwise(edges):
            self._add_stretch(_Stretch(int(zero[at]), int(ahead[at]), Span(first + at, first + stop), stop - at))

    def _add_stretch(self, new: _Stretch) -> None:
        last = self._stretches[-1] if self._stretches else None
        if last is not None and last.goes_on(new) and new.span.start >= last.span.stop:
            last.span = Span(last.span.start, new.span.stop)
            last.n_samples += new.n_samples
        elif len(self._stretches) < _MOST_STRETCHES:
            self._stretches.append(new)
        elif not self._stretches[0].goes_on(new):
            self._without_clock = joined([*self._without_clock, new.span])


def _outweighs(stretch: _Stretch, before: _Stretch, later: Sequence[_Stretch]) -> bool:
    """True if what stands before cannot be, rather than `stretch`: its times are later, and it is the smaller part."""
    if before.goes_on(stretch) or stretch.zero_ns > before.zero_ns + _ROUNDING_NS:
        return False
    weight = stretch.n_samples + sum(other.n_samples for other in later if stretch.goes_on(other))
    return weight > before.n_samples
