"""A Parquet file that grows by row groups, and can be read as a whole one at any instant of that.

Readers look at the last eight bytes of a file: the length of the footer before them, and the magic. A write is seen
page by page, so neither a row group nor a longer footer comes at once; a few bytes within one page do. So before
anything is written at the end, a bridge is set behind the place that it will take: a trailer whose footer is the last
one, and all that stands and will stand between it and the bridge. (Readers take the structure that a footer begins
with, and leave what follows.) The file then ends there, is valid, and what comes is written into the hole before the
bridge. A new footer encloses its bridge as bytes of a field that readers pass over, and counts once its own trailer is
down, a few bytes within one page again. Nothing that a reader may have found is ever written anew.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from dtopipe.model.errors import WireError
from dtopipe.sinks.grouped.file import FileOfGroups
from dtopipe.sinks.grouped.writer import Extent
from dtopipe.sinks.parquet.arrays import Array
from dtopipe.sinks.parquet.columns import Encoding, Schema, empty_file_metadata, encoded
from dtopipe.sinks.parquet.footer import (
    BRIDGE_BYTES,
    MAGIC,
    TRAILER_BYTES,
    ColumnPart,
    bridge,
    bridge_place,
    data_bytes,
    enclosing_bridge,
    num_rows,
    placed,
    read_footer,
    row_group,
    row_groups,
    serialise_struct,
    with_row_groups,
    without_bridge,
    write_footer,
)

# pyarrow lets other threads run. More columns would be more memory, and leave the acquirer no processor.
_ENCODED_AT_ONCE = 2
# Chunks of small columns share a bridge.
_JOINED_BYTES = 2**18
# A reader takes all from the last footer to a bridge for a footer: beyond this it is repeated before the next one.
_FARTHEST_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class _Footer:
    """Where the last one begins, its structure as bytes, and the highest number of a field in it."""

    start: int = 0
    words: bytes = b""
    last_field: int = 0


@dataclass(frozen=True, slots=True)
class ParquetExtent(Extent):
    """The same with its rows, and where its last footer is."""

    n_rows: int = 0
    footer: _Footer = _Footer()


class GrowingParquet(FileOfGroups):
    """What `add_group` writes counts once `put_footer` has returned. Raises OSError, and is to be cut back then."""

    def __init__(self, path: Path, schema: Schema, encoding: Encoding, size: int) -> None:
        """Open `path` and go on behind its first `size` bytes; 0: it is begun by its first footer. Raises SinkError."""
        super().__init__(path)
        self._schema = schema
        self._encoding = encoding
        self._groups: list[bytes] = []
        self._n_rows = self._group_bytes = self._end = 0
        self._footer = _Footer()
        self.extent = ParquetExtent()
        if size:
            try:
                self._read_footer(size)
                self.cut_back(self.extent)
            except BaseException:
                self.close()
                raise

    def add_group(self, columns: Iterable[Array], n_rows: int) -> None:
        """Write a row group, column by column, in the order of the schema."""
        chunks = []
        held: list[memoryview] = []
        start = at = self._end
        for part in self._encoded(columns):
            if held and at - self._end >= _JOINED_BYTES:
                self._write(held)
                held, at = [], self._end
            chunks.append(placed(part, at))
            held.append(part.data)
            at += len(part.data)
            self._group_bytes += len(part.data)
        self._write(held)
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

    def put_footer_of(self, key_values: Mapping[bytes, bytes]) -> None:
        """Make a whole file of all the row groups so far."""
        # pyarrow's own words for schema and metadata: it reads the latter from a copy in its form of the schema.
        words = empty_file_metadata(self._schema.with_metadata(key_values))
        metadata = with_row_groups(words, self._groups, self._n_rows)
        if self._file is None:
            self._begin(write_footer(metadata), max(metadata))
        else:
            self._enclose(_Footer(self._end, serialise_struct(metadata), max(metadata)))
        self.extent = ParquetExtent(self._end, self._group_bytes, len(self._groups), self._n_rows, self._footer)

    def cut_back(self, extent: ParquetExtent) -> None:
        """Forget what came after `extent`."""
        del self._groups[extent.n_groups :]
        self._n_rows = extent.n_rows
        self._group_bytes = extent.group_bytes
        self._end = extent.size
        self._footer = extent.footer
        self.extent = extent
        if self._file is not None:
            self._file.truncate(extent.size)

    def _begin(self, footer: bytes, last_field: int) -> None:
        """A file of this footer alone takes its name as a whole one."""
        self._begin_as(MAGIC + footer)
        self._end = len(MAGIC) + len(footer)
        self._footer = _Footer(len(MAGIC), footer[:-TRAILER_BYTES], last_field)

    def _enclose(self, footer: _Footer) -> None:
        """Put this footer at the end; it counts with its last few bytes."""
        start = self._end
        head, at = enclosing_bridge(footer.words, footer.last_field, start)
        self._put(bridge(at - self._footer.start), at)
        self._put(head, start)
        stop = at + BRIDGE_BYTES
        # The structure's own end is the first byte behind the bridge.
        self._put(b"\0" + struct.pack("<I", stop + 1 - start) + MAGIC, stop)
        self._end = stop + 1 + TRAILER_BYTES
        self._footer = footer

    def _write(self, pieces: Sequence[memoryview]) -> None:
        """Put these at the end, behind which a bridge leads to the last footer."""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not data:
            return
        at = bridge_place(self._end + len(data))
        self._put(bridge(at - self._footer.start), at)
        self._put(data, self._end)
        self._end = at + BRIDGE_BYTES
        if self._end - self._footer.start > max(_FARTHEST_BYTES, 32 * len(self._footer.words)):
            self._enclose(replace(self._footer, start=self._end))

    def _read_footer(self, size: int) -> None:
        file = self._open(size)
        try:
            file.seek(size - TRAILER_BYTES)
            (length,) = struct.unpack("<I4x", file.read(TRAILER_BYTES))
            start = max(0, size - TRAILER_BYTES - length)
            file.seek(start)
            metadata = read_footer(file.read(length + TRAILER_BYTES))
            groups = row_groups(metadata)
            self._groups = [serialise_struct(group) for group in groups]
            own = without_bridge(metadata)
            footer = _Footer(start, serialise_struct(own), max(own))
            n_bytes, n_rows = sum(map(data_bytes, groups)), sum(map(num_rows, groups))
            self.extent = ParquetExtent(size, n_bytes, len(groups), n_rows, footer)
        except (struct.error, KeyError, WireError) as error:
            raise self._damaged(f"there is no footer where its commit record has one: {error}") from error
