"""Writes one run into one HDF5 file, by groups of rows; `grouped/writer.py` says how nothing is lost between them.

The library of HDF5 loses a file where it is killed over it, and ends the process over a damaged one: `hdf5/file.py`
and `hdf5/stored.py` say how a file is made and read back without it.
"""

from __future__ import annotations

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.grouped.writer import GroupedWriter, rows_a_sample
from dtopipe.sinks.hdf5.chunk_rows import CHUNKS_OF_A_GROUP, MOST_CHUNK_ROWS, default_chunk_rows
from dtopipe.sinks.hdf5.file import GrowingHdf5, Shape

COMPRESSIONS = ("gzip", "none")


class Hdf5Writer(GroupedWriter):
    """Datasets in chunks; one file at the close.

    `compression`: "gzip", with the shuffle filter, or "none". `values`: also each channel's values in its unit.
    `chunk_rows`: rows of a chunk, default 2**15, fewer of many channels; readers see groups of four.
    """

    type_name = "hdf5"

    def __init__(
        self,
        output: OutputOptions,
        *,
        compression: str = "gzip",
        values: bool = False,
        chunk_rows: int | None = None,
    ) -> None:
        super().__init__(output)
        if compression not in COMPRESSIONS:
            raise SinkError(self.path, f"compression cannot be {compression!r}", f"use {' or '.join(COMPRESSIONS)}")
        if chunk_rows is not None and not 1 <= chunk_rows <= MOST_CHUNK_ROWS:
            raise SinkError(self.path, f"chunk_rows cannot be {chunk_rows}", f"use 1 to {MOST_CHUNK_ROWS:,}")
        self._deflated = compression != "none"
        self._values = values
        self._chunk_rows = chunk_rows

    def ensure_held(self, stream: Stream) -> None:
        """As GroupedWriter.ensure_held."""

    def group_rows(self, stream: Stream) -> int:
        """As GroupedWriter.group_rows."""
        return self._rows_of_a_chunk(stream) * CHUNKS_OF_A_GROUP

    def growing_file(self, stream: Stream, size: int) -> GrowingHdf5:
        """As GroupedWriter.growing_file."""
        layout = Layout.WIDE if stream.polled else self.output.layout
        shape = Shape(layout, self._values, self._rows_of_a_chunk(stream), self.group_rows(stream), self._deflated)
        return GrowingHdf5(self.path, stream, shape, size)

    def _rows_of_a_chunk(self, stream: Stream) -> int:
        n_columns = len(stream.channels) // rows_a_sample(stream, self.output.layout)
        return self._chunk_rows or default_chunk_rows(n_columns, polled=stream.polled)
