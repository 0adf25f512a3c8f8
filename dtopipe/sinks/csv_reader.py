"""Reads a CSV output back, of either layout."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import SinkError
from dtopipe.model.readings import Readings
from dtopipe.sinks.base import OutputRows
from dtopipe.sinks.delimited import LONG_COLUMNS, TIME_COLUMNS
from dtopipe.sinks.file_reader import FileReader
from dtopipe.sinks.outputs import sink_errors
from dtopipe.sinks.reading_columns import reading_columns
from dtopipe.sinks.reading_pieces import from_texts, reading_pieces

_LONGEST_HEADER_BYTES = 2**24


class CsvReader(FileReader):
    """Rows in the order of the file."""

    def batches(self) -> Iterator[OutputRows]:
        """Readings and wide rows together; long ones a channel at a time, as they stand."""
        columns, behind_header = self._header()
        start = max(self.start, behind_header)
        places = self.reading_places(columns)
        if places is not None:
            for rows in self._rows_with_texts(start):
                yield _readings(rows, places)
        elif columns == list(LONG_COLUMNS):
            yield from self._long(start)
        elif columns[:3] == list(TIME_COLUMNS):
            for piece in self.lines(start):
                yield _wide(piece, len(columns))
        else:
            raise SinkError(self.path, "its columns are not those of a dtopipe output", "name another file")

    def readings(self) -> Iterator[Readings]:
        """The readings of a polled run, every column of them."""
        names, behind_header = self._header()
        columns = reading_columns(self._known().stream.channels)
        if names != [column.name for column in columns]:
            raise SinkError(self.path, "its columns are not those of its readings", "name another file")
        for rows in self._rows_with_texts(max(self.start, behind_header)):
            yield from reading_pieces(from_texts(columns, rows))

    def _header(self) -> tuple[list[str], int]:
        """The columns' names, and where the rows begin; a name may hold newlines."""
        with sink_errors(self.path), self.path.open("rb") as file:
            head = file.readline(_LONGEST_HEADER_BYTES)
            while head.count(b'"') % 2:
                more = file.readline(_LONGEST_HEADER_BYTES)
                if not more:
                    break
                head += more
        return next(iter(self._parsed(head.decode())), []), len(head)

    def _parsed(self, text: str) -> list[list[str]]:
        """The rows of whole lines. Raises SinkError: after a power cut a file may be zeros."""
        try:
            return list(csv.reader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise SinkError(self.path, f"it is damaged: {error}", "refill it from another output") from error

    def _long(self, start: int) -> Iterator[OutputRows]:
        names: list[str] = [channel.name for channel in self._known().stream.channels]
        for rows in self._rows_with_texts(start):
            for name, group in groupby(rows, key=lambda row: row[2]):
                yield _one_channel(list(group), names.index(name))

    def _rows_with_texts(self, start: int) -> Iterator[list[list[str]]]:
        rest = ""
        for piece in self.lines(start):
            text = rest + piece.decode()
            # A text with a line break in it may be cut at the end of a piece: that row waits for the next.
            end = len(text)
            while text.count('"', 0, end) % 2:
                end = text.rfind("\n", 0, end - 1) + 1
            rest = text[end:]
            if end:
                yield self._parsed(text[:end])


def _wide(piece: bytes, n_columns: int) -> OutputRows:
    cells = piece[:-1].replace(b"\n", b",").split(b",")
    columns = [cells[n::n_columns] for n in range(n_columns)]
    return OutputRows(
        sample_index=integers(columns[0]),
        t_mono_ns=integers(columns[1]),
        t_utc_ns=times(columns[2]),
        values=[numbers(column) for column in columns[3:]],
    )


def _readings(rows: Sequence[Sequence[str]], places: range) -> OutputRows:
    return OutputRows(
        sample_index=integers([row[0].encode() for row in rows]),
        t_mono_ns=integers([row[1].encode() for row in rows]),
        t_utc_ns=times([row[2].encode() for row in rows]),
        values=[numbers([row[place].encode() for row in rows]) for place in places],
    )


def _one_channel(rows: Sequence[Sequence[str]], channel: int) -> OutputRows:
    return OutputRows(
        sample_index=integers([row[4].encode() for row in rows]),
        t_mono_ns=integers([row[5].encode() for row in rows]),
        t_utc_ns=times([row[6].encode() for row in rows]),
        values=[numbers([row[7].encode() for row in rows])],
        channel=channel,
    )


def integers(texts: Sequence[bytes]) -> NDArray[np.int64]:
    """(n,) int64 of decimal texts."""
    return np.array(list(map(int, texts)), dtype=np.int64)


def numbers(texts: Sequence[bytes]) -> NDArray[np.float64]:
    """(n,) float64 of texts, exact; NaN for an empty one."""
    return np.array([float(text) if text else np.nan for text in texts], dtype=np.float64)


def times(texts: Sequence[bytes]) -> NDArray[np.int64]:
    """(n,) int64 ns since 1970 of ISO 8601 texts that end in `Z`."""
    stamps = np.array([text[:-1].decode() for text in texts], dtype="datetime64[ns]")
    return stamps.astype(np.int64)
