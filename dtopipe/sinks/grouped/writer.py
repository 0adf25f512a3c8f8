"""Writes one run into one file, by groups of rows, and loses nothing that is committed between them.

Formats of columns cannot go on with a file at every commit, so committed samples wait as codes in a tail, `PATH.tail`,
until they fill a group. The group is then encoded, and written behind what the file has, with a new footer behind it:
whatever makes a whole file of all the groups so far. The old footer stays where it is: the file only ever grows, so
that a kill in the middle is undone by cutting it back to the last commit, and any reader can read it at any instant.
Footers that are no longer the last one are bounded: groups wait for each other where their footer would take more than
a sixteenth of the file.

The commit record says how long file and tail are; one record moves both, and the tail is emptied behind it.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from dtopipe.model.errors import FileTooLarge, SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap, add
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.commit_record import SUFFIX, CommitRecord, ensure_not_written, record_path
from dtopipe.sinks.file.errors import prepare, sink_errors, sync_file, sync_folder
from dtopipe.sinks.file.identity import ensure_not_cut
from dtopipe.sinks.grouped.codes import Tail
from dtopipe.sinks.grouped.metadata import FileMetadata
from dtopipe.sinks.grouped.readings import ReadingTail
from dtopipe.sinks.grouped.suffix import TAIL_SUFFIX
from dtopipe.sinks.grouped.tail import TailContent, TailFile, packed_size, size_from, tail_path
from dtopipe.sinks.rows.null_ranges import NullList

# Footers that are no longer the last one may be one part in so many of a file, and so many bytes in any case.
_DEAD_PART = 16
_DEAD_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a file is: its bytes up to and with the last footer, those of its groups alone, and how many these are.

    A format adds what else it needs to go back to there.
    """

    size: int = 0
    group_bytes: int = 0
    n_groups: int = 0


class GrowingFile(Protocol):
    """What `add` writes counts once `put_footer` has returned. Raises OSError, and is to be cut back then."""

    @property
    def extent(self) -> Extent:
        """How far it is, with its last footer."""

    @property
    def fd(self) -> int:
        """The open file, to be synced."""

    def add(self, content: TailContent, start: int, stop: int) -> None:
        """Write a group of these samples of a tail, counted from 0."""

    def put_footer(self, metadata: FileMetadata, *, durable: bool) -> None:
        """Make a whole file of all the groups so far.

        `durable`: what was committed has been promised to survive a power cut, which must not leave a footer of what
        is not on the disk.
        """

    def cut_back(self, extent: Any) -> None:
        """Forget what came after `extent`, which was this file's own once."""

    def close(self) -> None:
        """Give up the file."""


