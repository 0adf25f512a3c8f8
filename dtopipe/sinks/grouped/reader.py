"""Reads an output of groups back, also one whose writer was killed: its groups, then what is in the tail."""

from __future__ import annotations

import contextlib
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from dtopipe.model.engineering import engineering_values
from dtopipe.model.errors import SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.nulls import NullRange
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.commit_record import CommitSnapshot
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.reader import REFILL, record_of
from dtopipe.sinks.file.whole_part import DamagedBytes, Front, OnDamage, whole_position
from dtopipe.sinks.grouped.codes import TailPart, TailSamples
from dtopipe.sinks.grouped.metadata import FileMetadata
from dtopipe.sinks.grouped.readings import ROWS_AS_OBJECTS, TailReadings
from dtopipe.sinks.grouped.tail import packed_size, size_from, tail_path
from dtopipe.sinks.rows.reading_pieces import reading_pieces

_Rows = TypeVar("_Rows")
BATCH_VALUES = 2**19


@dataclass(frozen=True, slots=True)
class Opened:
    """A file up to a footer, what that says, and the commit record where it is that file's own.

    `file` is None where no footer is left. `stop`: byte behind the footer. `tail_bytes`: how much of the tail counts;
    `has_doubles`: what begins before the end of the row groups stands in both. `damage`: why it is not all that should
    be there.
    """

    file: Any
    metadata: FileMetadata
    record: CommitSnapshot | None
    stop: int
    tail_bytes: int
    has_doubles: bool
    damage: list[str]


