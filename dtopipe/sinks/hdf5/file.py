"""An HDF5 file that grows by chunks, and is a whole one at every instant of that.

The library of HDF5 writes over the structures of a file, and loses it where it is killed over that. Here nothing that
counts is ever written over: behind the last byte come chunks, then a footer, which is all structures anew that lead to
old and new chunks, and a copy of the superblock. Only then the superblock itself, the first 48 bytes of the file, is
written: in one call, within one sector. Whoever opens the file before that has the last footer, whoever does behind it
has this one, and the copy tells where a footer ends after a kill or a power cut. What a file is cut back to is the end
of a footer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dtopipe.host.durability import sync_bytes
from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.stream import Stream
from dtopipe.sinks.grouped.codes import TailSamples
from dtopipe.sinks.grouped.file import FileOfGroups
from dtopipe.sinks.grouped.metadata import FileMetadata
from dtopipe.sinks.grouped.tail import TailContent
from dtopipe.sinks.grouped.writer import Extent
from dtopipe.sinks.hdf5.column_writer import ColumnMark, ColumnWriter
from dtopipe.sinks.hdf5.columns import columns, plans, reading_arrays
from dtopipe.sinks.hdf5.footer import Footer
from dtopipe.sinks.hdf5.reading import SPOILT, StoredFile
from dtopipe.sinks.hdf5.stored import DamagedFile
from dtopipe.sinks.hdf5.structures import SUPERBLOCK_BYTES, is_superblock_of, superblock
from dtopipe.sinks.hdf5.text_heap import TextHeap

_HELD_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Hdf5Extent(Extent):
    """The same with its superblock, its rows, and how far each dataset was."""

    superblock: bytes = b""
    n_rows: int = 0
    marks: tuple[ColumnMark, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """How a run is laid out: `values`: also in units; rows of a chunk, and of a group."""

    layout: Layout
    values: bool
    chunk_rows: int
    group_rows: int
    deflated: bool


class GrowingHdf5(FileOfGroups):
    """What `add` writes counts once `put_footer` has returned. Raises OSError, and is to be cut back then."""

    def __init__(self, path: Path, stream: Stream, shape: Shape, size: int) -> None:
        """Open `path` and go on behind its first `size` bytes; 0: it is begun by its first footer. Raises SinkError."""
        super().__init__(path)
        self._stream = stream
        self._shape = shape
        self._columns = [
            ColumnWriter(plan, shape.chunk_rows, deflated=shape.deflated)
            for plan in plans(stream, shape.layout, values=shape.values)
        ]
        self._held: list[bytes] = []
        self._n_held = 0
        self._end = SUPERBLOCK_BYTES
        self._heap = TextHeap(self._place)
        self.extent = Hdf5Extent()
        if size:
            try:
                self._go_on(size)
            except BaseException:
                self.close()
                raise

    def add(self, content: TailContent, start: int, stop: int) -> None:
        """As GrowingFile.add."""
        part = content.part(start, stop)
        texts = self._heap.references
        arrays: Iterator[NDArray[Any]] = (
            columns(self._stream, self._shape.layout, part, texts, values=self._shape.values)
            if isinstance(content, TailSamples)
            else reading_arrays(self._stream, part, texts)
        )
        for column, rows in zip(self._columns, arrays, strict=True):
            column.add(rows, self._place)

    def put_footer(self, metadata: FileMetadata, *, durable: bool) -> None:
        """As GrowingFile.put_footer."""
        footer = Footer(self._place, self._heap, self._shape.chunk_rows, deflated=self._shape.deflated)
        root = footer.put(self._columns, metadata)
        stop = self._end + SUPERBLOCK_BYTES
        words = superblock(root, stop)
        self._place(words)
        if self._file is None:
            self._begin_as(words + b"".join(self._held))
            self._held, self._n_held = [], 0
        else:
            self._write_held()
            if durable:
                sync_bytes(self.fd)
            self._put(words, 0)
        n_rows = self._columns[0].n_rows
        group_bytes = footer.rest_bytes + sum(column.n_bytes for column in self._columns)
        n_groups = -(-n_rows // self._shape.group_rows)
        marks = tuple(column.mark() for column in self._columns)
        self.extent = Hdf5Extent(stop, group_bytes, n_groups, words, n_rows, marks)

    def cut_back(self, extent: Hdf5Extent) -> None:
        """As GrowingFile.cut_back."""
        self._held, self._n_held, self._end = [], 0, extent.size
        for column, mark in zip(self._columns, extent.marks, strict=True):
            column.cut_back(mark, extent.n_rows)
        self._heap.forget_behind(extent.size)
        self.extent = extent
        if self._file is not None:
            # First what leads there: whoever opens the file meanwhile finds what is still there.
            self._put(extent.superblock, 0)
            self._file.truncate(extent.size)

    def _place(self, data: bytes) -> int:
        """Where this is going to be: behind all that there is."""
        at = self._end
        self._held.append(data)
        self._n_held += len(data)
        self._end += len(data)
        if self._n_held > _HELD_BYTES and self._file is not None:
            self._write_held()
        return at

    def _write_held(self) -> None:
        data = b"".join(self._held)
        self._put(data, self._end - len(data))
        self._held, self._n_held = [], 0

    def _go_on(self, size: int) -> None:
        file = self._open(size)
        file.seek(size - SUPERBLOCK_BYTES)
        words = file.read(SUPERBLOCK_BYTES)
        if not is_superblock_of(words, size):
            raise self._damaged("there is no footer where its commit record has one")
        n_rows = rest_bytes = 0
        try:
            front = StoredFile(file, size, words)
            for column in self._columns:
                dataset = front[column.plan.path]
                n_rows = len(dataset)
                n_whole = n_rows // self._shape.chunk_rows * self._shape.chunk_rows
                if dataset.chunk_rows != self._shape.chunk_rows:
                    raise SinkError(self._path, "was begun with other chunks", "set chunk_rows as it was")
                chunks = dataset.chunks
                if chunks.lost:
                    raise DamagedFile(f"nothing leads to the items from {chunks.lost[0][0]:,} on")
                rest_bytes += sum(chunk[0] for chunk in chunks.found if chunk[1] >= n_whole)
                stay = [chunk for chunk in chunks.found if chunk[1] < n_whole]
                column.take(stay, dataset.rows(n_whole, n_rows), n_whole)
        except SPOILT as error:
            raise self._damaged(f"what is in it cannot be read: {error}") from error
        group_bytes = rest_bytes + sum(column.n_bytes for column in self._columns)
        n_groups = -(-n_rows // self._shape.group_rows)
        marks = tuple(column.mark() for column in self._columns)
        self.cut_back(Hdf5Extent(size, group_bytes, n_groups, words, n_rows, marks))
