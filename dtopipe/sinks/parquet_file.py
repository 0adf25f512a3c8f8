"""A Parquet file that grows by row groups, and has a footer behind the last of them."""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dtopipe.model.errors import SinkError, WireError
from dtopipe.sinks.parquet_columns import Array, Encoding, Schema, empty_file_metadata, encoded
from dtopipe.sinks.parquet_footer import (
    MAGIC,
    TRAILER_BYTES,
    ColumnPart,
    data_bytes,
    num_rows,
    placed,
    read_footer,
    row_group,
    row_groups,
    serialise_struct,
    with_row_groups,
    write_footer,
)
from dtopipe.sinks.presence import opened_again, shortened

# pyarrow lets other threads run. More columns would be more memory, and leave the acquirer no processor.
_ENCODED_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a file is: its bytes up to and with the last footer, and those of its row groups alone."""

    size: int = 0
    group_bytes: int = 0
    n_groups: int = 0
    n_rows: int = 0


class GrowingParquet:
    """What `add_group` writes counts once `put_footer` has returned. Raises OSError, and is to be cut back then."""

    def __init__(self, path: Path, schema: Schema, encoding: Encoding, size: int) -> None:
        """Open `path`, made if need be, and go on behind its first `size` bytes; 0 begins it. Raises SinkError."""
        self._path = path
        self._schema = schema
        self._encoding = encoding
        self._groups: list[bytes] = []
        self.extent = Extent()
        # What has bytes that count is never made anew.
        if size:
            self._file = os.fdopen(opened_again(path), "r+b", 0)
        else:
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        try:
            if size:
                self._read_footer(size)
            self.cut_back(self.extent)
        except BaseException:
            self._file.close()
            raise

    @property
    def fd(self) -> int:
        """The open file, to be synced."""
        return self._file.fileno()

    def add_group(self, columns: Iterable[Array], n_rows: int) -> None:
        """Write a row group, column by column, in the order of the schema."""
        start = self._end
        chunks = []
        for part in self._encoded(columns):
            chunks.append(placed(part, self._end))
            self._write(part.data)
        self._group_bytes += self._end - start
        self._groups.append(serialise_struct(row_group(chunks, start, n_rows, len(self._groups))))
        self._n_rows += n_rows

    def _encoded(self, columns: Iterable[Array]) -> Iterator[ColumnPart]:
        """Each column's chunk, in order; a few are being encoded while others are read and written."""
        with ThreadPoolExecutor(_ENCODED_AT_ONCE, "encodes") as pool:
            under_way: deque[Future[ColumnPart]] = deque()
            for field, column in zip(self._schema, columns, strict=True):
                under_way.append(pool.submit(encoded, column, field, self._encoding))
                if len(under_way) > _ENCODED_AT_ONCE:
                    yield under_way.popleft().result()
            yield from (future.result() for future in under_way)

    def put_footer(self, key_values: Mapping[bytes, bytes]) -> None:
        """Make a whole file of all the row groups so far."""
        # pyarrow's own words for schema and metadata: it reads the latter from a copy in its form of the schema.
        words = empty_file_metadata(self._schema.with_metadata(key_values))
        footer = write_footer(with_row_groups(words, self._groups, self._n_rows))
        self._write(footer)
        self.extent = Extent(self._end, self._group_bytes, len(self._groups), self._n_rows)

    def cut_back(self, extent: Extent) -> None:
        """Forget what came after `extent`."""
        del self._groups[extent.n_groups :]
        self._n_rows = extent.n_rows
        self._group_bytes = extent.group_bytes
        self._end = extent.size
        self.extent = extent
        self._file.truncate(extent.size)
        self._file.seek(extent.size)
        if not extent.size:
            self._write(MAGIC)

    def close(self) -> None:
        """Give up the file."""
        self._file.close()

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        self._end += len(view)
        while view:
            view = view[self._file.write(view) :]

    def _read_footer(self, size: int) -> None:
        found = self._file.seek(0, os.SEEK_END)
        if found < size:
            raise shortened(self._path, found, size)
        try:
            self._file.seek(size - TRAILER_BYTES)
            (length,) = struct.unpack("<I4x", self._file.read(TRAILER_BYTES))
            self._file.seek(max(0, size - TRAILER_BYTES - length))
            groups = row_groups(read_footer(self._file.read(length + TRAILER_BYTES)))
            self._groups = [serialise_struct(group) for group in groups]
            self.extent = Extent(size, sum(map(data_bytes, groups)), len(groups), sum(map(num_rows, groups)))
        except (struct.error, KeyError, WireError) as error:
            raise self._damaged(f"there is no footer where its commit record has one: {error}") from error

    def _damaged(self, message: str) -> SinkError:
        return SinkError(self._path, message, "somebody has changed it; move it and its .dtopipe file away")