class GroupedWriter(ABC):
    """A file of groups of rows, and a tail beside it; the subclass says what the file is."""

    retries = True
    # As topologies have the type.
    type_name = ""

    def __init__(self, output: OutputOptions) -> None:
        if output.path is None:
            what = f"a {self.type_name} sink writes to a file"
            raise SinkError(None, what, f"give it a path, such as path: run.{self.type_name}")
        self.path = output.path
        self.output = output
        self._run: _Run | None = None

    @abstractmethod
    def ensure_held(self, stream: Stream) -> None:
        """Raise SinkError where such a file cannot hold this stream."""

    @abstractmethod
    def group_rows(self, stream: Stream) -> int:
        """How many rows wait for each other."""

    @abstractmethod
    def growing_file(self, stream: Stream, size: int) -> GrowingFile:
        """Open the file and go on behind its first `size` bytes; 0: its first footer begins it. Raises SinkError."""

    def tail_file(self, stream: Stream, size: int) -> TailFile:
        """Open the tail, cut back to `size` bytes. Raises SinkError."""
        return (ReadingTail if stream.polled else Tail)(tail_path(self.path), stream, size)

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """Lock the file, and cut it back to the last commit or begin it. Raises SinkError."""
        self.ensure_held(stream)
        record = CommitRecord.resume(self.path, stream.run_id) if resume else None
        if record is None:
            record = self._begun(stream, start)
        try:
            with contextlib.ExitStack() as opened, sink_errors(self.path):
                file = self.growing_file(stream, record.data_bytes)
                opened.callback(file.close)
                tail = self.tail_file(stream, size_from(record.extra))
                opened.callback(tail.close)
                group_samples = max(1, self.group_rows(stream) // rows_a_sample(stream, self.output.layout))
                run = _Run(self.path, stream, self.output.layout, group_samples, record, file, tail)
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

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note; they are in the file once it is closed."""
        self._opened().note(marks, metadata)

    def commit(self) -> Position:
        """Move the mark behind what was appended; encode what fills a group."""
        return self._opened().commit()

    def sync(self) -> Position:
        """File and tail first, then their record."""
        return self._opened().sync()

    def close(self) -> Position:
        """Commit, make the tail the last group, and leave one file."""
        position = self._opened().complete()
        self.abandon()
        return position

    def abandon(self) -> None:
        """Let go of files and lock; what was not committed is cut away by whoever resumes."""
        if self._run is not None:
            self._run.release()
            self._run = None

    @property
    def rows_to_group(self) -> int:
        """After how many more rows a commit finds a whole number of groups."""
        return self._opened().rows_to_group

    def files(self) -> Sequence[Path]:
        """As FileOutput.files."""
        files = record_path(self.path), self.path
        return files if self._run is None else (*files, tail_path(self.path))

    def _begun(self, stream: Stream, start: int) -> CommitRecord:
        ensure_not_written(self.path)
        if self.output.on_exists is OnExists.APPEND and self.path.exists():
            what = f"a {self.type_name} file holds one run"
            raise SinkError(self.path, what, "set on_exists: rename or overwrite, or choose another path")
        prepare(self.path, self.output.on_exists, (SUFFIX, TAIL_SUFFIX))
        return CommitRecord.begin(self.path, stream, self.type_name, start, 0)

    def _opened(self) -> _Run:
        if self._run is None:
            raise SinkError(self.path, "this sink is not open", "open it first; a closed sink is not opened again")
        return self._run


def rows_a_sample(stream: Stream, layout: Layout) -> int:
    """The rows of one sample: in the long layout one a channel; readings have one layout."""
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
        file: GrowingFile,
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
        self._marks: dict[int, Mark] = {}
        self._noted: Mapping[str, Any] | None = None
        self._appended = record.position

    def begin_file(self) -> None:
        """A file without rows, so that there is one to be read from the start."""
        self._file.put_footer(self._metadata(complete=False), durable=False)
        self._move_record(self._tail.size)
        sync_folder(self._path)

    @property
    def rows_to_group(self) -> int:
        return self._group_samples - self._tail.n_samples % self._group_samples

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
        add(self._new_gaps, [item for item in items if isinstance(item, Gap)])
        self._nulls.add(items)

    def _append_to_tail(self, items: Sequence[Block | Gap | Readings]) -> None:
        with sink_errors(self._tail.path):
            ensure_not_cut(self._tail.fd, self._tail.path, self._tail.size)
            self._tail.append(items)

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        self._marks |= {mark.number: mark for mark in marks}
        self._noted = self._noted if metadata is None else metadata

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

    @property
    def _is_promised(self) -> bool:
        """True if something of it is durable."""
        return self._record.position.durable > self._record.position.start

    def _is_due(self) -> bool:
        """True if the tail fills a group, and one more footer stays within its part of the file."""
        n_groups = self._tail.n_samples // self._group_samples
        extent = self._file.extent
        # Before the first group there is no telling: the codes themselves are more, or about as much.
        a_group = extent.group_bytes // extent.n_groups if extent.n_groups else self._tail.size
        footers = extent.size - extent.group_bytes
        allowed = max(_DEAD_BYTES, (extent.group_bytes + n_groups * a_group) // _DEAD_PART)
        return n_groups > 0 and footers <= allowed

    def _move_tail(self, *, complete: bool) -> None:
        """Everything in the tail becomes groups; after a failure all is as before."""
        self._ensure_not_cut()
        extent = self._file.extent
        try:
            with sink_errors(self._path):
                self._add_groups()
                self._file.put_footer(self._metadata(complete=complete), durable=complete or self._is_promised)
                self._move_record(0)
        except BaseException:
            with contextlib.suppress(OSError):
                self._file.cut_back(extent)
            raise
        try:
            if self._is_promised:
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
        with self._tail.samples() as samples:
            for start, stop in pairwise(bounds):
                if stop > start:
                    self._file.add(samples, start, stop)

    def _move_record(self, tail_bytes: int) -> None:
        extra = packed_size(tail_bytes)
        self._record.commit(self._appended, self._file.extent.size, self._new_gaps, extra, self._nulls.changes)
        add(self._gaps, self._new_gaps)
        self._new_gaps = []
        self._nulls.settle()

    def _metadata(self, *, complete: bool) -> FileMetadata:
        position = replace(self._appended, durable=self._appended.committed) if complete else self._appended
        gaps = add([*self._gaps], self._new_gaps)
        if not complete:
            return FileMetadata(self._stream, self._layout, position, gaps, complete, self._nulls.all())
        stream = self._stream if self._noted is None else replace(self._stream, metadata=self._noted)
        marks = [self._marks[number] for number in sorted(self._marks)]
        return FileMetadata(stream, self._layout, position, gaps, complete, self._nulls.all(), marks)
