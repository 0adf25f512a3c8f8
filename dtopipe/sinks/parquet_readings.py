"""Readings on their way into a Parquet output: the tail where they wait for a row group, and their Arrow columns.

Frame of the tail, little-endian: header (`_HEADER`), then the columns, each a list of its values, as msgpack.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import msgpack

from dtopipe.model.errors import SinkError
from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.parquet_tail import REMEDY, TailFile
from dtopipe.sinks.pyarrow_extra import pa
from dtopipe.sinks.reading_columns import reading_columns

# pyarrow has no types for a type checker.
Array: TypeAlias = Any

_MAGIC = b"DTTR"
# magic, nothing yet, readings, bytes of the columns
_HEADER = struct.Struct("<4sIQQ")
# Python objects take some 50 bytes a value, Arrow's columns 8: no more rows than these are ever the former.
_ROWS_AS_OBJECTS = 4096
ARROW_TYPES = {
    ColumnKind.INTEGER: pa.int64(),
    ColumnKind.FLOAT: pa.float64(),
    ColumnKind.TEXT: pa.string(),
    ColumnKind.TIME: pa.timestamp("ns", "UTC"),
}


class ReadingTail(TailFile):
    """The file of frames of readings, open for appending. Raises OSError when the disk does."""

    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[bytes]:
        """A frame for each item that has readings."""
        for item in items:
            if isinstance(item, Readings) and item.n_samples:
                columns: bytes = msgpack.packb([list(column) for column in item.columns])
                yield _HEADER.pack(_MAGIC, 0, item.n_samples, len(columns))
                yield columns

    def samples(self) -> TailReadings:
        """What is in the file; a context manager."""
        return TailReadings(self.path, self._stream, self.size)


class TailReadings:
    """The readings in a file of frames, as Arrow columns."""

    def __init__(self, path: Path, stream: Stream, size: int) -> None:
        """Find the frames in the first `size` bytes. Raises SinkError where they are damaged, or OSError."""
        self._path = path
        self._columns = reading_columns(stream.channels)
        self._file = path.open("rb")
        try:
            self._frames = list(self._found(size))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TailReadings:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def n_samples(self) -> int:
        """How many readings."""
        return sum(n_samples for _, _, n_samples in self._frames)

    def part(self, start: int, stop: int) -> list[Array]:
        """The columns of the readings from `start` to `stop`, counted from 0 over all frames."""
        chunks: list[list[Array]] = [[] for _ in self._columns]
        for frames in self._batches(start, stop):
            for number, column in enumerate(self._columns):
                values = list(chain.from_iterable(frame[number] for frame in frames))
                chunks[number].append(arrow_column(column, values))
        return [
            pa.concat_arrays([pa.array([], ARROW_TYPES[column.kind]), *of_column])
            for column, of_column in zip(self._columns, chunks, strict=True)
        ]

    def _batches(self, start: int, stop: int) -> Iterator[list[list[list[Any]]]]:
        """The parts of frames in this range, some thousand rows at a time."""
        held: list[list[list[Any]]] = []
        n_held = at = 0
        for offset, n_bytes, n_samples in self._frames:
            low, high = max(0, start - at), min(n_samples, stop - at)
            at += n_samples
            if low >= high:
                continue
            held.append([column[low:high] for column in self._frame(offset, n_bytes, n_samples)])
            n_held += high - low
            if n_held >= _ROWS_AS_OBJECTS:
                yield held
                held, n_held = [], 0
        if held:
            yield held

    def _frame(self, offset: int, n_bytes: int, n_samples: int) -> list[list[Any]]:
        self._file.seek(offset)
        try:
            columns: list[list[Any]] = msgpack.unpackb(self._file.read(n_bytes))
            if [len(column) for column in columns] == [n_samples] * len(self._columns):
                return columns
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise self._damaged(offset) from error
        raise self._damaged(offset)

    def _found(self, size: int) -> Iterator[tuple[int, int, int]]:
        """(offset, bytes, readings) of the columns in each frame."""
        there = self._file.seek(0, os.SEEK_END)
        at = 0
        while at < size:
            self._file.seek(at)
            header = self._file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise self._damaged(at)
            magic, _, n_samples, n_bytes = _HEADER.unpack(header)
            begin, at = at, at + _HEADER.size + n_bytes
            if magic != _MAGIC or at > min(size, there):
                raise self._damaged(begin)
            yield begin + _HEADER.size, n_bytes, n_samples

    def _damaged(self, at: int) -> SinkError:
        return SinkError(self._path, f"is damaged at byte {at}", REMEDY)


def arrow_column(column: ReadingColumn, values: Sequence[Any]) -> Array:
    """One column; a NaN is null, as everywhere."""
    return pa.array(values, ARROW_TYPES[column.kind], from_pandas=True)
