"""Reads an HDF5 output back: its chunks, each of which can be damaged by itself."""

from __future__ import annotations

import contextlib
import io
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import engineering_values
from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.whole_part import OnDamage
from dtopipe.sinks.grouped.metadata import FileMetadata, metadata_from
from dtopipe.sinks.grouped.reader import GroupedReader
from dtopipe.sinks.hdf5.columns import CHANNELS, NULL, STATUS, TIMES, link_name, stored_name
from dtopipe.sinks.hdf5.footer import DOCUMENT
from dtopipe.sinks.hdf5.reading import SPOILT, last_footer
from dtopipe.sinks.rows.long_words import MOST_WORDS, WORD_COLUMNS
from dtopipe.sinks.rows.reading_pieces import reading_pieces

# Each dataset of each part is a call of the library, so that parts of many channels are not short.
_PART_VALUES = 2**22
_Part = TypeVar("_Part")


class Hdf5Reader(GroupedReader):
    """The run in an HDF5 output; with `run_id`, only if it is that one. Raises SinkError."""

    format_name = "HDF5"
    spoilt = SPOILT

    def last_footer(self, raw: io.FileIO, size: int, behind: int = 0) -> tuple[int, Any]:
        """As GroupedReader.last_footer."""
        return last_footer(raw, size, behind)

    def metadata_of(self, file: Any) -> FileMetadata:
        """As GroupedReader.metadata_of."""
        if DOCUMENT not in file.datasets:
            what = f"is not an HDF5 file of dtopipe: it has no dataset {DOCUMENT}"
            raise SinkError(self._path, what, "give another path")
        return metadata_from(self._path, file[DOCUMENT].bytes())

    def rows_of_groups(self, file: Any, metadata: FileMetadata, on_damage: OnDamage) -> Iterator[OutputRows]:
        """As GroupedReader.rows_of_groups."""
        if file is None:
            return
        stream = metadata.stream
        if stream.polled:
            yield from _in_parts(file, len(stream.channels) + 3, _rows_of_readings(file, metadata), on_damage)
        elif metadata.layout is Layout.LONG:
            for found in _in_parts(file, 5, _long(file), on_damage):
                yield from found
        else:
            every = range(len(stream.channels))
            yield from _in_parts(file, len(every) + 3, _wide(file, metadata, every), on_damage)

    def rows_of_groups_within(
        self, file: Any, metadata: FileMetadata, wanted: Wanted, channels: Sequence[int], on_damage: OnDamage
    ) -> Iterator[OutputRows]:
        """As GroupedReader.rows_of_groups_within."""
        if metadata.layout is Layout.LONG or metadata.stream.polled:
            found = (rows.of_channels(channels) for rows in self.rows_of_groups(file, metadata, on_damage))
            yield from (rows for rows in found if rows is not None)
            return
        within = _rows_within(file, wanted)
        yield from _in_parts(file, len(channels) + 3, _wide(file, metadata, channels), on_damage, within)

    def readings_of_groups(self, file: Any, metadata: FileMetadata, on_damage: OnDamage) -> Iterator[Readings]:
        """As GroupedReader.readings_of_groups."""
        if file is None:
            return
        columns = reading_columns(metadata.stream.channels)
        datasets = [file[link_name(stored_name(column))] for column in columns]

        def part(start: int, stop: int) -> list[Readings]:
            values = [_values(column, rows, start, stop) for column, rows in zip(columns, datasets, strict=True)]
            return list(reading_pieces(values))

        for found in _in_parts(file, 32 * len(columns), part, on_damage):
            yield from found

    def groups_end(self, file: Any) -> int:
        """As GroupedReader.groups_end."""
        if file is None:
            return 0
        index = file[TIMES[0]]
        chunk_rows = index.chunk_rows
        for start in reversed(range(0, len(index), chunk_rows)):
            with contextlib.suppress(*SPOILT):
                return int(index.rows(start, min(len(index), start + chunk_rows)).max()) + 1
        return 0

    def words(self) -> Collection[tuple[Any, ...]]:
        """What rows of the long layout say besides numbers, each once, in the order of WORD_COLUMNS."""
        known: set[tuple[Any, ...]] = set()
        with self._opened(whole=True) as found:
            if found.file is None or found.metadata.layout is not Layout.LONG or found.metadata.stream.polled:
                return known
            datasets = [found.file[name] for name in WORD_COLUMNS]

            def part(start: int, stop: int) -> set[tuple[Any, ...]]:
                words = zip(*(dataset.texts(start, stop) for dataset in datasets), strict=True)
                return {(*each[:4], *(word or None for word in each[4:])) for each in set(words)}

            for words in _in_parts(found.file, 32, part, lambda damage: None):
                known |= words
                if len(known) > MOST_WORDS:
                    break
        return known


