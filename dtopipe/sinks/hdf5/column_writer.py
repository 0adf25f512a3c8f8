"""One dataset that grows: whole chunks that stay where they are, and rows that are not yet enough for one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.hdf5.checksums import fletcher32
from dtopipe.sinks.hdf5.chunk_index import Chunk, ChunkIndex, IndexMark
from dtopipe.sinks.hdf5.columns import TEXT, ColumnPlan

try:
    # The same streams, several times as fast.
    from isal.isal_zlib import compress, decompress

    # Of what is measured, as small as zlib's 1; of what rises or repeats, as small as it gets.
    _LEVEL, _LEVEL_OF_RISING = 3, 1
except ImportError:
    from zlib import compress, decompress

    _LEVEL = _LEVEL_OF_RISING = 1

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
        self._deflated = deflated
        self._level = _LEVEL_OF_RISING if plan.dtype in _RISING else _LEVEL
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

    def read_back(self, data: bytes) -> NDArray[Any]:
        """The rows of a chunk as it is in the file; zeros of one that is not there. Raises ValueError."""
        if not data:
            return np.zeros(self._chunk_rows, self.plan.dtype)
        data, checksum = data[:-4], data[-4:]
        if checksum != struct.pack("<I", fletcher32(data)):
            raise ValueError("the last chunk has another checksum")
        if self._deflated:
            shuffled = np.frombuffer(decompress(data), np.uint8).reshape(self.plan.dtype.itemsize, -1).T
            data = np.ascontiguousarray(shuffled).tobytes()
        return np.frombuffer(data, self.plan.dtype)

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
        data = rows.tobytes()
        if self._deflated:
            # Bytes of equal weight stand together, as the shuffle filter has them.
            shuffled = np.frombuffer(data, np.uint8).reshape(len(rows), -1).T
            data = compress(np.ascontiguousarray(shuffled).data, self._level)
        data += struct.pack("<I", fletcher32(data))
        return len(data), first, place(data)
