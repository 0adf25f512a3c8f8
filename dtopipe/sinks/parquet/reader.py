"""Reads a Parquet output back: its row groups, each of which can be damaged by itself."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings
from dtopipe.model.stream import Stream
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.whole_part import OnDamage
from dtopipe.sinks.grouped.front import FileFront
from dtopipe.sinks.grouped.metadata import FileMetadata
from dtopipe.sinks.grouped.reader import BATCH_VALUES, GroupedReader
from dtopipe.sinks.parquet.arrays import numbers_of
from dtopipe.sinks.parquet.footer import BRIDGE_BYTES, MAGIC, is_bridge
from dtopipe.sinks.parquet.metadata import metadata_of
from dtopipe.sinks.parquet.pyarrow_extra import pa, pq
from dtopipe.sinks.rows.long_words import MOST_WORDS, WORD_COLUMNS
from dtopipe.sinks.rows.reading_pieces import reading_pieces

TIME_NAMES = ("sample_index", "t_mono_ns", "t_utc")
LONG_NAMES = ("channel", *TIME_NAMES, "value")
# The times of the wide layout come first, those of the long one behind what names a row.
_LEADING_COLUMNS = 8
_SEARCHED_BYTES = 2**20
# Of a column at a time: a column chunk whole would be 8 MB for each channel.
_READ_BYTES = 2**18


class ParquetReader(GroupedReader):
    """The run in a Parquet output; with `run_id`, only if it is that one. Raises SinkError."""

    format_name = "Parquet"
    spoilt = (pa.ArrowException,)

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

    def last_footer(self, raw: io.FileIO, size: int, behind: int = 0) -> tuple[int, Any]:
        """As GroupedReader.last_footer."""
        return _last_footer(raw, size, behind)

    def metadata_of(self, file: Any) -> FileMetadata:
        """As GroupedReader.metadata_of."""
        return metadata_of(self._path, file.metadata.metadata)

    def rows_of_groups(self, file: Any, metadata: FileMetadata, on_damage: OnDamage) -> Iterator[OutputRows]:
        """As GroupedReader.rows_of_groups."""
        is_long = metadata.layout is Layout.LONG and not metadata.stream.polled
        n_rows = max(1, BATCH_VALUES // (4 if is_long else len(metadata.stream.channels) + 3))
        rows_of = _long if is_long else _wide
        for batch in _batches(file, n_rows, on_damage):
            yield from rows_of(batch, metadata.stream)

    def rows_of_groups_within(
        self, file: Any, metadata: FileMetadata, wanted: Wanted, channels: Sequence[int], on_damage: OnDamage
    ) -> Iterator[OutputRows]:
        """As GroupedReader.rows_of_groups_within."""
        stream = metadata.stream
        is_long = metadata.layout is Layout.LONG and not stream.polled
        names = LONG_NAMES if is_long else _wide_names(stream, channels)
        for group in range(file.num_row_groups):
            if not _may_have(file.metadata.row_group(group), wanted):
                continue
            try:
                table = file.read_row_group(group, columns=list(dict.fromkeys(names)), use_threads=True)
            except (pa.ArrowException, OSError) as error:
                on_damage(f"row group {group} is damaged ({error})")
                continue
            if not is_long:
                yield _rows_of_columns([table.column(name) for name in names])
                continue
            for batch in table.combine_chunks().to_batches():
                yield from (rows for rows in _long(batch, stream) if rows.channel in channels)

    def readings_of_groups(self, file: Any, metadata: FileMetadata, on_damage: OnDamage) -> Iterator[Readings]:
        """As GroupedReader.readings_of_groups."""
        columns = reading_columns(metadata.stream.channels)
        for batch in _batches(file, max(1, BATCH_VALUES // len(columns)), on_damage):
            arrays = [batch.column(batch.schema.get_field_index(column.name)) for column in columns]
            yield from _whole_readings(columns, arrays)

    def groups_end(self, file: Any) -> int:
        """As GroupedReader.groups_end."""
        return _groups_end(file)


def _last_footer(raw: io.FileIO, size: int, behind: int = 0) -> tuple[int, Any]:
    """As GroupedReader.last_footer."""
    stop = size
    while stop > max(behind, len(MAGIC)):
        try:
            if not _is_bridge(raw, stop):
                front = FileFront(raw, stop)
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


def _groups_end(file: Any) -> int:
    """The sample index behind the last row of the row groups; 0 where none can be read."""
    for group in reversed(range(0 if file is None else file.num_row_groups)):
        with contextlib.suppress(pa.ArrowException, OSError):
            index = file.read_row_group(group, columns=["sample_index"], use_threads=False).column(0)
            if len(index):
                return int(_whole(index).max()) + 1
    return 0


def _may_have(group: Any, wanted: Wanted) -> bool:
    """False for a row group without a row that is wanted, as its statistics say."""
    bounds: dict[str, tuple[int, int]] = {}
    for number in range(min(group.num_columns, _LEADING_COLUMNS)):
        column = group.column(number)
        if column.path_in_schema in TIME_NAMES and column.is_stats_set and column.statistics.has_min_max:
            bounds[column.path_in_schema] = _whole_bounds(column.statistics)
    first, last = bounds.get("sample_index", (wanted.start, wanted.start))
    return wanted.may_have(first, last + 1, *bounds.get("t_utc", (wanted.utc_start_ns, wanted.utc_start_ns)))


def _whole_bounds(statistics: Any) -> tuple[int, int]:
    """Lowest and highest, as whole numbers; times in ns."""
    raw = [statistics.min_raw, statistics.max_raw]
    return int(raw[0]), int(raw[1])


def _wide(batch: Any, stream: Stream) -> Iterator[OutputRows]:
    names = _wide_names(stream, range(len(stream.channels)))
    yield _rows_of_columns([batch.column(batch.schema.get_field_index(name)) for name in names])


def _wide_names(stream: Stream, channels: Sequence[int]) -> list[str]:
    of_values = _value_names(stream)
    return [*TIME_NAMES, *(of_values[number] for number in channels)]


def _rows_of_columns(columns: Sequence[Any]) -> OutputRows:
    index, t_mono_ns, t_utc, *values = columns
    return OutputRows(_whole(index), _whole(t_mono_ns), _whole(t_utc), [_real(column) for column in values])


def _value_names(stream: Stream) -> list[str]:
    if stream.polled:
        return [column.name for column in reading_columns(stream.channels) if column.channel is not None]
    return [channel.name for channel in stream.channels]


def _long(batch: Any, stream: Stream) -> Iterator[OutputRows]:
    names = batch.column("channel").dictionary_encode()
    index, t_mono_ns, t_utc_ns = (_whole(batch.column(name)) for name in ("sample_index", "t_mono_ns", "t_utc"))
    value = _real(batch.column("value"))
    numbers = {channel.name: number for number, channel in enumerate(stream.channels)}
    codes = numbers_of(names.indices)
    for code, name in enumerate(names.dictionary.to_pylist()):
        of = codes == code
        yield OutputRows(index[of], t_mono_ns[of], t_utc_ns[of], [value[of]], channel=numbers[name])


def _whole_readings(columns: Sequence[ReadingColumn], arrays: Sequence[Any]) -> Iterator[Readings]:
    values = [
        (array.cast(pa.int64()) if column.kind is ColumnKind.TIME else array).to_pylist()
        for column, array in zip(columns, arrays, strict=True)
    ]
    yield from reading_pieces(values)


def _whole(column: Any) -> NDArray[np.int64]:
    found: NDArray[np.int64] = numbers_of(column.cast(pa.int64()))
    return found


def _real(column: Any) -> NDArray[np.float64]:
    """NaN for null."""
    found: NDArray[np.float64] = numbers_of(column.cast(pa.float64()))
    return found
