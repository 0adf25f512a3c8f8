"""What the sinks that append to one file have in common: bytes first, then the commit record."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from dtopipe.model.errors import OutputAway, SinkError
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions, Stage
from dtopipe.sinks.file.commit_record import (
    SUFFIX,
    CommitRecord,
    earlier_suffixes,
    ensure_not_written,
    keep_earlier,
    record_path,
)
from dtopipe.sinks.file.errors import prepare, sink_error, sink_errors, sync_file, sync_folder
from dtopipe.sinks.file.identity import opened_again, shortened
from dtopipe.sinks.rows.null_ranges import NullList

# Pieces are written together: a write of a megabyte takes half the time of the same in blocks. POSIX allows so many.
_JOINED_BYTES, _MOST_PIECES = 2**20, 1024
# Appending: what others cut off must not become zeros in front of what is written next.
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Gathered(NamedTuple):
    """Bytes to be written one behind the other; of arrays those in C order. `n_bytes`: of all pieces."""

    pieces: Sequence[Any]
    n_bytes: int


class FileWriter(ABC):
    """A SinkWriter whose output is one growing file; the subclass says what its bytes are."""

    sink_type: str
    retries = True
    # False for an output that says of each sample how its sensor was.
    lists_nulls = True

    def __init__(self, output: OutputOptions) -> None:
        if output.path is None:
            raise SinkError(None, f"a {self.sink_type} sink writes to a file", "give it a path")
        self.output = output
        self.path = output.path
        self._fd = -1
        self._record: CommitRecord | None = None
        self._pending: list[Block | Gap | Readings] = []
        self._nulls = NullList()
        self._size = 0
        self._name_is_durable = False

    @abstractmethod
    def header(self, stream: Stream) -> bytes:
        """The file's first bytes; raises SinkError if the stream cannot be stored."""

    @abstractmethod
    def encoded(self, items: Sequence[Block | Gap | Readings]) -> Iterable[bytes | Gathered]:
        """The bytes of these blocks and gaps, or readings and gaps."""

    @abstractmethod
    def begun(self, stream: Stream, extra: bytes) -> None:
        """Called once the output is open; `extra` is what `extra()` said at the last commit, empty at first."""

    def extra(self) -> bytes:
        """The sink's own state, up to 32 bytes, stored with each commit."""
        return b""

    def placed(self, part: bytes, at: int) -> bytes:
        """What `encoded` gave, as it is written from byte `at` of the file on."""
        return part

    def data_path(self, extra: bytes) -> Path:
        """The file that the bytes go to; `extra` is what `extra()` said at the last commit, empty at first."""
        return self.path

    def make_way(self) -> None:
        """Make the way free for a new output, as `on_exists` says. Raises OutputExists, SinkError."""
        with sink_errors(self.path):
            earlier = earlier_suffixes(self.path)
        prepare(self.path, self.output.on_exists, (SUFFIX, *earlier))

    def check_appendable(self, stream: Stream, file: BinaryIO) -> None:
        """Raise SinkError if this run's rows cannot follow what is in the file, which is not empty."""
        raise SinkError(
            self.path,
            f"a {self.sink_type} file holds one run",
            "set on_exists: rename or overwrite, or choose another path",
        )

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """As SinkWriter.open."""
        header = self.header(stream)
        self._stream = stream
        if resume:
            self._record = CommitRecord.resume(self.path, stream.run_id)
        try:
            if self._record is None:
                return self._begin(header, start, resume=resume)
            return self._go_on(self._record, header)
        except BaseException:
            self.abandon()
            raise

    def _begin(self, header: bytes, start: int, *, resume: bool) -> Position:
        ensure_not_written(self.path)
        # The file is made before its record, and has its first byte after it: only an empty one without a record can
        # be what a predecessor left. Any other is somebody else's.
        path = self.data_path(b"")
        left_over = resume and path.is_file() and not path.stat().st_size
        if not left_over:
            self.make_way()
        with sink_errors(path):
            self._fd = os.open(path, _OPEN_FLAGS, 0o666)
            origin = os.fstat(self._fd).st_size
            if origin:
                with path.open("rb") as file:
                    self.check_appendable(self._stream, file)
                keep_earlier(self.path)
        self._record = CommitRecord.begin(self.path, self._stream, self.sink_type, start, origin)
        return self._go_on(self._record, header)

    def _go_on(self, record: CommitRecord, header: bytes) -> Position:
        path = self.data_path(record.extra)
        self._nulls = NullList(record.nulls())
        with sink_errors(path):
            if self._fd < 0:
                # What has bytes that count is never made anew: it was there, and is away or was deleted.
                self._fd = opened_again(path, os.O_APPEND) if record.data_bytes else os.open(path, _OPEN_FLAGS, 0o666)
            there = os.fstat(self._fd).st_size
            if there < record.data_bytes:
                raise shortened(path, there, record.data_bytes)
            # Not without a need: ext4 writes a file that was once cut at its close, and lets that take its time.
            if there > record.data_bytes:
                self._cut_back(record.data_bytes)
            self._size = os.lseek(self._fd, 0, os.SEEK_END)
        self.begun(self._stream, record.extra)
        if record.data_bytes:
            return record.position
        self._put([header])
        return record.commit(record.position, self._size, (), self.extra())

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Write the bytes; they count once they are committed. What could not be written whole is taken back."""
        self._opened()
        self._ensure_untouched()
        size, state = self._size, self.extra()
        try:
            with self.output.doing(Stage.CONVERT):
                self._put(self.encoded(items), self.placed)
        except BaseException:
            self._take_back(size, state)
            raise
        self._pending += items
        if self.lists_nulls:
            self._nulls.add(items)

    def commit(self) -> Position:
        """Move the mark behind what was appended."""
        record = self._opened()
        if not self._pending:
            return record.position
        self._ensure_untouched()
        position = record.position.after(self._pending)
        has_gaps = position.gap_samples != record.position.gap_samples
        gaps = [item for item in self._pending if isinstance(item, Gap)] if has_gaps else []
        position = record.commit(position, self._size, gaps, self.extra(), self._nulls.changes)
        # Not before: a commit that failed for want of space is tried again.
        self._pending = []
        self._nulls.settle()
        return position

    def sync(self) -> Position:
        """The file and its name first, then its record."""
        record = self._opened()
        self._ensure_untouched()
        self._sync_output()
        return record.sync()

    def close(self) -> Position:
        """Commit, sync, close."""
        self.commit()
        self._ensure_untouched()
        self._sync_output()
        position = self._opened().close()
        self.abandon()
        return position

    def abandon(self) -> None:
        """Let go of file and lock."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1
        if self._record:
            self._record.release()
            self._record = None

    def gaps(self) -> Sequence[Gap]:
        """The gaps committed so far."""
        return self._opened().gaps()

    def files(self) -> Sequence[Path]:
        """As FileOutput.files: the commit record, and the file that is being written."""
        record = record_path(self.path)
        return (record,) if self._record is None else (record, self.data_path(self.extra()))

    def commit_beside(self, part: bytes, extra: bytes) -> None:
        """Write bytes that hold no samples, and commit them, everything else being committed. Raises SinkError.

        `extra`: what `extra()` says from then on.
        """
        record = self._opened()
        self._ensure_untouched()
        size, state = self._size, self.extra()
        try:
            self._put([part])
            record.commit(record.position, self._size, (), extra)
        except BaseException:
            self._take_back(size, state)
            raise

    @property
    def size(self) -> int:
        """Bytes in the file that is written, those included that are not committed."""
        return self._size

    def go_on_in(self, path: Path, header: bytes) -> None:
        """Complete the present file and write the next one, everything being committed. Raises SinkError.

        The subclass's `extra()` names the next file already; after an error the present one is written still.
        """
        record = self._opened()
        self._sync_output()
        fd, size = self._fd, self._size
        with sink_errors(path):
            self._fd = os.open(path, _OPEN_FLAGS | os.O_TRUNC, 0o666)
        self._size = 0
        try:
            self._put([header])
            # The record may reach the disk at any time from now on, and names a file that has to be there then.
            sync_file(self._fd, path)
            sync_folder(path)
            record.commit(record.position, self._size, (), self.extra(), in_synced_file=True)
        except BaseException:
            os.close(self._fd)
            self._fd, self._size = fd, size
            raise
        os.close(fd)

    @property
    def end(self) -> int:
        """Exclusive sample index up to which everything was appended."""
        return self._pending[-1].span.stop if self._pending else self._opened().position.committed

    def _opened(self) -> CommitRecord:
        if self._record is None:
            raise SinkError(self.path, "this sink is not open", "open it first; a closed sink is not opened again")
        return self._record

    def _ensure_untouched(self) -> None:
        """It makes sure that no other program has cut or written the file. Raises SinkError, or OutputAway."""
        with sink_errors(self.path):
            there = os.fstat(self._fd).st_size
        if there < self._size:
            raise shortened(self.data_path(self.extra()), there, self._size)
        if there > self._size:
            raise OutputAway(self.path, f"another program has added {there - self._size} bytes", "end that program")

    def _sync_output(self) -> None:
        sync_file(self._fd, self.path)
        if not self._name_is_durable:
            sync_folder(self.path)
            self._name_is_durable = True

    def _take_back(self, size: int, state: bytes) -> None:
        """As if nothing had been appended behind `size`. Raises SinkError where even that fails."""
        try:
            self._cut_back(size)
            self.begun(self._stream, state)
        except OSError as error:
            self.abandon()
            found = sink_error(self.path, error)
            # Half of it may be there still: whatever is wrong, the file is to be opened again, which cuts it back.
            raise OutputAway(found.path, found.message, found.remedy) from error

    def _cut_back(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    def _put(
        self, parts: Iterable[bytes | Gathered], placed: Callable[[bytes, int], bytes] = lambda part, at: part
    ) -> None:
        self._opened()
        held: list[Any] = []
        held_bytes = 0
        for part in parts:
            if isinstance(part, Gathered):
                held += part.pieces
                held_bytes += part.n_bytes
            else:
                part = placed(part, self._size + held_bytes)
                held.append(part)
                held_bytes += len(part)
            if held_bytes >= _JOINED_BYTES or len(held) >= _MOST_PIECES // 2:
                self._write(held, held_bytes)
                held, held_bytes = [], 0
        self._write(held, held_bytes)

    def _write(self, pieces: list[Any], n_bytes: int) -> None:
        with sink_errors(self.path), self.output.doing(Stage.WRITE):
            written = 0
            if 1 < len(pieces) <= _MOST_PIECES and hasattr(os, "writev"):
                written = os.writev(self._fd, pieces)
                self._size += written
                if written == n_bytes:
                    return
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                written = os.write(self._fd, rest)
                self._size += written
                rest = rest[written:]
