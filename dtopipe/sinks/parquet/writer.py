"""Writes one run into one Parquet file, by row groups, and loses nothing that is committed between them.

pyarrow cannot go on with a file that it did not finish, so committed samples wait as codes in a tail, `PATH.tail`,
until they fill a row group. The group is then encoded, and written behind what the file has, with a new footer behind
it. The old footer stays where it is: the file only ever grows, so that a kill in the middle is undone by cutting it
back to the last commit, and any reader can read it at any instant (`parquet_file` says how). Footers that are no longer
the last one are bounded: groups wait for each other where their footer would take more than a sixteenth of the file.

The commit record says how long file and tail are; one record moves both, and the tail is emptied behind it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from dtopipe.model.errors import FileTooLarge, SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.commit_record import SUFFIX, CommitRecord, ensure_not_written, record_path
from dtopipe.sinks.file.errors import prepare, sink_errors, sync_file, sync_folder
from dtopipe.sinks.file.identity import ensure_not_cut
from dtopipe.sinks.parquet.columns import Encoding, arrays, checked_schema
from dtopipe.sinks.parquet.file import GrowingParquet
from dtopipe.sinks.parquet.metadata import FileMetadata
from dtopipe.sinks.parquet.readings import ReadingTail
from dtopipe.sinks.parquet.row_groups import READINGS_OF_A_GROUP, ROWS_OF_A_GROUP
from dtopipe.sinks.parquet.sink_type import TAIL_SUFFIX
from dtopipe.sinks.parquet.tail import Tail, TailFile, TailSamples, packed_size, size_from, tail_path
from dtopipe.sinks.rows.null_ranges import NullList

# Footers that are no longer the last one may be one part in so many of a file, and so many bytes in any case.
_DEAD_PART = 16
_DEAD_BYTES = 2**18


class ParquetWriter:
    """Columns in row groups; one file at the close.

    `compression`: a codec that this pyarrow has, or "none"; in place of zstd plain encodings have snappy.
    `use_dictionary`: dictionaries for columns of few different values, in place of BYTE_STREAM_SPLIT. `encoding`:
    "newer" or "plain".
    `row_group_size`: rows, default 2**20.
    """

    retries = True

    def __init__(
        self,
        output: OutputOptions,
        *,
        compression: str = "zstd",
        use_dictionary: bool = True,
        row_group_size: int | None = None,
        encoding: str = "newer",
    ) -> None:
        if output.path is None:
            raise SinkError(None, "a parquet sink writes to a file", "give it a path, such as path: run.parquet")
        if row_group_size is not None and row_group_size < 1:
            raise SinkError(output.path, f"row_group_size cannot be {row_group_size}", "leave it out: about a million")
        self._path = output.path
        self._output = output
        self._encoding = Encoding.checked(self._path, compression, use_dictionary, encoding)
        self._row_group_size = row_group_size
        self._run: _Run | None = None

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """Lock the file, and cut it back to the last commit or begin it. Raises SinkError."""
        columns = checked_schema(self._path, stream, self._output.layout)
        record = CommitRecord.resume(self._path, stream.run_id) if resume else None
        if record is None:
            record = self._begun(stream, start)
        try:
            with contextlib.ExitStack() as opened, sink_errors(self._path):
                file = GrowingParquet(self._path, columns, self._encoding, record.data_bytes)
                opened.callback(file.close)
                kind = ReadingTail if stream.polled else Tail
                tail = kind(tail_path(self._path), stream, size_from(record.extra))
                opened.callback(tail.close)
                group_samples = max(1, self._group_rows(stream) // _rows_a_sample(stream, self._output.layout))
                run = _Run(self._path, stream, self._output.layout, group_samples, record, file, tail)
                if not record.data_bytes:
                    run.begin_file()
                opened.pop_all()
        except BaseException:
            record.release()
            raise
        self._run = run
        return record.position

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Write their codes to the tail; they count once they are committed."""
        self._opened().append(items)

    def commit(self) -> Position:
        """Move the mark behind what was appended; encode what fills a row group."""
        return self._opened().commit()

    def sync(self) -> Position:
        """File and tail first, then their record."""
        return self._opened().sync()

    def close(self) -> Position:
        """Commit, make the tail the last row group, and leave one file."""
        position = self._opened().complete()
        self.abandon()
        return position

    def abandon(self) -> None:
        """Let go of files and lock; what was not committed is cut away by whoever resumes."""
        if self._run is not None:
            self._run.release()
            self._run = None

    def files(self) -> Sequence[Path]:
        """As FileOutput.files."""
        files = record_path(self._path), self._path
        return files if self._run is None else (*files, tail_path(self._path))

    def _begun(self, stream: Stream, start: int) -> CommitRecord:
        ensure_not_written(self._path)
        if self._output.on_exists is OnExists.APPEND and self._path.exists():
            raise SinkError(
                self._path, "a parquet file holds one run", "set on_exists: rename or overwrite, or choose another path"
            )
        prepare(self._path, self._output.on_exists, (SUFFIX, TAIL_SUFFIX))
        return CommitRecord.begin(self._path, stream, "parquet", start, 0)

    def _group_rows(self, stream: Stream) -> int:
        return self._row_group_size or (READINGS_OF_A_GROUP if stream.polled else ROWS_OF_A_GROUP)

    def _opened(self) -> _Run:
        if self._run is None:
            raise SinkError(self._path, "this sink is not open", "open it first; a closed sink is not opened again")
        return self._run


