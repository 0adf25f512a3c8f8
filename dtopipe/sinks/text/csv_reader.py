"""Reads a CSV output back, of either layout."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from dtopipe.model.errors import SinkError
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.reader import REFILL
from dtopipe.sinks.file.whole_part import DamagedBytes, Front, OnDamage
from dtopipe.sinks.rows.reading_pieces import from_texts, reading_pieces
from dtopipe.sinks.text.csv_cells import (
    LONGEST_HEADER_BYTES,
    SPOILT,
    fields,
    first_line,
    integers,
    numbers,
    parsed,
    times,
)
from dtopipe.sinks.text.delimited import LONG_COLUMNS, TIME_COLUMNS
from dtopipe.sinks.text.reader import TextReader
from dtopipe.sinks.text.words import Words, strange_in_csv

# A text with line breaks in it, such as a sensor's error: nobody's has more lines than this.
_MOST_LINES_OF_A_ROW = 64
_PLACE_IN_LONG = LONG_COLUMNS.index("sample_index")
_Found = TypeVar("_Found")


class CsvReader(TextReader):
    """Rows in the order of the file."""

    has_quotes = True
    # What is between cells.
    delimiter = b","

    def columns(self) -> Sequence[str]:
        """As TextReader.columns."""
        return self._header()[0]

    def index_of(self, *, is_long: bool) -> Callable[[bytes], int]:
        """As TextReader.index_of."""
        if not is_long:
            return lambda row: int(row.partition(self.delimiter)[0])
        return lambda row: int(next(csv.reader(io.StringIO(row.decode(), newline="")))[_PLACE_IN_LONG])

    def strange_lines(self, lines: Iterator[str], words: Words) -> Iterator[int]:
        """As TextReader.strange_lines."""
        return strange_in_csv(lines, words, has_header=self.start == 0)

    def rows_begin(self) -> int:
        """The rows begin behind the columns' names."""
        return self._header()[1]

    def front(self) -> Front | None:
        """As FileReader.front; rows of the long layout are not in the order of their samples."""
        columns, _ = self._header()
        if columns == list(LONG_COLUMNS):
            return None
        damaged = DamagedBytes(lambda damage: None)
        for _ in self.rows(self.start, self.end, damaged):
            pass
        stop = self.end if damaged.first is None else damaged.first
        return Front(self._end_before(stop), stop, self.state()) if stop > self.start else None

    def state(self) -> bytes:
        """The sink's own state, which its output is gone on with."""
        return b""

    def cells(self, data: bytes) -> list[list[str]]:
        """The cells of whole lines with texts in them, as columns of the layout have them. Raises what is in SPOILT."""
        return parsed(data)

    def wide(self, piece: bytes, n_columns: int) -> OutputRows:
        """The rows of whole lines of the wide layout. Raises what is in SPOILT."""
        index, t_mono_ns, t_utc, *values = fields(piece, n_columns)
        return OutputRows(integers(index), integers(t_mono_ns), times(t_utc), list(map(numbers, values)))

    def names(self, head: bytes) -> list[str]:
        """The columns that a first line names, as the layout calls them; none if it is no text. Raises SPOILT."""
        return next(csv.reader(io.StringIO(head.decode(), newline="")), [])

    def readings(self, on_damage: OnDamage | None = None) -> Iterator[Readings]:
        """The readings of a polled run, every column of them; those of damaged lines only where nobody asks."""
        columns = reading_columns(self.channels())
        names, behind_header = self._header()
        if names != [column.name for column in columns]:
            raise SinkError(self.path, "its columns are not those of its readings", "name another file")
        damaged = DamagedBytes(self.refuse) if on_damage is None else self.promised(on_damage)
        start, stop = max(self.start, behind_header), self.stop if on_damage is None else self.end
        for found in self._texts(start, stop, len(columns), damaged, lambda rows: [from_texts(columns, rows)]):
            yield from reading_pieces(found)

    def rows(self, start: int, stop: int, damaged: DamagedBytes) -> Iterator[OutputRows]:
        """Readings and wide rows together; long ones a channel at a time, as they stand."""
        columns, behind_header = self._header()
        start = max(start, behind_header)
        places = self.reading_places(columns)
        if places is not None:
            yield from self._texts(start, stop, len(columns), damaged, lambda rows: [_readings(rows, places)])
        elif columns == list(LONG_COLUMNS):
            names = [channel.name for channel in self.channels()]
            yield from self._texts(start, stop, len(columns), damaged, lambda rows: list(_by_channel(rows, names)))
        else:
            for at, piece in self.pieces(start, stop, damaged):
                yield from self._wide_rows(at, piece, len(columns), damaged)
        damaged.end()

    def _header(self) -> tuple[list[str], int]:
        """The columns' names, and where the rows begin; a name may hold newlines.

        Where the line is damaged and the stream is known, the columns are those that the first whole row has: then
        that line is no row, and is named as damaged. Raises SinkError.
        """
        with sink_errors(self.path), self.path.open("rb") as file:
            head = first_line(file)
        columns: list[str] = []
        if b"\0" not in head and head.endswith(b"\n"):
            with contextlib.suppress(*SPOILT):
                columns = self.names(head)
        if self.reading_places(columns) is not None or columns[:3] == list(TIME_COLUMNS) or columns == [*LONG_COLUMNS]:
            return columns, len(head)
        if self._stream is None:
            message = "its first line is damaged, or not that of a dtopipe output"
            raise SinkError(self.path, message, f"name another file, or {REFILL}")
        names = [channel.name for channel in self._stream.channels]
        if self._stream.polled:
            return [column.name for column in reading_columns(self._stream.channels)], 0
        is_long = self._fields_of_a_row() == len(LONG_COLUMNS) != len(names) + len(TIME_COLUMNS)
        return [*LONG_COLUMNS] if is_long else [*TIME_COLUMNS, *names], 0

    def _fields_of_a_row(self) -> int:
        pieces = self.pieces(self.start, self.end, DamagedBytes(lambda damage: None))
        _, piece = next(pieces, (0, b""))
        return piece[:-1].rpartition(b"\n")[2].count(self.delimiter) + 1

    def _end_before(self, stop: int) -> int:
        """The sample index behind the last row that ends at or before this byte."""
        with sink_errors(self.path), self.path.open("rb") as file:
            begin = max(self.start, stop - 2**20)
            file.seek(begin)
            last = file.read(stop - begin)[:-1].rpartition(b"\n")[2]
        try:
            return int(last.partition(self.delimiter)[0]) + 1
        except ValueError:
            return self.snapshot.position.start if self.snapshot else 0

    def _texts(
        self,
        start: int,
        stop: int,
        n_columns: int,
        damaged: DamagedBytes,
        understood: Callable[[list[list[str]]], list[_Found]],
    ) -> Iterator[_Found]:
        """What is `understood` of rows with texts in them, which may hold line breaks; the other rows are damaged."""
        rest, rest_at = b"", 0
        for at, piece in self.pieces(start, stop, damaged):
            if rest and rest_at + len(rest) != at:
                damaged.add(rest_at, rest_at + len(rest))
                rest = b""
            data, data_at = rest + piece, at - len(rest)
            # A text with a line break in it may be cut at the end of a piece: that row waits for the next.
            end = len(data)
            while data.count(b'"', 0, end) % 2:
                end = data.rfind(b"\n", 0, end - 1) + 1
            rest, rest_at = data[end:], data_at + end
            if len(rest) > LONGEST_HEADER_BYTES:
                # No text is as long: a quote is damaged, and what follows are rows all the same.
                yield from self._row_by_row(rest_at, rest, n_columns, damaged, understood)
                rest = b""
            if not end:
                continue
            try:
                rows = self.cells(data[:end])
                if any(len(row) != n_columns for row in rows):
                    raise ValueError("a row with other columns")
                found = understood(rows)
            except SPOILT:
                yield from self._row_by_row(data_at, data[:end], n_columns, damaged, understood)
            else:
                yield from found
        if rest:
            yield from self._row_by_row(rest_at, rest, n_columns, damaged, understood)
        damaged.end()

    def _row_by_row(
        self,
        at: int,
        data: bytes,
        n_columns: int,
        damaged: DamagedBytes,
        understood: Callable[[list[list[str]]], list[_Found]],
    ) -> Iterator[_Found]:
        """Each row by itself, where not all of them can be understood together."""
        lines = [line + b"\n" for line in data.split(b"\n")[:-1]]
        first = 0
        while first < len(lines):
            row, n_lines = lines[first], 1
            while row.count(b'"') % 2 and n_lines < _MOST_LINES_OF_A_ROW and first + n_lines < len(lines):
                row += lines[first + n_lines]
                n_lines += 1
            try:
                rows = self.cells(row)
                if [len(fields) for fields in rows] != [n_columns]:
                    raise ValueError("other columns")
                found = understood(rows)
            except SPOILT:
                row, n_lines = lines[first], 1
                damaged.add(at, at + len(row))
            else:
                yield from found
            at += len(row)
            first += n_lines

    def _wide_rows(self, at: int, piece: bytes, n_columns: int, damaged: DamagedBytes) -> Iterator[OutputRows]:
        """The rows of whole lines: together, or each by itself where not all of them can be understood."""
        try:
            yield self.wide(piece, n_columns)
            return
        except SPOILT:
            pass
        held: list[bytes] = []
        for line in piece[:-1].split(b"\n"):
            try:
                self.wide(line + b"\n", n_columns)
            except SPOILT:
                if held:
                    yield self.wide(b"\n".join(held) + b"\n", n_columns)
                held = []
                damaged.add(at, at + len(line) + 1)
            else:
                held.append(line)
            at += len(line) + 1
        if held:
            yield self.wide(b"\n".join(held) + b"\n", n_columns)


def _readings(rows: Sequence[Sequence[str]], places: range) -> OutputRows:
    return OutputRows(
        sample_index=integers([row[0].encode() for row in rows]),
        t_mono_ns=integers([row[1].encode() for row in rows]),
        t_utc_ns=times([row[2].encode() for row in rows]),
        values=[numbers([row[place].encode() for row in rows]) for place in places],
    )


def _by_channel(rows: Sequence[Sequence[str]], names: Sequence[str]) -> Iterator[OutputRows]:
    for name, group in groupby(rows, key=lambda row: row[2]):
        yield _one_channel(list(group), names.index(name))


def _one_channel(rows: Sequence[Sequence[str]], channel: int) -> OutputRows:
    return OutputRows(
        sample_index=integers([row[4].encode() for row in rows]),
        t_mono_ns=integers([row[5].encode() for row in rows]),
        t_utc_ns=times([row[6].encode() for row in rows]),
        values=[numbers([row[7].encode() for row in rows])],
        channel=channel,
    )
