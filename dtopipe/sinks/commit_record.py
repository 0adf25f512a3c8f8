"""`PATH.dtopipe`: how much of the output beside it is committed, and which gaps belong to it.

Two alternating fixed-size records with checksums, then an append-only list of gaps; PROTOCOL.md specifies the bytes.
A record that a kill tore is not valid, and the other one is one commit older. The file is also the output's lock.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dtopipe.host.lock import FileLock, LockHeld, is_held
from dtopipe.model.errors import OutputLocked, SinkError, WireError
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Stream
from dtopipe.sinks.outputs import sink_error, sink_errors
from dtopipe.wire.describe import describe_stream, stream_from

SUFFIX = ".dtopipe"
MOST_EXTRA_BYTES = 32
_MAGIC = b"DTOPIPEC"
_VERSION = 1
# magic, version, bytes of the JSON header
_HEAD = struct.Struct("<8sII")
# generation, start, committed, durable, samples, gap_samples, dropped, data_bytes, n_gaps; closed, bytes of extra
_RECORD = struct.Struct(f"<Q6qQQBB6x{MOST_EXTRA_BYTES}s")
_CHECKSUM = struct.Struct("<I")
_RECORD_BYTES = 128
# start, stop, t_utc_ns, cause; checksum
_GAP = struct.Struct("<qqqI")
_GAP_BYTES = _GAP.size + _CHECKSUM.size
_ALIGN = 64
_MOST_HEADER_BYTES = 16 * 2**20


def record_path(path: Path) -> Path:
    """Where the commit record of an output is."""
    return path.with_name(path.name + SUFFIX)


@dataclass(frozen=True, slots=True)
class CommitSnapshot:
    """What a commit record says. `data_origin`: where in the output this run's data begin, in bytes."""

    sink_type: str
    stream: Stream
    data_origin: int
    position: Position
    data_bytes: int
    closed: bool
    extra: bytes
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class _State:
    generation: int
    position: Position
    data_bytes: int
    n_gaps: int
    closed: bool
    extra: bytes


