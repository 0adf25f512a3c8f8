"""Counts an output's rows from their sample indices alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Span


@dataclass(frozen=True, slots=True)
class Counted:
    """What is in an output; spans in order.

    `doubled`: samples that stand in it more than once. `disordered`: times that the index went back.
    """

    rows: int
    covered: tuple[Span, ...]
    doubled: tuple[Span, ...]
    disordered: int

    @property
    def samples(self) -> int:
        """Different samples."""
        return sum(len(span) for span in self.covered)


class Recount:
    """Takes sample indices in the order of the file, in arrays."""

    def __init__(self) -> None:
        self._rows = 0
        self._spans: list[Span] = []
        self._disordered = 0

    def add(self, sample_index: NDArray[np.int64]) -> None:
        """(n,) int64, the next rows."""
        if len(sample_index) == 0:
            return
        self._rows += len(sample_index)
        breaks = np.flatnonzero(np.diff(sample_index) != 1) + 1
        starts = sample_index[np.concatenate(([0], breaks))].tolist()
        stops = (sample_index[np.concatenate((breaks - 1, [len(sample_index) - 1]))] + 1).tolist()
        for start, stop in zip(starts, stops, strict=True):
            last = self._spans[-1].stop if self._spans else start
            self._disordered += start < last
            if self._spans and start == last:
                self._spans[-1] = Span(self._spans[-1].start, stop)
            else:
                self._spans.append(Span(start, stop))

    def result(self) -> Counted:
        """All of it."""
        covered: list[Span] = []
        doubled: list[Span] = []
        for span in sorted(self._spans):
            if covered and span.start < covered[-1].stop:
                doubled.append(Span(span.start, min(span.stop, covered[-1].stop)))
            if covered and span.start <= covered[-1].stop:
                covered[-1] = Span(covered[-1].start, max(span.stop, covered[-1].stop))
            else:
                covered.append(span)
        return Counted(self._rows, tuple(covered), tuple(joined(doubled)), self._disordered)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same samples in as few spans as there can be, in order."""
    found: list[Span] = []
    for span in sorted(span for span in spans if span):
        if found and span.start <= found[-1].stop:
            found[-1] = Span(found[-1].start, max(span.stop, found[-1].stop))
        else:
            found.append(span)
    return found


def without(spans: Iterable[Span], removed: Iterable[Span]) -> list[Span]:
    """What of `spans` is not in `removed`."""
    found = []
    cuts = joined(removed)
    for span in joined(spans):
        at = span.start
        for cut in cuts:
            part = cut.intersection(Span(at, span.stop))
            if part:
                if part.start > at:
                    found.append(Span(at, part.start))
                at = part.stop
        if at < span.stop:
            found.append(Span(at, span.stop))
    return found
