"""A file of frames beside an output: what is committed, and waits until it is enough for a group of rows.

What it holds beyond the size of the last commit is nobody's and is cut away.
"""

from __future__ import annotations

import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO, Self

from dtopipe.model.errors import SinkError
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file.identity import opened_again
from dtopipe.sinks.grouped.suffix import TAIL_SUFFIX
from dtopipe.wire.checksum import crc32

# A flag of a frame. All that is written has it; a tail that an earlier version has left may not.
CHECKED = 2
CHECKSUM = struct.Struct("<I")
REMEDY = "the rows before it are in the file beside it; repair this output for the others"
_SEARCHED_BYTES = 2**20
_SIZE = struct.Struct("<Q")


class TailContent(ABC):
    """What a tail holds, while it is read; a context manager."""

    _file: FileIO | BufferedReader

    @property
    @abstractmethod
    def n_samples(self) -> int:
        """Samples per channel, or readings."""

    @abstractmethod
    def part(self, start: int, stop: int) -> Any:
        """What is in it from `start` to `stop`, counted from 0: a TailPart, or columns of readings."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the file."""
        self._file.close()


class TailFile(ABC):
    """A file of frames, open for appending; the subclass says what is in them. Raises OSError when the disk does."""

    def __init__(self, path: Path, stream: Stream, size: int) -> None:
        """Open `path`, made if need be, and cut it back to `size` bytes. Raises SinkError if it is shorter."""
        self.path = path
        self._stream = stream
        # What has bytes that count is never made anew.
        if size:
            self._file = os.fdopen(opened_again(path), "r+b", 0)
        else:
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        try:
            found = self._file.seek(0, os.SEEK_END)
            if found < size:
                raise SinkError(path, f"has {found} bytes of the {size} that were committed", REMEDY)
            self._file.truncate(size)
            self.size = size
            with self.samples() as samples:
                self.n_samples = samples.n_samples
        except BaseException:
            self._file.close()
            raise

    @abstractmethod
    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[bytes | memoryview]:
        """The frames of these items, in pieces."""

    @abstractmethod
    def samples(self) -> TailContent:
        """What is in the file; a context manager."""

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Write the samples among `items`; after a failure the file counts as before."""
        size = self.size
        self._file.seek(size)
        for piece in self.pieces(items):
            view = memoryview(piece).cast("B")
            size += len(view)
            while view:
                view = view[self._file.write(view) :]
        self.size = size
        self.n_samples += sum(item.n_samples for item in items if not isinstance(item, Gap))

    def clear(self) -> None:
        """Forget every frame, also where the file cannot be cut."""
        self.size = self.n_samples = 0
        self._file.truncate(0)

    @property
    def fd(self) -> int:
        """The open file, to be synced."""
        return self._file.fileno()

    def close(self) -> None:
        """Give up the file; it stays."""
        self._file.close()

    def remove(self) -> None:
        """Give up the file and delete it."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def fits(frame: memoryview, flags: int) -> bool:
    """False for a frame with a checksum that is not its own."""
    if not flags & CHECKED:
        return True
    body, checksum = frame[: -CHECKSUM.size], frame[-CHECKSUM.size :]
    return bool(CHECKSUM.unpack(checksum)[0] == crc32(body))


def next_frame(file: BinaryIO | FileIO, magic: bytes, at: int, size: int) -> int:
    """Where from byte `at` on a frame may begin; `size` where there is none."""
    while at < size:
        file.seek(at)
        piece = file.read(min(_SEARCHED_BYTES, size - at))
        found = piece.find(magic)
        if found >= 0:
            return at + found
        if len(piece) < len(magic):
            break
        at += len(piece) - len(magic) + 1
    return size


def tail_path(path: Path) -> Path:
    """Where the tail of the Parquet file at `path` is."""
    return path.with_name(path.name + TAIL_SUFFIX)


def packed_size(size: int) -> bytes:
    """How long the tail is, for the commit record's extra bytes."""
    return _SIZE.pack(size)


def size_from(extra: bytes) -> int:
    """The same back; 0 where nothing was said yet."""
    return int(_SIZE.unpack(extra)[0]) if extra else 0