class CommitRecord:
    """The record of an output that is being written; holds its lock from `begin` or `resume` to `release`."""

    def __init__(self, path: Path, lock: FileLock, fd: int, records_at: int, state: _State, origin: int) -> None:
        self._path = path
        self._lock = lock
        self._fd = fd
        self._records_at = records_at
        self._state = state
        self.data_origin = origin

    @classmethod
    def begin(cls, path: Path, stream: Stream, sink_type: str, start: int, data_origin: int) -> CommitRecord:
        """A new record for the output at `path`, nothing committed. Raises OutputLocked, SinkError."""
        lock = _locked(path)
        try:
            with sink_errors(path):
                header = {
                    "sink_type": sink_type,
                    "data_origin": data_origin,
                    "stream": describe_stream(stream),
                }
                text = json.dumps(header).encode()
                records_at = -(-(_HEAD.size + len(text)) // _ALIGN) * _ALIGN
                fd = os.open(record_path(path), os.O_RDWR | getattr(os, "O_BINARY", 0))
                os.ftruncate(fd, 0)
                _write_at(fd, (_HEAD.pack(_MAGIC, _VERSION, len(text)) + text).ljust(records_at, b"\0"), 0)
                state = _State(0, Position(start=start, committed=start, durable=start), data_origin, 0, False, b"")
                record = cls(path, lock, fd, records_at, state, data_origin)
                record._put(state)
                return record
        except BaseException:
            lock.release()
            raise

    @classmethod
    def resume(cls, path: Path, run_id: str) -> CommitRecord | None:
        """The record of this run's output, where it was left; None if there is none. Raises OutputLocked, SinkError."""
        with sink_errors(path):
            # Taking the lock would make the file.
            if not record_path(path).exists():
                return None
        lock = _locked(path)
        try:
            with sink_errors(path):
                data = record_path(path).read_bytes()
                found = _parsed(path, data) if data else None
                if found is None or found[0]["stream"]["run_id"] != run_id:
                    lock.release()
                    return None
                header, records_at, state = found
                fd = os.open(record_path(path), os.O_RDWR | getattr(os, "O_BINARY", 0))
                return cls(path, lock, fd, records_at, state, int(header["data_origin"]))
        except BaseException:
            lock.release()
            raise

    @property
    def position(self) -> Position:
        """How far the output is."""
        return self._state.position

    @property
    def data_bytes(self) -> int:
        """Length of the output at the last commit; what is behind it is cut away on resume."""
        return self._state.data_bytes

    @property
    def extra(self) -> bytes:
        """The sink's own state at the last commit."""
        return self._state.extra

    def gaps(self) -> list[Gap]:
        """Every committed gap, in order."""
        with sink_errors(self._path):
            data = _read_at(self._fd, self._state.n_gaps * _GAP_BYTES, self._gaps_at)
            return _gaps(self._path, data, self._state.n_gaps)

    def commit(self, position: Position, data_bytes: int, gaps: Sequence[Gap] = (), extra: bytes = b"") -> Position:
        """Move the mark; the data up to `data_bytes` are in the output already. Survives every process."""
        with sink_errors(self._path):
            if gaps:
                packed = b"".join(_packed_gap(gap) for gap in gaps)
                _write_at(self._fd, packed, self._gaps_at + self._state.n_gaps * _GAP_BYTES)
            n_gaps = self._state.n_gaps + len(gaps)
            self._put(_State(self._state.generation + 1, position, data_bytes, n_gaps, False, extra))
        return position

    def sync(self) -> Position:
        """What is committed is durable from now on; the caller has synced the data before."""
        position = replace(self._state.position, durable=self._state.position.committed)
        with sink_errors(self._path):
            self._put(replace(self._state, generation=self._state.generation + 1, position=position))
            os.fsync(self._fd)
        return position

    def close(self) -> Position:
        """The output is complete; the caller has synced it. Gives up the lock."""
        with sink_errors(self._path):
            position = replace(self._state.position, durable=self._state.position.committed)
            state = replace(self._state, generation=self._state.generation + 1, position=position, closed=True)
            self._put(state)
            os.fsync(self._fd)
        self.release()
        return position

    def release(self) -> None:
        """Give up file and lock, leaving the mark where it is. Harmless twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._lock.release()

    @property
    def _gaps_at(self) -> int:
        return self._records_at + 2 * _RECORD_BYTES

    def _put(self, state: _State) -> None:
        _write_at(self._fd, _packed(state), self._records_at + state.generation % 2 * _RECORD_BYTES)
        self._state = state


def read_commit_record(path: Path) -> CommitSnapshot | None:
    """What the record of the output at `path` says now, without lock, also while it is written; None if there is none.

    Raises SinkError if it is damaged.
    """
    with sink_errors(path):
        try:
            data = record_path(path).read_bytes()
        except FileNotFoundError:
            return None
    if not data:
        return None
    header, records_at, state = _parsed(path, data)
    gaps_at = records_at + 2 * _RECORD_BYTES
    return CommitSnapshot(
        sink_type=str(header["sink_type"]),
        stream=stream_from(header["stream"]),
        data_origin=int(header["data_origin"]),
        position=state.position,
        data_bytes=state.data_bytes,
        closed=state.closed,
        extra=state.extra,
        gaps=tuple(_gaps(path, data[gaps_at:], state.n_gaps)),
    )


def ensure_not_written(path: Path) -> None:
    """Before an output is moved or begun anew. Raises OutputLocked if another process is writing it."""
    with sink_errors(path):
        if is_held(record_path(path)):
            raise _written_by_another(path)


def _locked(path: Path) -> FileLock:
    lock = FileLock(record_path(path))
    try:
        lock.acquire()
    except LockHeld as error:
        raise _written_by_another(path) from error
    except OSError as error:
        raise sink_error(path, error) from error
    return lock


def _written_by_another(path: Path) -> OutputLocked:
    return OutputLocked(
        path, "another process is writing this output", "wait for that run to end, or choose another path"
    )


def _parsed(path: Path, data: bytes) -> tuple[Mapping[str, Any], int, _State]:
    """(header, offset of the records, the valid record with the highest generation)."""
    try:
        magic, version, length = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or length > _MOST_HEADER_BYTES:
            raise WireError("it is not a commit record of this version")
        header = json.loads(data[_HEAD.size : _HEAD.size + length])
        if not isinstance(header, dict) or not isinstance(header.get("stream"), dict):
            raise WireError("its header is damaged")
    except (struct.error, ValueError, WireError) as error:
        raise _damaged(path, str(error)) from error
    records_at = -(-(_HEAD.size + length) // _ALIGN) * _ALIGN
    slots = (data[records_at + n * _RECORD_BYTES : records_at + (n + 1) * _RECORD_BYTES] for n in (0, 1))
    states = [state for state in map(_unpacked, slots) if state]
    if not states:
        raise _damaged(path, "neither of its two records is whole")
    return header, records_at, max(states, key=lambda state: state.generation)


def _packed(state: _State) -> bytes:
    p = state.position
    body = _RECORD.pack(
        state.generation, p.start, p.committed, p.durable, p.samples, p.gap_samples, p.dropped,
        state.data_bytes, state.n_gaps, state.closed, len(state.extra), state.extra,
    ).ljust(_RECORD_BYTES - _CHECKSUM.size, b"\0")  # fmt: skip
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _unpacked(data: bytes) -> _State | None:
    if len(data) != _RECORD_BYTES:
        return None
    body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if _CHECKSUM.pack(zlib.crc32(body)) != checksum:
        return None
    generation, *numbers, data_bytes, n_gaps, closed, n_extra, extra = _RECORD.unpack_from(body)
    return _State(generation, Position(*numbers), data_bytes, n_gaps, bool(closed), extra[:n_extra])


def _packed_gap(gap: Gap) -> bytes:
    body = _GAP.pack(gap.span.start, gap.span.stop, gap.t_utc_ns, gap.cause.code)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _gaps(path: Path, data: bytes, count: int) -> list[Gap]:
    found = []
    for number in range(count):
        entry = data[number * _GAP_BYTES : (number + 1) * _GAP_BYTES]
        body = entry[: _GAP.size]
        if len(entry) != _GAP_BYTES or _CHECKSUM.pack(zlib.crc32(body)) != entry[_GAP.size :]:
            raise _damaged(path, f"gap {number} of {count} is torn")
        start, stop, t_utc_ns, cause = _GAP.unpack(body)
        found.append(Gap(Span(start, stop), Cause.from_code(cause), t_utc_ns))
    return found


def _damaged(path: Path, why: str) -> SinkError:
    return SinkError(
        record_path(path), f"the commit record is damaged: {why}", "keep the output, and move this file away to read it"
    )


def _write_at(fd: int, data: bytes, offset: int) -> None:
    # os.pwrite is not there on Windows; one thread writes, so that seek and write are as good.
    os.lseek(fd, offset, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_at(fd: int, n_bytes: int, offset: int) -> bytes:
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, n_bytes)
