"""Reads a Parquet output back, also one whose writer was killed: its row groups, then what is in the tail."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.sinks.base import OutputRows
from dtopipe.sinks.commit_record import CommitSnapshot, read_commit_record
from dtopipe.sinks.outputs import sink_errors
from dtopipe.sinks.parquet_metadata import FileMetadata, metadata_from
from dtopipe.sinks.parquet_readings import TailReadings
from dtopipe.sinks.parquet_tail import TailPart, TailSamples, size_from, tail_path
from dtopipe.sinks.pyarrow_extra import pa, pq
from dtopipe.sinks.reading_columns import reading_columns
from dtopipe.sinks.reading_pieces import reading_pieces
from dtopipe.sinks.values import engineering_values

_BATCH_VALUES = 2**19
# Of a column at a time: a column chunk whole would be 8 MB for each channel.
_READ_BYTES = 2**18


class ParquetReader:
    """The run in a Parquet output; with `run_id`, only if it is that one. Raises SinkError.

    Where there is no commit record, as beside a copy of the file alone, its own metadata says everything.
    """

    def __init__(self, path: Path, run_id: str | None = None) -> None:
        self._path = path
        self._run_id = run_id

    def position(self) -> Position:
        """How far the output is."""
        with self._opened() as (_, metadata, record):
            return metadata.position if record is None else record.position

    def gaps(self) -> Sequence[Gap]:
        """Its gaps, in order."""
        with self._opened() as (_, metadata, record):
            return metadata.gaps if record is None else record.gaps

    def batches(self) -> Iterator[OutputRows]:
        """Its rows, in the order of the file."""
        with self._opened() as (file, metadata, record):
            is_long = metadata.layout is Layout.LONG and not metadata.stream.polled
            n_channels = len(metadata.stream.channels)
            n_rows = max(1, _BATCH_VALUES // (4 if is_long else n_channels + 3))
            rows_of = _long if is_long else _wide
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(n_rows, row_groups=[group], use_threads=False):
                    yield from rows_of(batch, metadata.stream)
            if record is not None and size_from(record.extra):
                yield from self._tail_rows(metadata, record, max(1, _BATCH_VALUES // (n_channels + 3)))

    def readings(self) -> Iterator[Readings]:
        """The readings of a polled run, every column of them."""
        with self._opened() as (file, metadata, record):
            columns = reading_columns(metadata.stream.channels)
            n_rows = max(1, _BATCH_VALUES // len(columns))
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(n_rows, row_groups=[group], use_threads=False):
                    arrays = [batch.column(batch.schema.get_field_index(column.name)) for column in columns]
                    yield from _whole_readings(columns, arrays)
            if record is not None and (size := size_from(record.extra)):
                with TailReadings(tail_path(self._path), metadata.stream, size) as tail:
                    for start in range(0, tail.n_samples, n_rows):
                        yield from _whole_readings(columns, tail.part(start, start + n_rows))

    def _tail_rows(self, metadata: FileMetadata, record: CommitSnapshot, n_rows: int) -> Iterator[OutputRows]:
        path, size = tail_path(self._path), size_from(record.extra)
        kind = TailReadings if metadata.stream.polled else TailSamples
        with kind(path, metadata.stream, size) as samples:
            for start in range(0, samples.n_samples, n_rows):
                part = samples.part(start, start + n_rows)
                found = list(_of_tail(part, metadata) if isinstance(part, TailPart) else _readings(part, metadata))
                now = read_commit_record(self._path)
                if now is None or now.data_bytes != record.data_bytes:
                    raise SinkError(self._path, "its writer went on while it was read", "read it again")
                yield from found

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, FileMetadata, CommitSnapshot | None]]:
        """The file, up to its last commit, what it says of itself, and its commit record if that is its own."""
        with sink_errors(self._path), self._path.open("rb", buffering=0) as raw:
            size = os.fstat(raw.fileno()).st_size
            record = read_commit_record(self._path)
            if record is not None and not 0 < record.data_bytes <= size:
                record = None
            try:
                front = _Front(raw, size if record is None else record.data_bytes)
                file = pq.ParquetFile(front, pre_buffer=False, buffer_size=_READ_BYTES)
            except pa.ArrowInvalid as error:
                raise SinkError(self._path, f"is not a whole Parquet file: {error}", "repair this output") from error
            metadata = metadata_from(self._path, file.metadata.metadata)
            if record is not None and record.stream.run_id != metadata.stream.run_id:
                record = None
            if self._run_id is not None and metadata.stream.run_id != self._run_id:
                raise SinkError(self._path, f"holds run {metadata.stream.run_id}, not {self._run_id}", "see its name")
            try:
                yield file, metadata, record
            except pa.ArrowException as error:
                raise SinkError(self._path, f"cannot be read: {error}", "repair this output") from error


class _Front(io.RawIOBase):
    """The first `size` bytes of a file, as if they were all: behind them may be half a row group."""

    def __init__(self, file: io.FileIO, size: int) -> None:
        self._file = file
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._size}[whence]
        return self._file.seek(base + offset)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, into: Any) -> int:
        view = memoryview(into).cast("B")
        return self._file.readinto(view[: max(0, self._size - self._file.tell())]) or 0


def _wide(batch: Any, stream: Stream) -> Iterator[OutputRows]:
    names = ("sample_index", "t_mono_ns", "t_utc", *_value_names(stream))
    index, t_mono_ns, t_utc, *values = (batch.column(batch.schema.get_field_index(name)) for name in names)
    yield OutputRows(_whole(index), _whole(t_mono_ns), _whole(t_utc), [_real(column) for column in values])


def _value_names(stream: Stream) -> list[str]:
    if stream.polled:
        return [column.name for column in reading_columns(stream.channels) if column.channel is not None]
    return [channel.name for channel in stream.channels]


def _long(batch: Any, stream: Stream) -> Iterator[OutputRows]:
    names = batch.column("channel").dictionary_encode()
    index, t_mono_ns, t_utc_ns = (_whole(batch.column(name)) for name in ("sample_index", "t_mono_ns", "t_utc"))
    value = _real(batch.column("value"))
    numbers = {channel.name: number for number, channel in enumerate(stream.channels)}
    codes = names.indices.to_numpy()
    for code, name in enumerate(names.dictionary.to_pylist()):
        of = codes == code
        yield OutputRows(index[of], t_mono_ns[of], t_utc_ns[of], [value[of]], channel=numbers[name])


def _of_tail(part: TailPart, metadata: FileMetadata) -> Iterator[OutputRows]:
    stream = metadata.stream
    times = part.sample_index(), part.t_mono_ns(stream.clock), part.t_utc_ns(stream.clock)
    values = [
        engineering_values(channel, part.codes(number), part.sensor_status(number))
        for number, channel in enumerate(stream.channels)
    ]
    if metadata.layout is Layout.WIDE:
        yield OutputRows(*times, values)
    else:
        yield from (OutputRows(*times, [column], channel=number) for number, column in enumerate(values))


def _readings(columns: list[Any], metadata: FileMetadata) -> Iterator[OutputRows]:
    names = [column.name for column in reading_columns(metadata.stream.channels)]
    yield from _wide(pa.RecordBatch.from_arrays(columns, names), metadata.stream)


def _whole_readings(columns: Sequence[ReadingColumn], arrays: Sequence[Any]) -> Iterator[Readings]:
    values = [
        (array.cast(pa.int64()) if column.kind is ColumnKind.TIME else array).to_pylist()
        for column, array in zip(columns, arrays, strict=True)
    ]
    yield from reading_pieces(values)


def _whole(column: Any) -> NDArray[np.int64]:
    found: NDArray[np.int64] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def _real(column: Any) -> NDArray[np.float64]:
    """NaN for null."""
    found: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found