def _rows_a_sample(stream: Stream, layout: Layout) -> int:
    return len(stream.channels) if layout is Layout.LONG and not stream.polled else 1


class _Run:
    """A run being written: its record, its file and its tail, which only `commit` and `complete` move together."""

    def __init__(
        self,
        path: Path,
        stream: Stream,
        layout: Layout,
        group_samples: int,
        record: CommitRecord,
        file: GrowingParquet,
        tail: TailFile,
    ) -> None:
        self._path = path
        self._stream = stream
        self._layout = layout
        self._group_samples = group_samples
        self._record = record
        self._file = file
        self._tail = tail
        self._gaps = record.gaps()
        self._nulls = NullList(record.nulls())
        self._new_gaps: list[Gap] = []
        self._appended = record.position

    def begin_file(self) -> None:
        """A file without rows, so that there is one to be read from the start."""
        self._file.put_footer(self._metadata(complete=False))
        self._move_record(self._tail.size)
        sync_folder(self._path)

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        try:
            self._append_to_tail(items)
        except FileTooLarge:
            if not self._tail.n_samples:
                raise
            # What is in it takes less room as rows.
            self._move_tail(complete=False)
            self._append_to_tail(items)
        self._appended = self._appended.after(items)
        self._new_gaps += [item for item in items if isinstance(item, Gap)]
        self._nulls.add(items)

    def _append_to_tail(self, items: Sequence[Block | Gap | Readings]) -> None:
        with sink_errors(self._tail.path):
            ensure_not_cut(self._tail.fd, self._tail.path, self._tail.size)
            self._tail.append(items)

    def commit(self) -> Position:
        self._ensure_not_cut()
        if self._is_due():
            self._move_tail(complete=False)
        elif self._appended != self._record.position:
            self._move_record(self._tail.size)
        return self._record.position

    def _ensure_not_cut(self) -> None:
        with sink_errors(self._path):
            ensure_not_cut(self._file.fd, self._path, self._file.extent.size)
            ensure_not_cut(self._tail.fd, self._tail.path, self._tail.size)

    def sync(self) -> Position:
        self._ensure_not_cut()
        sync_file(self._file.fd, self._path)
        sync_file(self._tail.fd, self._tail.path)
        position = self._record.sync()
        # What was appended since the commit is still to come.
        self._appended = replace(self._appended, durable=position.durable)
        return position

    def complete(self) -> Position:
        self._move_tail(complete=True)
        sync_file(self._file.fd, self._path)
        position = self._record.close()
        with sink_errors(self._tail.path):
            self._tail.remove()
        sync_folder(self._path)
        return position

    def release(self) -> None:
        self._file.close()
        self._tail.close()
        self._record.release()

    def _is_due(self) -> bool:
        """True if the tail fills a row group, and one more footer stays within its part of the file."""
        n_groups = self._tail.n_samples // self._group_samples
        extent = self._file.extent
        # Before the first group there is no telling: the codes themselves are more, or about as much.
        a_group = extent.group_bytes // extent.n_groups if extent.n_groups else self._tail.size
        footers = extent.size - extent.group_bytes
        allowed = max(_DEAD_BYTES, (extent.group_bytes + n_groups * a_group) // _DEAD_PART)
        return n_groups > 0 and footers <= allowed

    def _move_tail(self, *, complete: bool) -> None:
        """Everything in the tail becomes row groups; after a failure all is as before."""
        self._ensure_not_cut()
        extent = self._file.extent
        try:
            with sink_errors(self._path):
                self._add_groups()
                self._file.put_footer(self._metadata(complete=complete))
                self._move_record(0)
        except BaseException:
            with contextlib.suppress(OSError):
                self._file.cut_back(extent)
            raise
        try:
            if self._record.position.durable > self._record.position.start:
                # What is durable in the tail has to be durable in the file before the tail goes.
                self.sync()
        finally:
            # Whatever happens: the record has moved, and its samples would be in the file twice.
            with sink_errors(self._tail.path):
                self._tail.clear()

    def _add_groups(self) -> None:
        n_samples = self._tail.n_samples
        n_groups = max(1, round(n_samples / self._group_samples))
        bounds = [n_samples * number // n_groups for number in range(n_groups + 1)]
        rows_a_sample = _rows_a_sample(self._stream, self._layout)
        with self._tail.samples() as samples:
            for start, stop in pairwise(bounds):
                if stop > start:
                    columns = (
                        arrays(self._stream, self._layout, samples.part(start, stop))
                        if isinstance(samples, TailSamples)
                        else samples.part(start, stop)
                    )
                    self._file.add_group(columns, (stop - start) * rows_a_sample)

    def _move_record(self, tail_bytes: int) -> None:
        extra = packed_size(tail_bytes)
        self._record.commit(self._appended, self._file.extent.size, self._new_gaps, extra, self._nulls.changes)
        self._gaps += self._new_gaps
        self._new_gaps = []
        self._nulls.settle()

    def _metadata(self, *, complete: bool) -> dict[bytes, bytes]:
        position = replace(self._appended, durable=self._appended.committed) if complete else self._appended
        gaps = [*self._gaps, *self._new_gaps]
        return FileMetadata(self._stream, self._layout, position, gaps, complete, self._nulls.all()).packed()
