"""CSV after RFC 4180, UTF-8, lines ended by a newline; null is an empty field."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.stream import Stream
from dtopipe.sinks.text.delimited import LONG_COLUMNS, DelimitedWriter
from dtopipe.sinks.text.whole_lines import Fill

# What stands before the column that is sure to be a number, of rows that have texts too.
_N_BEFORE_VALUE = LONG_COLUMNS.index("value")
_N_BEFORE_INDEX = LONG_COLUMNS.index("block_index")
_N_BEFORE_LATENCY = [column.name for column in reading_columns(())].index("latency_s")


# Polars takes types from so many rows, the fewest of all readers, and a number behind spaces there for a text.
_ROWS_OF_TYPES = 100


class CsvWriter(DelimitedWriter):
    """A header line with the columns' names, then a line a row."""

    sink_type = "csv"
    null = b""
    finite_only = False
    separator = b","

    def header(self, stream: Stream) -> bytes:
        """The columns' names."""
        return _line(self._columns(stream)) + b"\n"

    def has_columns(self, file: BinaryIO, columns: Sequence[str]) -> bool:
        """Its header line says so."""
        header = _line(columns) + b"\n"
        return file.read(len(header)) == header

    def literals(self, columns: Sequence[str], unquoted: Sequence[str]) -> list[bytes]:
        """Commas, and the line's end."""
        return [b"", *[b","] * (len(columns) - 1), b"\n"]

    def fill_of(self, data: bytes, start: int, stop: int, file_at: int) -> Fill:
        """Zeros at the end of a number's fraction; else, in front of the first whole number, spaces.

        Every reader has both for the same numbers, and takes the column for one of numbers still: a reader that tells
        a column's type by its first rows finds no spaces in those.
        """
        if self.output.layout is Layout.WIDE and not self._stream.polled:
            point = data.rfind(b".", start, stop)
            # No number has a Z: then it is the point of t_utc.
            if data.find(b"Z", point, stop) >= 0:
                return self._spaces(start, file_at)
            # Most often it is the last number, without an exponent.
            is_last = data[point + 1 : stop - 1].isdigit()
            return [(stop - 1 if is_last else _end_of_digits(data, point + 1), b"0")]
        first = _field(data, start, _N_BEFORE_LATENCY if self._stream.polled else _N_BEFORE_VALUE)
        point = data.rfind(b".", first, data.index(b",", first))
        if point < 0:
            return self._spaces(start if self._stream.polled else _field(data, start, _N_BEFORE_INDEX), file_at)
        return [(_end_of_digits(data, point + 1), b"0")]

    def _spaces(self, place: int, file_at: int) -> Fill:
        """The spaces in front of a whole number, behind the rows from which types are told; none within these."""
        return [] if file_at < _ROWS_OF_TYPES * self.longest else [(place, b" ")]

    def may_be_laid(self, part: bytes) -> bool:
        """True if each line is a row: one that has half of its quotes is part of a row with a line's end in a text."""
        return b'"' not in part or all(line.count(b'"') % 2 == 0 for line in part.split(b"\n"))

    def quoted(self, text: str | None) -> bytes:
        """The text, in quotes where it must be."""
        return _line([text]) if text else b""


def _field(data: bytes, at: int, number: int) -> int:
    """Where that field of the row begins that is at `at`; between quotes a comma is none of ours."""
    for _ in range(number):
        while data[at : at + 1] == b'"':
            at = data.index(b'"', at + 1) + 1
        at = data.index(b",", at) + 1
    return at


def _end_of_digits(data: bytes, at: int) -> int:
    while data[at : at + 1].isdigit():
        at += 1
    return at


def _line(fields: Sequence[str]) -> bytes:
    line = io.StringIO()
    # Only characters of the line's end are sure to be quoted.
    csv.writer(line, lineterminator="\r\n").writerow(fields)
    return line.getvalue().removesuffix("\r\n").encode()
