"""One dataset that grows: whole chunks that stay where they are, and rows that are not yet enough for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.hdf5.chunk_codec import LEVEL, LEVEL_OF_RISING, chunk_bytes
from dtopipe.sinks.hdf5.chunk_index import Chunk, ChunkIndex, IndexMark
from dtopipe.sinks.hdf5.columns import TEXT, ColumnPlan

_RISING = (np.dtype("<i8"), TEXT)
Place = Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class ColumnMark:
    """How far a dataset was."""

    index: IndexMark
    rest: NDArray[Any]
    n_bytes: int


class ColumnWriter:
    """The rows of one dataset on their way into chunks."""

    def __init__(self, plan: ColumnPlan, chunk_rows: int, *, deflated: bool) -> None:
        self.plan = plan
        self._chunk_rows = chunk_rows
        self._level = (LEVEL_OF_RISING if plan.dtype in _RISING else LEVEL) if deflated else None
        self.index = ChunkIndex(chunk_rows, plan.dtype.itemsize)
        # Rows behind the last whole chunk.
        self._rest: NDArray[Any] = np.empty(0, plan.dtype)
        self._n_whole = 0
        self.n_bytes = 0

    @property
    def n_rows(self) -> int:
        """All of them."""
        return self._n_whole + len(self._rest)

    def add(self, rows: NDArray[Any], place: Place) -> None:
        """Write what fills chunks, and keep the rest."""
        rows = rows.astype(self.plan.dtype, copy=False)
        if len(self._rest):
            rows = np.concatenate((self._rest, rows))
        n_whole = len(rows) // self._chunk_rows * self._chunk_rows
        for at in range(0, n_whole, self._chunk_rows):
            chunk = self._written(rows[at : at + self._chunk_rows], self._n_whole + at, place)
            if chunk is not None:
                self.index.add(*chunk)
                self.n_bytes += chunk[0]
        self._n_whole += n_whole
        self._rest = rows[n_whole:].copy()

    def put_rest(self, place: Place) -> Chunk | None:
        """The rest as a chunk, which is none of those that stay; None where there is nothing."""
        if not len(self._rest):
            return None
        rows = np.zeros(self._chunk_rows, self.plan.dtype)
        rows[: len(self._rest)] = self._rest
        return self._written(rows, self._n_whole, place)

    def take(self, chunks: list[Chunk], rest: NDArray[Any], n_whole: int) -> None:
        """Go on behind these chunks and rows, which are in the file."""
        for chunk in chunks:
            self.index.add(*chunk)
        self._rest, self._n_whole = rest.astype(self.plan.dtype), n_whole
        self.n_bytes = sum(n_bytes for n_bytes, _, _ in chunks)

    def mark(self) -> ColumnMark:
        """How far it is."""
        return ColumnMark(self.index.mark(), self._rest, self.n_bytes)

    def cut_back(self, mark: ColumnMark, n_rows: int) -> None:
        """Forget what came after `mark`, when there were so many rows."""
        self.index.cut_back(mark.index)
        self._rest, self.n_bytes = mark.rest, mark.n_bytes
        self._n_whole = n_rows - len(mark.rest)

    def _written(self, rows: NDArray[Any], first: int, place: Place) -> Chunk | None:
        if self.plan.is_sparse and not rows.any():
            return None
        data = chunk_bytes(rows, self._level)
        return len(data), first, place(data)
