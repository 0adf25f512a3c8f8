"""Writes one run into one Parquet file, by row groups; `sinks/grouped/writer.py` says how nothing is lost between them.

pyarrow cannot go on with a file that it did not finish, so row groups are encoded by themselves and put behind what the
file has (`parquet/file.py` says how).
"""

from __future__ import annotations

from dtopipe.model.errors import SinkError
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.grouped.codes import TailSamples
from dtopipe.sinks.grouped.metadata import FileMetadata
from dtopipe.sinks.grouped.readings import ReadingTail
from dtopipe.sinks.grouped.tail import TailContent, TailFile, tail_path
from dtopipe.sinks.grouped.writer import GroupedWriter, rows_a_sample
from dtopipe.sinks.parquet.columns import Encoding, arrays, checked_schema
from dtopipe.sinks.parquet.file import GrowingParquet
from dtopipe.sinks.parquet.metadata import KEY
from dtopipe.sinks.parquet.readings import ArrowReadings
from dtopipe.sinks.parquet.row_groups import READINGS_OF_A_GROUP, ROWS_OF_A_GROUP


class ParquetWriter(GroupedWriter):
    """Columns in row groups; one file at the close.

    `compression`: a codec that this pyarrow has, or "none"; in place of zstd plain encodings have snappy.
    `use_dictionary`: dictionaries for columns of few different values, in place of BYTE_STREAM_SPLIT. `encoding`:
    "newer" or "plain".
    `row_group_size`: rows, default 2**20.
    """

    type_name = "parquet"

    def __init__(
        self,
        output: OutputOptions,
        *,
        compression: str = "zstd",
        use_dictionary: bool = True,
        row_group_size: int | None = None,
        encoding: str = "newer",
    ) -> None:
        super().__init__(output)
        if row_group_size is not None and row_group_size < 1:
            raise SinkError(output.path, f"row_group_size cannot be {row_group_size}", "leave it out: about a million")
        self._encoding = Encoding.checked(self.path, compression, use_dictionary, encoding)
        self._row_group_size = row_group_size

    def ensure_held(self, stream: Stream) -> None:
        """As GroupedWriter.ensure_held."""
        checked_schema(self.path, stream, self.output.layout)

    def group_rows(self, stream: Stream) -> int:
        """As GroupedWriter.group_rows."""
        return self._row_group_size or (READINGS_OF_A_GROUP if stream.polled else ROWS_OF_A_GROUP)

    def growing_file(self, stream: Stream, size: int) -> _RowGroups:
        """As GroupedWriter.growing_file."""
        return _RowGroups(self, stream, self._encoding, size)

    def tail_file(self, stream: Stream, size: int) -> TailFile:
        """As GroupedWriter.tail_file."""
        if stream.polled:
            return ReadingTail(tail_path(self.path), stream, size, ArrowReadings)
        return super().tail_file(stream, size)


class _RowGroups(GrowingParquet):
    """The file, given samples of a tail."""

    def __init__(self, writer: ParquetWriter, stream: Stream, encoding: Encoding, size: int) -> None:
        self._stream = stream
        self._layout = writer.output.layout
        super().__init__(writer.path, checked_schema(writer.path, stream, self._layout), encoding, size)

    def add(self, content: TailContent, start: int, stop: int) -> None:
        """As GrowingFile.add."""
        part = content.part(start, stop)
        columns = arrays(self._stream, self._layout, part) if isinstance(content, TailSamples) else part
        self.add_group(columns, (stop - start) * rows_a_sample(self._stream, self._layout))

    def put_footer(self, metadata: FileMetadata, *, durable: bool) -> None:
        """As GrowingFile.put_footer; a reader that finds no whole footer at the end goes back to one before."""
        self.put_footer_of({KEY: metadata.packed()})