def _rows_within(file: Any, wanted: Wanted) -> range:
    """The rows of the wide layout, whose index and UTC rise, that may be wanted."""
    index, utc = file[TIMES[0]], file[TIMES[2]]
    start = max(bisect_left(index, wanted.start), bisect_left(utc, wanted.utc_start_ns))
    stop = min(bisect_left(index, wanted.stop), bisect_left(utc, wanted.utc_stop_ns))
    return range(start, stop)


def _in_parts(
    file: Any,
    values_a_row: int,
    part: Callable[[int, int], _Part],
    on_damage: OnDamage,
    within: range | None = None,
) -> Iterator[_Part]:
    """`part(start, stop)` of every row, never over the border of a chunk; of a damaged chunk what can be read.

    `within`: the rows that are wanted; None for all.
    """
    index = file[TIMES[0]]
    wanted = range(len(index)) if within is None else within
    chunk_rows = index.chunk_rows
    step = min(chunk_rows, max(1, _PART_VALUES // values_a_row))
    lost: tuple[int, int, Exception] | None = None
    for begin in range(wanted.start // chunk_rows * chunk_rows, wanted.stop, chunk_rows):
        end = min(wanted.stop, begin + chunk_rows)
        for start in range(max(begin, wanted.start), end, step):
            try:
                found = part(start, min(end, start + step))
            except SPOILT as error:
                # Neighbours are told of together.
                lost = (start, end, error) if lost is None else (lost[0], end, lost[2])
                break
            _tell(lost, on_damage)
            lost = None
            yield found
    _tell(lost, on_damage)


def _tell(lost: tuple[int, int, Exception] | None, on_damage: OnDamage) -> None:
    if lost is not None:
        start, end, error = lost
        on_damage(f"rows {start:,} to {end:,} cannot be read: a chunk is damaged ({error})")


def _wide(file: Any, metadata: FileMetadata, numbers: Sequence[int]) -> Callable[[int, int], OutputRows]:
    channels = [metadata.stream.channels[number] for number in numbers]
    times = [file[name] for name in TIMES]
    codes = [file[f"{CHANNELS}/{link_name(channel.name)}"] for channel in channels]
    statuses = [file[f"{STATUS}/{link_name(channel.name)}"] for channel in channels]
    # What was never stored is all OK.
    statuses = [rows if rows.is_stored else None for rows in statuses]

    def part(start: int, stop: int) -> OutputRows:
        index, t_mono_ns, t_utc_ns = (rows.rows(start, stop) for rows in times)
        values = []
        for channel, rows, of_channel in zip(channels, codes, statuses, strict=True):
            status: NDArray[np.int8] | None = None if of_channel is None else of_channel.rows(start, stop)
            values.append(engineering_values(channel, rows.rows(start, stop), status))
        return OutputRows(index, t_mono_ns, t_utc_ns, values)

    return part


def _long(file: Any) -> Callable[[int, int], list[OutputRows]]:
    columns = [file[name] for name in (*TIMES, "value", "channel_number")]

    def part(start: int, stop: int) -> list[OutputRows]:
        index, t_mono_ns, t_utc_ns, values, numbers = (rows.rows(start, stop) for rows in columns)
        found = []
        for number in np.unique(numbers).tolist():
            of = numbers == number
            found.append(OutputRows(index[of], t_mono_ns[of], t_utc_ns[of], [values[of]], channel=number))
        return found

    return part


def _rows_of_readings(file: Any, metadata: FileMetadata) -> Callable[[int, int], OutputRows]:
    columns = reading_columns(metadata.stream.channels)
    times = [file[stored_name(column)] for column in columns[:3]]
    values = [file[link_name(column.name)] for column in columns if column.channel is not None]

    def part(start: int, stop: int) -> OutputRows:
        index, t_mono_ns, t_utc_ns = (rows.rows(start, stop) for rows in times)
        return OutputRows(index, t_mono_ns, t_utc_ns, [rows.rows(start, stop) for rows in values])

    return part


def _values(column: ReadingColumn, rows: Any, start: int, stop: int) -> list[Any]:
    if column.kind is ColumnKind.TEXT:
        return [text or None for text in rows.texts(start, stop)]
    found: list[Any] = rows.rows(start, stop).tolist()
    if column.kind is ColumnKind.FLOAT:
        return [None if value != value else value for value in found]
    return [None if value == NULL else value for value in found]
