"""Which samples the rows of a view stand for, by their indices and the gaps of the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Gap, Span


class RowSpans:
    """A row stands for the samples from its index on, to the end of its window or to what cuts that short.

    That is a gap, the end of the output at `stop`, or the next row. `every` of 1: a row a sample.
    """

    def __init__(self, every: int, gaps: Sequence[Gap], stop: int) -> None:
        self._every = every
        self._edges = np.array(sorted({gap.span.start for gap in gaps} | {stop}), np.int64)

    @property
    def is_needed(self) -> bool:
        """False where each row is one sample."""
        return self._every > 1

    def ends(self, sample_index: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) the exclusive end of each of these rows; the next row is not asked for."""
        windows = (sample_index // self._every + 1) * self._every
        places = np.searchsorted(self._edges, sample_index, side="right")
        edges = self._edges[np.minimum(places, len(self._edges) - 1)]
        # Behind the last edge there should be no row: it stands for itself then.
        edges = np.where(places < len(self._edges), edges, sample_index + 1)
        ends: NDArray[np.int64] = np.minimum(windows, edges)
        return ends

    def of(self, sample_index: NDArray[np.int64]) -> Iterator[tuple[Span, int]]:
        """The spans of rows that follow on each other, each with how many rows it has, in the order of the file."""
        if len(sample_index) == 0:
            return
        ends = self.ends(sample_index)
        follows = sample_index[1:]
        ends[:-1] = np.where(follows > sample_index[:-1], np.minimum(ends[:-1], follows), ends[:-1])
        breaks = np.flatnonzero(ends[:-1] != follows) + 1
        bounds = [0, *breaks.tolist(), len(sample_index)]
        for start, stop in pairwise(bounds):
            yield Span(int(sample_index[start]), int(ends[stop - 1])), stop - start
