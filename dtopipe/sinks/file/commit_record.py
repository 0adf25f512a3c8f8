"""`PATH.dtopipe`: how much of the output beside it is committed, and which gaps belong to it.

Two alternating fixed-size records with checksums, then an append-only list of gaps; PROTOCOL.md specifies the bytes.
A record that a kill tore is not valid, and the other one is one commit older. The file is also the output's lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dtopipe.host.durability import sync_bytes
from dtopipe.host.lock import FileLock, LockHeld, is_held
from dtopipe.host.system_errors import replace_file
from dtopipe.model.errors import OutputLocked, SinkError, WireError
from dtopipe.model.nulls import NullRange
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.sinks.file.errors import sink_error, sink_errors, sync_folder
from dtopipe.sinks.file.growing_gap import GrowingGap, gaps_in, growing_in, grown, still
from dtopipe.wire.commit_bytes import (
    GAP_BYTES,
    MAGIC,
    MOST_EXTRA_BYTES,
    Header,
    State,
    entries_in,
    header_in,
    new_record,
    packed_gap,
    packed_nulls,
    state_in,
)
from dtopipe.wire.commit_snapshot import (
    SUFFIX,
    CommitSnapshot,
    committed_nulls,
    earlier_record_path,
    earlier_suffixes,
    read_snapshot,
    record_path,
)

__all__ = [
    "SUFFIX",
    "CommitRecord",
    "CommitSnapshot",
    "earlier_suffixes",
    "ensure_not_written",
    "keep_earlier",
    "read_commit_record",
    "record_path",
]


class CommitRecord:
    """The record of an output that is being written; holds its lock from `begin` or `resume` to `release`."""

    def __init__(
        self, path: Path, lock: FileLock, fd: int, header: Header, state: State, growing: GrowingGap | None = None
    ) -> None:
        self._path = path
        self._lock = lock
        self._fd = fd
        self._header = header
        self._state = state
        # Which entries of the list are ranges of nulls.
        self._null_places: list[int] = []
        self._growing = growing

    @classmethod
    def begin(cls, path: Path, stream: Stream, sink_type: str, start: int, data_origin: int) -> CommitRecord:
        """A new record for the output at `path`, nothing committed. Raises OutputLocked, SinkError."""
        lock = _locked(path)
        try:
            with sink_errors(path):
                position = Position(start=start, committed=start, durable=start)
                state = State(0, position, data_origin, 0, False, b"")
                data, header = new_record(stream, sink_type, data_origin, state)
                fd = os.open(record_path(path), os.O_RDWR | getattr(os, "O_BINARY", 0))
                record = cls(path, lock, fd, header, state)
        except BaseException:
            lock.release()
            raise
        try:
            with sink_errors(path):
                os.ftruncate(fd, 0)
                # The magic last: whoever is killed before has begun nothing.
                _write_at(fd, data[len(MAGIC) :], len(MAGIC))
                _write_at(fd, data[: len(MAGIC)], 0)
        except BaseException:
            record.release()
            raise
        return record

    @classmethod
    def resume(cls, path: Path, run_id: str) -> CommitRecord | None:
        """The record of this run's output, where it was left; None if there is none. Raises OutputLocked, SinkError."""
        with sink_errors(path):
            # Taking the lock would make the file.
            if not record_path(path).exists():
                return None
        lock = _locked(path)
        try:
            with sink_errors(path), _damage_of(path):
                data = record_path(path).read_bytes()
                header = header_in(data)
                if header is None or header.stream.run_id != run_id:
                    lock.release()
                    return None
                state = state_in(header, data)
                growing = growing_in(entries_in(data[header.gaps_at :], state.n_gaps), state.position)
                fd = os.open(record_path(path), os.O_RDWR | getattr(os, "O_BINARY", 0))
                return cls(path, lock, fd, header, state, growing)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def restore(
        cls,
        path: Path,
        stream: Stream,
        sink_type: str,
        data_origin: int,
        position: Position,
        data_bytes: int,
        gaps: Sequence[Gap],
        extra: bytes,
        *,
        closed: bool = False,
        nulls: Sequence[NullRange] = (),
    ) -> None:
        """Replace the record of an output that nobody writes by one that says what was found to be in it, and synced.

        Whoever is killed meanwhile leaves the old one. Raises OutputLocked, SinkError.
        """
        ensure_not_written(path)
        kept = committed_nulls(nulls, position)
        state = State(1, position, data_bytes, len(gaps) + len(kept), closed, extra, data_bytes)
        data, _ = new_record(stream, sink_type, data_origin, state)
        place = record_path(path)
        draft = place.with_name(f"{place.name}.new")
        with sink_errors(place):
            with draft.open("wb") as file:
                entries = [*map(packed_gap, gaps), *map(packed_nulls, kept)]
                file.write(data + b"".join(entries))
                file.flush()
                sync_bytes(file.fileno())
            replace_file(draft, place)
        sync_folder(place)

    @property
    def data_origin(self) -> int:
        """Where in the output this run's data begin, in bytes."""
        return self._header.data_origin

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
        return list(gaps_in(self._entries(), self._state.position))

    def nulls(self) -> list[NullRange]:
        """Every committed range of null values, as it was begun."""
        entries = self._entries()
        places = [number for number, each in enumerate(entries) if isinstance(each, NullRange)]
        nulls = [each for each in entries if isinstance(each, NullRange)]
        found = committed_nulls(nulls, self._state.position)
        # Those that a commit was to begin, and that did not come about, are behind the entries that count.
        self._null_places = places[: len(found)]
        return list(found)

    def _entries(self) -> list[Gap | NullRange]:
        with sink_errors(self._path), _damage_of(self._path):
            data = _read_at(self._fd, self._state.n_gaps * GAP_BYTES, self._header.gaps_at)
            return entries_in(data, self._state.n_gaps)

    def commit(
        self,
        position: Position,
        data_bytes: int,
        gaps: Sequence[Gap] = (),
        extra: bytes = b"",
        nulls: Mapping[int, NullRange] | None = None,
        *,
        in_synced_file: bool = False,
    ) -> Position:
        """Move the mark; the data up to `data_bytes` are in the output already. Survives every process.

        What was not triggered is one gap, which grows in its place: else quiet hours would fill the list.
        `nulls`: by number in the list of `nulls()`, what is new there or has grown. `in_synced_file`: the output goes
        on in another file, of which all was synced.
        """
        if len(extra) > MOST_EXTRA_BYTES:
            raise ValueError(f"{len(extra)} bytes of a sink's own state: at most {MOST_EXTRA_BYTES} are kept")
        with sink_errors(self._path):
            n_known, n_gaps = len(self._null_places), self._state.n_gaps
            begun = sorted(number for number in nulls or () if number >= n_known)
            change = grown(self._growing, gaps, n_gaps)
            gaps = change.new
            if change.rewritten is not None:
                # A disk writes a sector whole, and an entry is in one; the older record reads it up to its position.
                at = self._header.gaps_at + change.rewritten.place * GAP_BYTES
                _write_at(self._fd, packed_gap(change.rewritten.gap), at)
            packed = b"".join([packed_gap(gap) for gap in gaps] + [packed_nulls((nulls or {})[n]) for n in begun])
            if packed:
                _write_at(self._fd, packed, self._header.gaps_at + n_gaps * GAP_BYTES)
            for number in (nulls or {}).keys() - begun:
                # One that is too long for the older record is read up to its position.
                at = self._header.gaps_at + self._null_places[number] * GAP_BYTES
                _write_at(self._fd, packed_nulls((nulls or {})[number]), at)
            places = range(n_gaps + len(gaps), n_gaps + len(gaps) + len(begun))
            n_gaps = places.stop
            generation = self._state.generation + 1
            durable_bytes = data_bytes if in_synced_file else self._state.durable_bytes
            self._put(State(generation, position, data_bytes, n_gaps, False, extra, durable_bytes))
        self._null_places += places
        self._growing = still(change.growing, position)
        return position

    def sync(self) -> Position:
        """What is committed is durable from now on; the caller has synced the data before."""
        with sink_errors(self._path):
            state = _synced(self._state)
            self._put(state)
            sync_bytes(self._fd)
        return state.position

    def make_name_durable(self) -> None:
        """The record as it was begun survives a power cut, for outputs that say themselves what is committed."""
        with sink_errors(self._path):
            sync_bytes(self._fd)
        sync_folder(self._path)

    def retain(self, retained_from: int, extra: bytes) -> Position:
        """What is before this sample may be taken away from now on; the caller has synced the data before.

        Both records say so, each synced by itself: whichever of them a later kill or power cut tears, the other one
        knows.
        """
        for _ in range(2):
            state = _synced(self._state)
            position = replace(state.position, retained_from=retained_from)
            with sink_errors(self._path):
                self._put(replace(state, position=position, extra=extra))
                sync_bytes(self._fd)
        return self._state.position

    def carry(self, position: Position, gaps: Sequence[Gap], extra: bytes) -> Position:
        """Begin behind what was retired of the output that this one takes the place of: its account goes on.

        `gaps`: those before `position.retained_from`.
        """
        return self.commit(position, self._state.data_bytes, gaps, extra)

    def close(self) -> Position:
        """The output is complete; the caller has synced it. Gives up the lock."""
        with sink_errors(self._path):
            state = replace(_synced(self._state), closed=True)
            self._put(state)
            sync_bytes(self._fd)
        self.release()
        return state.position

    def release(self) -> None:
        """Give up file and lock, leaving the mark where it is. Harmless twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._lock.release()

    def _put(self, state: State) -> None:
        _write_at(self._fd, self._header.packed(state), self._header.place_of(state))
        self._state = state


def _synced(state: State) -> State:
    """The next record, by which everything that is committed is durable."""
    position = replace(state.position, durable=state.position.committed)
    return replace(state, generation=state.generation + 1, position=position, durable_bytes=state.data_bytes)


def read_commit_record(path: Path) -> CommitSnapshot | None:
    """What the record of the output at `path` says now, without lock, also while it is written; None if there is none.

    Raises SinkError if it is damaged.
    """
    with sink_errors(path), _damage_of(path):
        return read_snapshot(path)


def keep_earlier(path: Path) -> None:
    """It keeps the record of the run that an output belongs to before another is appended. Raises SinkError."""
    with sink_errors(path):
        try:
            data = record_path(path).read_bytes()
            header = header_in(data)
        except (FileNotFoundError, WireError):
            return
        if header is None:
            return
        place = earlier_record_path(path, header.stream.run_id)
        draft = place.with_name(f"{place.name}.new")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            sync_bytes(file.fileno())
        replace_file(draft, place)
    sync_folder(place)


def ensure_not_written(path: Path) -> None:
    """It is asked before an output is moved or begun anew. Raises OutputLocked if another process is writing it."""
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


@contextlib.contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    try:
        yield
    except WireError as error:
        raise SinkError(
            record_path(path),
            f"the commit record is damaged: {error}",
            "keep the output, and move this file away to read it",
        ) from error


def _write_at(fd: int, data: bytes, offset: int) -> None:
    # os.pwrite is not there on Windows; one thread writes, so that seek and write are as good.
    os.lseek(fd, offset, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_at(fd: int, n_bytes: int, offset: int) -> bytes:
    os.lseek(fd, offset, os.SEEK_SET)
    # A count that lies must not ask for more memory than there are bytes.
    return os.read(fd, max(0, min(n_bytes, os.fstat(fd).st_size - offset)))
