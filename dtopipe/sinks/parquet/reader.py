"""Reads a Parquet output back, also one whose writer was killed: its row groups, then what is in the tail."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import engineering_values
from dtopipe.model.errors import SinkError
from dtopipe.model.nulls import NullRange
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.commit_record import CommitSnapshot
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.reader import REFILL, record_of
from dtopipe.sinks.file.whole_part import DamagedBytes, Front, OnDamage, whole_position
from dtopipe.sinks.parquet.footer import BRIDGE_BYTES, MAGIC, is_bridge
from dtopipe.sinks.parquet.metadata import FileMetadata, metadata_from
from dtopipe.sinks.parquet.pyarrow_extra import pa, pq
from dtopipe.sinks.parquet.readings import TailReadings
from dtopipe.sinks.parquet.tail import TailPart, TailSamples, packed_size, size_from, tail_path
from dtopipe.sinks.rows.long_words import MOST_WORDS, WORD_COLUMNS
from dtopipe.sinks.rows.reading_pieces import reading_pieces

_Rows = TypeVar("_Rows")
_SEARCHED_BYTES = 2**20
_BATCH_VALUES = 2**19
# Of a column at a time: a column chunk whole would be 8 MB for each channel.
_READ_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class _Opened:
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


class ParquetReader:
    """The run in a Parquet output; with `run_id`, only if it is that one. Raises SinkError.

    Where there is no commit record, as beside a copy of the file alone, its own metadata says everything. A file that
    is shorter than its record says is read up to the last footer that is there, and its tail behind that.
    """

    def __init__(self, path: Path, run_id: str | None = None, stream: Stream | None = None) -> None:
        self._path = path
        self._run_id = run_id
        self._stream = stream

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
            columns = reading_columns(found.metadata.stream.channels)
            n_rows = max(1, _BATCH_VALUES // len(columns))
            for batch in _batches(found.file, n_rows, on_damage):
                arrays = [batch.column(batch.schema.get_field_index(column.name)) for column in columns]
                yield from _whole_readings(columns, arrays)
            yield from self._of_tail(found, n_rows, on_damage, lambda part: _whole_readings(columns, part))

    def words(self) -> Collection[tuple[Any, ...]]:
        """What rows of the long layout say besides numbers, each once, in the order of WORD_COLUMNS."""
        known: set[tuple[Any, ...]] = set()
        with self._opened(whole=True) as found:
            if found.metadata.layout is not Layout.LONG or found.metadata.stream.polled:
                return known
            for batch in found.file.iter_batches(2**16, columns=list(WORD_COLUMNS), use_threads=False):
                table = pa.Table.from_batches([batch]).select(WORD_COLUMNS).group_by(list(WORD_COLUMNS)).aggregate([])
                known.update(zip(*(table.column(name).to_pylist() for name in WORD_COLUMNS), strict=True))
                if len(known) > MOST_WORDS:
                    break
        return known

    def front(self) -> Front | None:
        """As FileReader.front: all row groups, and the tail up to its first damaged frame."""
        with self._opened(whole=True) as found:
            if found.metadata.complete and found.record is None and found.stop == self._path.stat().st_size:
                return Front(found.metadata.position.committed, found.stop, packed_size(0))
            record = found.record
            if record is None or found.stop != record.data_bytes:
                return None
            damage: list[str] = []
            stop = record.position.start
            for batch in _batches(found.file, _BATCH_VALUES, damage.append):
                stop = max(stop, _last_index(batch) + 1)
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
                        # A writer was killed before it could empty the tail, which row groups have.
                        end = 0
                    elif samples.n_samples < n_samples:
                        return None
                    stop = max(stop, samples.stop or 0)
            return Front(stop, found.stop, packed_size(end), has_more=end > 0)

    def _rows_of(self, found: _Opened, on_damage: OnDamage) -> Iterator[OutputRows]:
        metadata = found.metadata
        is_long = metadata.layout is Layout.LONG and not metadata.stream.polled
        n_channels = len(metadata.stream.channels)
        n_rows = max(1, _BATCH_VALUES // (4 if is_long else n_channels + 3))
        rows_of = _long if is_long else _wide
        for batch in _batches(found.file, n_rows, on_damage):
            yield from rows_of(batch, metadata.stream)
        of_part = _rows_of_readings if metadata.stream.polled else _rows_of_codes
        n_rows = max(1, _BATCH_VALUES // (n_channels + 3))
        yield from self._of_tail(found, n_rows, on_damage, lambda part: of_part(part, metadata))

    def _of_tail(
        self, found: _Opened, n_rows: int, on_damage: OnDamage, rows_of: Callable[[Any], Iterable[_Rows]]
    ) -> Iterator[_Rows]:
        """What `rows_of` makes of the samples of the tail that no row group has, some at a time."""
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
                samples.behind(_groups_end(found))
            for start in range(0, samples.n_samples, n_rows):
                part = samples.part(start, start + n_rows)
                parts = list(rows_of(part))
                self._ensure_as_it_was(found)
                yield from parts
        for each in damage:
            on_damage(each)

    def _ensure_as_it_was(self, found: _Opened) -> None:
        now = record_of(self._path)[0]
        if found.record is not None and (now is None or now.data_bytes != found.record.data_bytes):
            raise SinkError(self._path, "its writer went on while it was read", "read it again")

    @staticmethod
    def _kind(found: _Opened) -> Any:
        return TailReadings if found.metadata.stream.polled else TailSamples

    @contextlib.contextmanager
    def _opened(self, *, whole: bool = False) -> Iterator[_Opened]:
        """The file up to the last commit, or with `whole` all that is whole of it."""
        with sink_errors(self._path), self._path.open("rb", buffering=0) as raw:
            size = os.fstat(raw.fileno()).st_size
            record, _ = record_of(self._path)
            if record is not None and not record.data_bytes:
                record = None
            wanted = size if record is None else record.data_bytes
            stop, file = _last_footer(raw, min(size, wanted))
            if whole and record is not None and size > stop:
                further, longer = _last_footer(raw, size, stop)
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
                yield _Opened(file, metadata, record, stop, tail_bytes, is_all, damage)
            except pa.ArrowException as error:
                raise SinkError(self._path, f"cannot be read: {error}", REFILL) from error

    def _metadata(self, file: Any, record: CommitSnapshot | None) -> FileMetadata:
        """What the footer says; without one, what is known of the stream, if samples wait in a tail."""
        if file is not None:
            return metadata_from(self._path, file.metadata.metadata)
        stream = record.stream if record is not None else self._stream
        if stream is None or not tail_path(self._path).exists():
            raise SinkError(self._path, "is not a whole Parquet file: no footer of it can be read", REFILL)
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


def _known(found: _Opened) -> tuple[Position, Sequence[Gap]]:
    """What was committed: by the record, else by the footer."""
    if found.record is not None:
        return found.record.position, found.record.gaps
    return found.metadata.position, found.metadata.gaps


def _last_footer(raw: io.FileIO, size: int, behind: int = 0) -> tuple[int, Any]:
    """The byte behind the last whole footer in the first `size` bytes, and the file up to there; None without one.

    A file that grew has one behind each of its commits of row groups; those up to byte `behind` are not looked at.
    """
    stop = size
    while stop > max(behind, len(MAGIC)):
        try:
            if not _is_bridge(raw, stop):
                front = _Front(raw, stop)
                return stop, pq.ParquetFile(
                    front, pre_buffer=False, buffer_size=_READ_BYTES, page_checksum_verification=True
                )
        except (pa.ArrowException, OSError, ValueError):
            pass
        stop = _magic_before(raw, stop)
    return 0, None


def _is_bridge(raw: io.FileIO, stop: int) -> bool:
    """True if what ends at byte `stop` only leads to a footer that ends before it."""
    raw.seek(max(0, stop - BRIDGE_BYTES))
    return is_bridge(raw.read(BRIDGE_BYTES))


def _magic_before(raw: io.FileIO, stop: int) -> int:
    """The byte behind the last magic that ends before byte `stop`; 0 where there is none."""
    end = stop - 1
    while end > len(MAGIC):
        begin = max(0, end - _SEARCHED_BYTES)
        raw.seek(begin)
        at = raw.read(end - begin).rfind(MAGIC)
        if at >= 0:
            return begin + at + len(MAGIC)
        # A magic may lie across the border.
        end = begin + len(MAGIC) - 1 if begin else 0
    return 0


def _batches(file: Any, n_rows: int, on_damage: OnDamage) -> Iterator[Any]:
    """The record batches of every row group that can be read; of a damaged one those before the damage."""
    first = 0
    for group in range(0 if file is None else file.num_row_groups):
        n = file.metadata.row_group(group).num_rows
        read = 0
        try:
            for batch in file.iter_batches(n_rows, row_groups=[group], use_threads=False):
                read += batch.num_rows
                yield batch
        except (pa.ArrowException, OSError) as error:
            on_damage(f"row group {group} is damaged: rows {first + read:,} to {first + n:,} cannot be read ({error})")
        first += n


def _last_index(batch: Any) -> int:
    column = batch.column(batch.schema.get_field_index("sample_index"))
    return int(_whole(column).max())


def _groups_end(found: _Opened) -> int:
    """The sample index behind the last row of the row groups; 0 where none can be read."""
    for group in reversed(range(0 if found.file is None else found.file.num_row_groups)):
        with contextlib.suppress(pa.ArrowException, OSError):
            index = found.file.read_row_group(group, columns=["sample_index"], use_threads=False).column(0)
            if len(index):
                return int(_whole(index).max()) + 1
    return 0


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


def _rows_of_readings(columns: list[Any], metadata: FileMetadata) -> Iterator[OutputRows]:
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
