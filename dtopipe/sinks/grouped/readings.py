"""Readings in a tail.

Frame, little-endian: header (`_HEADER`), then the columns, each a list of its values, as msgpack, and with
flag `CHECKED` the CRC-32 of all that as uint32.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack

from dtopipe.model.errors import SinkError
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file.whole_part import DamagedBytes
from dtopipe.sinks.grouped.tail import CHECKED, CHECKSUM, REMEDY, TailContent, TailFile, fits, next_frame
from dtopipe.wire.checksum import crc32

_MAGIC = b"DTTR"
# magic, flags, readings, bytes of the columns
_HEADER = struct.Struct("<4sIQQ")
# Python objects take some 50 bytes a value: no more rows than these are taken at once.
ROWS_AS_OBJECTS = 4096


class ReadingTail(TailFile):
    """The file of frames of readings, open for appending. Raises OSError when the disk does.

    `content`: what its readings are taken by.
    """

    def __init__(self, path: Path, stream: Stream, size: int, content: type[TailReadings] | None = None) -> None:
        self.content = content or TailReadings
        super().__init__(path, stream, size)

    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[bytes]:
        """A frame for each item that has readings."""
        for item in items:
            if isinstance(item, Readings) and item.n_samples:
                columns: bytes = msgpack.packb([list(column) for column in item.columns])
                frame = _HEADER.pack(_MAGIC, CHECKED, item.n_samples, len(columns)) + columns
                yield frame + CHECKSUM.pack(crc32(frame))

    def samples(self) -> TailReadings:
        """What is in the file; a context manager."""
        return self.content(self.path, self._stream, self.size)


class TailReadings(TailContent):
    """The readings in a file of frames, some thousand rows at a time."""

    def __init__(self, path: Path, stream: Stream, size: int, damaged: DamagedBytes | None = None) -> None:
        """Find the frames in the first `size` bytes. Raises SinkError where they are damaged, or OSError.

        With `damaged` that is told, checksums are looked at, and what is whole before and behind such a place is found.
        """
        self._path = path
        self._columns = reading_columns(stream.channels)
        self._file = path.open("rb")
        try:
            self._frames = list(self._found(size, damaged))
        except BaseException:
            self._file.close()
            raise

    @property
    def n_samples(self) -> int:
        """How many readings."""
        return sum(n_samples for _, _, n_samples in self._frames)

    def part(self, start: int, stop: int) -> Any:
        """The columns of the readings from `start` to `stop`, counted from 0 over all frames: a list of values each."""
        columns: list[list[Any]] = [[] for _ in self._columns]
        for frames in self.batches(start, stop):
            for frame in frames:
                for column, values in zip(columns, frame, strict=True):
                    column += values
        return columns

    def batches(self, start: int, stop: int) -> Iterator[list[list[list[Any]]]]:
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
            if n_held >= ROWS_AS_OBJECTS:
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

    @property
    def stop(self) -> int | None:
        """The sample index behind the last one; None where there is none."""
        return self._frame(*self._frames[-1])[0][-1] + 1 if self._frames else None

    def behind(self, sample_index: int) -> None:
        """Forget the frames that begin before this sample: row groups have them."""
        self._frames = [frame for frame in self._frames if self._frame(*frame)[0][0] >= sample_index]

    def _found(self, size: int, damaged: DamagedBytes | None) -> Iterator[tuple[int, int, int]]:
        """(offset, bytes, readings) of the columns in each frame."""
        size = min(size, self._file.seek(0, os.SEEK_END)) if damaged is not None else size
        at = 0
        while at < size:
            frame, end = self._frame_at(at, size, is_checked=damaged is not None)
            if frame is not None:
                yield frame
            elif damaged is None:
                raise self._damaged(at)
            else:
                end = next_frame(self._file, _MAGIC, at + 1, size)
                damaged.add(at, end)
            at = end

    def _frame_at(self, at: int, size: int, *, is_checked: bool) -> tuple[tuple[int, int, int] | None, int]:
        """Where the columns of the frame there are, and its end; None where there is no whole frame."""
        self._file.seek(at)
        header = self._file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None, size
        magic, flags, n_samples, n_bytes = _HEADER.unpack(header)
        end = at + _HEADER.size + n_bytes + bool(flags & CHECKED) * CHECKSUM.size
        if magic != _MAGIC or end > min(size, self._file.seek(0, os.SEEK_END)):
            return None, size
        if is_checked:
            self._file.seek(at)
            if not fits(memoryview(self._file.read(end - at)), flags):
                return None, size
        return (at + _HEADER.size, n_bytes, n_samples), end

    def _damaged(self, at: int) -> SinkError:
        return SinkError(self._path, f"is damaged at byte {at}", REMEDY)
