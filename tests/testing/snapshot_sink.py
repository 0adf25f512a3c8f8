"""A sink that is no growing file: one JSON document, written anew at each commit, made of what the contract names.

The document is made whole beside the output and takes its place; then the commit record says how far it is. Whoever is
killed in between leaves a document that has more than the record says: what is behind that is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dtopipe.model.engineering import engineering_values
from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions, OutputRows
from dtopipe.sinks.file.commit_record import SUFFIX, CommitRecord, ensure_not_written, read_commit_record
from dtopipe.sinks.file.errors import prepare, sink_errors, sync_folder

Rows = list[list[Any]]


class SnapshotReader:
    """Rows up to the last commit."""

    def __init__(self, path: Path, run_id: str) -> None:
        self._path = path
        found = read_commit_record(path)
        if found is None or found.stream.run_id != run_id:
            raise SinkError(path, "it has no commit record of this run", "copy its .dtopipe along with it")
        self._record = found

    def position(self) -> Position:
        return self._record.position

    def gaps(self) -> Sequence[Gap]:
        return self._record.gaps

    def batches(self) -> Iterator[OutputRows]:
        rows = [row for row in _read(self._path) if row[0] < self._record.position.committed]
        if rows:
            index, t_mono_ns, t_utc_ns = (np.array([row[k] for row in rows], np.int64) for k in range(3))
            values = np.array([row[3:] for row in rows], np.float64).T
            yield OutputRows(index, t_mono_ns, t_utc_ns, list(values))


class SnapshotWriter:
    """Keeps all rows in memory, as long as there are few of them."""

    Reader = SnapshotReader

    def __init__(self, output: OutputOptions) -> None:
        if output.path is None:
            raise SinkError(None, "a snapshot is a file", "give it a path")
        self._path, self._layout, self._on_exists = output.path, output.layout, output.on_exists
        self._record: CommitRecord | None = None

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        if stream.polled:
            raise SinkError(self._path, "a snapshot holds no readings", "choose another sink")
        if self._layout is not Layout.WIDE:
            raise SinkError(self._path, "a snapshot has the wide layout only", "set layout: wide")
        self._stream, self._items, self._rows = stream, list[Block | Gap | Readings](), Rows()
        if resume:
            self._record = CommitRecord.resume(self._path, stream.run_id)
        if self._record is None:
            ensure_not_written(self._path)
            if self._path.exists() and self._on_exists is OnExists.APPEND:
                raise SinkError(self._path, "a snapshot holds one run", "set on_exists: rename, or choose another path")
            prepare(self._path, self._on_exists, (SUFFIX,))
            self._record = CommitRecord.begin(self._path, stream, "snapshot", start, 0)
        committed = self._record.position.committed
        self._rows = [row for row in _read(self._path) if row[0] < committed]
        return self._record.position if self._path.exists() else self._written(self._record.position, ())

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        self._opened()
        self._items += items

    def commit(self) -> Position:
        record = self._opened()
        if not self._items:
            return record.position
        for block in self._items:
            if isinstance(block, Block):
                self._rows += self._rows_of(block)
        position = record.position.after(self._items)
        gaps = [item for item in self._items if isinstance(item, Gap)]
        self._items = []
        return self._written(position, gaps)

    def sync(self) -> Position:
        record = self._opened()
        with sink_errors(self._path), self._path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(self._path)
        return record.sync()

    def close(self) -> Position:
        self.commit()
        self.sync()
        position = self._opened().close()
        self._record = None
        return position

    def abandon(self) -> None:
        if self._record is not None:
            self._record.release()
            self._record = None

    def files(self) -> Sequence[Path]:
        # The document is another file at each commit, and so not among them.
        return (self._path.with_name(self._path.name + SUFFIX),)

    def _opened(self) -> CommitRecord:
        if self._record is None:
            raise SinkError(self._path, "this sink is not open", "open it first")
        return self._record

    def _written(self, position: Position, gaps: Sequence[Gap]) -> Position:
        draft = self._path.with_name(self._path.name + ".new")
        with sink_errors(self._path):
            text = json.dumps({"rows": self._rows}).encode()
            draft.write_bytes(text)
            draft.replace(self._path)
        return self._opened().commit(position, len(text), gaps)

    def _rows_of(self, block: Block) -> Rows:
        t_mono_ns = block.t_mono_ns(self._stream.clock)
        t_utc_ns = t_mono_ns + (block.anchor.t_utc_ns - block.anchor.t_mono_ns)
        index = np.arange(block.span.start, block.span.stop)
        values = [
            engineering_values(channel, codes, None if block.sensor_status is None else block.sensor_status[number])
            for number, (channel, codes) in enumerate(zip(self._stream.channels, block.codes, strict=True))
        ]
        columns = [each.tolist() for each in (index, t_mono_ns, t_utc_ns, *values)]
        return [list(row) for row in zip(*columns, strict=True)]


def _read(path: Path) -> Rows:
    if not path.exists():
        return []
    with sink_errors(path):
        found: Rows = json.loads(path.read_bytes())["rows"]
    return found