class GroupedReader(ABC):
    """The run in an output of groups; with `run_id`, only if it is that one. Raises SinkError.

    Where there is no commit record, as beside a copy of the file alone, its own metadata says everything. A file that
    is shorter than its record says is read up to the last footer that is there, and its tail behind that.
    """

    # As people call it, and what its library raises.
    format_name: ClassVar[str]
    spoilt: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, path: Path, run_id: str | None = None, stream: Stream | None = None) -> None:
        self._path = path
        self._run_id = run_id
        self._stream = stream

    @abstractmethod
    def last_footer(self, raw: io.FileIO, size: int, behind: int = 0) -> tuple[int, Any]:
        """The byte behind the last whole footer in the first `size` bytes, and the file up to there; 0, None without.

        A file that grew has one behind each of its commits of groups; those up to byte `behind` are not looked at.
        """

    @abstractmethod
    def metadata_of(self, file: Any) -> FileMetadata:
        """What the file says of itself. Raises SinkError if it is none of ours."""

    @abstractmethod
    def rows_of_groups(self, file: Any, metadata: FileMetadata, on_damage: OnDamage) -> Iterator[OutputRows]:
        """The rows of every group that can be read, some at a time; none of no file."""

    @abstractmethod
    def rows_of_groups_within(
        self, file: Any, metadata: FileMetadata, wanted: Wanted, channels: Sequence[int], on_damage: OnDamage
    ) -> Iterator[OutputRows]:
        """At least those that are wanted, of these channels; `on_damage` is told of damage where it looks."""

    @abstractmethod
    def readings_of_groups(self, file: Any, metadata: FileMetadata, on_damage: OnDamage) -> Iterator[Readings]:
        """The same of a polled run, every column."""

    @abstractmethod
    def groups_end(self, file: Any) -> int:
        """The sample index behind the last row of the groups; 0 where none can be read."""

    def position(self) -> Position:
        """How far the output is."""
        with self._opened() as found:
            if found.record is not None and not found.damage:
                return found.record.position
            if found.record is None and found.metadata.complete:
                return found.metadata.position
        return self.reach()

    def reach(self) -> Position:
        """The position, and what of whole rows follows on it behind the last commit."""
        with self._opened(whole=True) as found:
            recorded, gaps = _known(found)
            if found.record is not None and found.record.closed and not found.damage:
                return recorded
            return whole_position(recorded, self._rows_of(found, lambda damage: None), gaps)

    def gaps(self) -> Sequence[Gap]:
        """Its gaps, in order, up to the position."""
        with self._opened() as found:
            _, gaps = _known(found)
            is_cut = bool(found.damage)
        if not is_cut:
            return gaps
        committed = self.position().committed
        return tuple(gap for gap in gaps if gap.span.stop <= committed)

    def marks(self) -> Sequence[Mark]:
        """The marks of a run whose file is complete, by their numbers."""
        with self._opened() as found:
            return found.metadata.marks

    def nulls(self) -> Sequence[NullRange]:
        """Where values are null though the board gave a sample."""
        with self._opened() as found:
            return found.metadata.nulls if found.record is None else found.record.nulls

    def batches(self) -> Iterator[OutputRows]:
        """Its rows, in the order of the file, up to the first damaged place: there SinkError is raised."""
        with self._opened() as found:
            yield from self._rows_of(found, self._refuse)
            for damage in found.damage:
                self._refuse(damage)

    def stream(self) -> Stream:
        """What the file itself says of the run. Raises SinkError."""
        with self._opened() as found:
            return found.metadata.stream

    def rows_within(self, wanted: Wanted, channels: Sequence[int]) -> Iterator[OutputRows]:
        """As PartReader.rows_within."""
        with self._opened() as found:
            if found.file is not None:
                yield from self.rows_of_groups_within(found.file, found.metadata, wanted, channels, self._refuse)
            for rows in self._rows_of_tail(found, self._refuse):
                if (part := rows.of_channels(channels)) is not None:
                    yield part
            for damage in found.damage:
                self._refuse(damage)

    def sound_batches(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """The rows that can be read; `on_damage` is told of what is passed over, and of a damaged commit record."""
        with self._opened(whole=True) as found:
            yield from self._rows_of(found, on_damage)
            for damage in found.damage:
                on_damage(damage)
            for damage in record_of(self._path)[1]:
                on_damage(damage)

    def readings(self, on_damage: OnDamage | None = None) -> Iterator[Readings]:
        """The readings of a polled run, every column of them; where nobody asks, none may be damaged."""
        is_whole, on_damage = on_damage is not None, on_damage or self._refuse
        with self._opened(whole=is_whole) as found:
            yield from self.readings_of_groups(found.file, found.metadata, on_damage)
            yield from self._of_tail(found, ROWS_AS_OBJECTS, on_damage, reading_pieces)

    def front(self) -> Front | None:
        """As FileReader.front: all groups, and the tail up to its first damaged frame."""
        with self._opened(whole=True) as found:
            if found.metadata.complete and found.record is None and found.stop == self._path.stat().st_size:
                return Front(found.metadata.position.committed, found.stop, packed_size(0))
            record = found.record
            if record is None or found.stop != record.data_bytes:
                return None
            damage: list[str] = []
            stop = record.position.start
            for rows in self.rows_of_groups(found.file, found.metadata, damage.append):
                stop = max(stop, int(rows.sample_index.max()) + 1)
            if damage:
                return None
            end = 0
            if found.tail_bytes:
                kind, path, stream = self._kind(found), tail_path(self._path), found.metadata.stream
                damaged = DamagedBytes(lambda damage: None)
                kind(path, stream, found.tail_bytes, damaged).close()
                end = found.tail_bytes if damaged.first is None else damaged.first
                with kind(path, stream, end) as samples:
                    n_samples = samples.n_samples
                    samples.behind(stop)
                    if not samples.n_samples:
                        # A writer was killed before it could empty the tail, which groups have.
                        end = 0
                    elif samples.n_samples < n_samples:
                        return None
                    stop = max(stop, samples.stop or 0)
            return Front(stop, found.stop, packed_size(end), has_more=end > 0)

    def _rows_of(self, found: Opened, on_damage: OnDamage) -> Iterator[OutputRows]:
        yield from self.rows_of_groups(found.file, found.metadata, on_damage)
        yield from self._rows_of_tail(found, on_damage)

    def _rows_of_tail(self, found: Opened, on_damage: OnDamage) -> Iterator[OutputRows]:
        metadata = found.metadata
        if metadata.stream.polled:
            yield from self._of_tail(found, ROWS_AS_OBJECTS, on_damage, lambda part: _rows_of_readings(part, metadata))
        else:
            n_rows = max(1, BATCH_VALUES // (len(metadata.stream.channels) + 3))
            yield from self._of_tail(found, n_rows, on_damage, lambda part: _rows_of_codes(part, metadata))

    def _of_tail(
        self, found: Opened, n_rows: int, on_damage: OnDamage, rows_of: Callable[[Any], Iterable[_Rows]]
    ) -> Iterator[_Rows]:
        """What `rows_of` makes of the samples of the tail that no group has, some at a time."""
        if not found.tail_bytes:
            return
        damage: list[str] = []
        is_open = found.record is not None and not found.record.closed and not found.damage
        committed = size_from(found.record.extra) if found.record is not None and is_open else None
        missed = DamagedBytes(damage.append, tail_path(self._path).name, committed)
        with self._kind(found)(tail_path(self._path), found.metadata.stream, found.tail_bytes, missed) as samples:
            missed.end()
            self._ensure_as_it_was(found)
            if found.has_doubles:
                samples.behind(self.groups_end(found.file))
            for start in range(0, samples.n_samples, n_rows):
                part = samples.part(start, start + n_rows)
                parts = list(rows_of(part))
                self._ensure_as_it_was(found)
                yield from parts
        for each in damage:
            on_damage(each)

    def _ensure_as_it_was(self, found: Opened) -> None:
        now = record_of(self._path)[0]
        if found.record is not None and (now is None or now.data_bytes != found.record.data_bytes):
            raise SinkError(self._path, "its writer went on while it was read", "read it again")

    @staticmethod
    def _kind(found: Opened) -> Any:
        return TailReadings if found.metadata.stream.polled else TailSamples

    @contextlib.contextmanager
    def _opened(self, *, whole: bool = False) -> Iterator[Opened]:
        """The file up to the last commit, or with `whole` all that is whole of it."""
        with sink_errors(self._path), self._path.open("rb", buffering=0) as raw:
            size = os.fstat(raw.fileno()).st_size
            record, _ = record_of(self._path)
            if record is not None and not record.data_bytes:
                record = None
            wanted = size if record is None else record.data_bytes
            stop, file = self.last_footer(raw, min(size, wanted))
            if whole and record is not None and size > stop:
                further, longer = self.last_footer(raw, size, stop)
                stop, file = (further, longer) if longer is not None else (stop, file)
            metadata = self._metadata(file, record)
            if record is not None and record.stream.run_id != metadata.stream.run_id:
                record, wanted = None, size
            if self._run_id is not None and metadata.stream.run_id != self._run_id:
                raise SinkError(self._path, f"holds run {metadata.stream.run_id}, not {self._run_id}", "see its name")
            damage = []
            if stop < wanted:
                there = f"it is read up to byte {stop:,}, where one is" if stop else "none is left"
                damage.append(f"there is no whole footer at byte {wanted:,}, its end: {there}")
            tail_bytes, is_all = self._tail_size(record, metadata, damage, whole=whole or stop != wanted)
            try:
                yield Opened(file, metadata, record, stop, tail_bytes, is_all, damage)
            except self.spoilt as error:
                raise SinkError(self._path, f"cannot be read: {error}", REFILL) from error
            finally:
                if file is not None:
                    file.close()

    def _metadata(self, file: Any, record: CommitSnapshot | None) -> FileMetadata:
        """What the footer says; without one, what is known of the stream, if samples wait in a tail."""
        if file is not None:
            return self.metadata_of(file)
        stream = record.stream if record is not None else self._stream
        if stream is None or not tail_path(self._path).exists():
            raise SinkError(self._path, f"is not a whole {self.format_name} file: no footer of it can be read", REFILL)
        position = record.position if record is not None else Position()
        return FileMetadata(stream, Layout.WIDE, position, record.gaps if record is not None else (), complete=False)

    def _tail_size(
        self, record: CommitSnapshot | None, metadata: FileMetadata, damage: list[str], *, whole: bool
    ) -> tuple[int, bool]:
        """How much of the tail counts, and whether it may have what row groups have too."""
        there = 0
        with contextlib.suppress(FileNotFoundError):
            there = tail_path(self._path).stat().st_size
        if record is None:
            return (0 if metadata.complete and not damage else there), True
        wanted = size_from(record.extra)
        if damage and whole:
            return there, True
        if there < wanted:
            name = tail_path(self._path).name
            damage.append(f"{name} has {there:,} bytes of the {wanted:,} that were committed")
        if not whole or record.closed or there <= wanted:
            return min(there, wanted), False
        return there, True

    def _refuse(self, damage: str) -> None:
        raise SinkError(self._path, damage, REFILL)


def _known(found: Opened) -> tuple[Position, Sequence[Gap]]:
    """What was committed: by the record, else by the footer."""
    if found.record is not None:
        return found.record.position, found.record.gaps
    return found.metadata.position, found.metadata.gaps


def _rows_of_codes(part: TailPart, metadata: FileMetadata) -> Iterator[OutputRows]:
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


def _rows_of_readings(columns: Sequence[Sequence[Any]], metadata: FileMetadata) -> Iterator[OutputRows]:
    index, t_mono_ns, t_utc_ns = (np.array(columns[number], np.int64) for number in range(3))
    values = [
        np.array([np.nan if value is None else value for value in columns[number]], np.float64)
        for number, column in enumerate(reading_columns(metadata.stream.channels))
        if column.channel is not None
    ]
    yield OutputRows(index, t_mono_ns, t_utc_ns, values)
