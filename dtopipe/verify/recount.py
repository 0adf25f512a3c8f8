"""Counts an output's rows from their sample indices alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Span
from dtopipe.verify.row_spans import RowSpans


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
        for at, stop in runs_of(sample_index):
            first = int(sample_index[at])
            self.add_span(Span(first, first + stop - at))

    def add_rows(self, sample_index: NDArray[np.int64], row_spans: RowSpans) -> None:
        """The next rows, each of which stands for the samples that `row_spans` knows."""
        if not row_spans.is_needed:
            self.add(sample_index)
            return
        for span, n_rows in row_spans.of(sample_index):
            self.add_span(span, n_rows)

    def add_span(self, span: Span, n_rows: int | None = None) -> None:
        """The next rows, which follow on each other; `n_rows` where they are fewer than their samples."""
        if not span:
            return
        self._rows += len(span) if n_rows is None else n_rows
        last = self._spans[-1].stop if self._spans else span.start
        self._disordered += span.start < last
        if self._spans and span.start == last:
            self._spans[-1] = Span(self._spans[-1].start, span.stop)
        else:
            self._spans.append(span)

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


def runs_of(sample_index: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where in it indices follow on each other: from each place to each other, exclusive."""
    if len(sample_index) == 0:
        return
    breaks = (np.flatnonzero(np.diff(sample_index) != 1) + 1).tolist()
    yield from zip([0, *breaks], [*breaks, len(sample_index)], strict=True)


def spans_of(sample_index: NDArray[np.int64]) -> list[Span]:
    """The samples with these indices, in any order."""
    return joined(Span(int(sample_index[at]), int(sample_index[at]) + stop - at) for at, stop in runs_of(sample_index))


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
    next_cut = 0
    for span in joined(spans):
        at = span.start
        while next_cut < len(cuts) and cuts[next_cut].stop <= at:
            next_cut += 1
        # The last cut may reach into the next span too.
        for cut in islice(cuts, next_cut, None):
            if cut.start >= span.stop:
                break
            if cut.start > at:
                found.append(Span(at, cut.start))
            at = max(at, cut.stop)
        if at < span.stop:
            found.append(Span(at, span.stop))
    return found


def common(spans: Sequence[Sequence[Span]]) -> list[Span]:
    """What is in all of them."""
    found = joined(spans[0]) if spans else []
    for other in spans[1:]:
        found = without(found, without(found, other))
    return found
