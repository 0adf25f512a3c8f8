"""Reads CSV in the dialect of Excel back, as exactly as the other one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.whole_part import Front
from dtopipe.sinks.text.csv_cells import SPOILT, fields, first_line, integers, numbers, parsed
from dtopipe.sinks.text.csv_reader import CsvReader
from dtopipe.sinks.text.delimited import TIME_COLUMNS
from dtopipe.sinks.text.excel import BYTE_ORDER_MARK, ExcelState, columns_of, titles_of, unguarded
from dtopipe.sinks.text.excel_cells import date_times_ns, plain_cells, seconds_ns

_HEAD_BYTES = 4096
_BETWEEN = re.compile(rb"(?:sample_index|^ *[0-9]+)([,;\t])", re.MULTILINE)


class ExcelReader(CsvReader):
    """Rows in the order of the file.

    A comma in a number is a decimal sign wherever it is not the delimiter: a point never groups digits. Without its
    commit record the times of an output count from its sample 0, whose own is not known: `t_mono_ns` begins at 0.
    """

    # What is not finite is an empty cell.
    holds_nonfinite = False

    def __init__(self, path: Path, run_id: str | None = None, stream: Stream | None = None) -> None:
        super().__init__(path, run_id, stream)
        self._told = None if self.snapshot is None else ExcelState.of(self.snapshot.extra)
        self.delimiter = self._delimiter() if self._told is None else self._told.form.delimiter.encode()
        self._zero_ns = (self._told.zero_ns if self._told is not None else None) or 0
        signs = b"," if self.delimiter == b"," else self.delimiter + b","
        self._named: dict[str, Channel] = {}
        self._plain_signs = bytes.maketrans(signs, b",."[: len(signs)])

    def state(self) -> bytes:
        """As CsvReader.state."""
        return b"" if self._told is None else self._told.packed()

    def front(self) -> Front | None:
        """As CsvReader.front; what does not tell its times cannot be gone on with."""
        return super().front() if self._told is not None and self._told.zero_ns is not None else None

    def names(self, head: bytes) -> list[str]:
        """As CsvReader.names."""
        titles = self._titles(head)
        if self._stream is None or titles != titles_of(self._stream):
            columns = columns_of(titles)
            self._named = {channel.name: channel for channel in columns}
            return [channel.name for channel in columns]
        if self._stream.polled:
            return [column.name for column in reading_columns(self._stream.channels)]
        return [*TIME_COLUMNS, *(channel.name for channel in self._stream.channels)]

    def named(self, names: Sequence[str]) -> tuple[Channel, ...]:
        """As TextReader.named, with the units that stand in their titles."""
        return tuple(self._named.get(name) or Channel(name) for name in names)

    def cells(self, data: bytes) -> list[list[str]]:
        """As CsvReader.cells; only readings have texts in them."""
        columns = reading_columns(self.channels())
        return [plain_cells(columns, row, self._zero_ns) for row in parsed(data, self.delimiter.decode())]

    def wide(self, piece: bytes, n_columns: int) -> OutputRows:
        """As CsvReader.wide."""
        index, seconds, t_utc, *values = fields(piece.translate(self._plain_signs), n_columns)
        since_ns = np.array(list(map(seconds_ns, seconds)), dtype=np.int64)
        return OutputRows(
            integers(index), since_ns + self._zero_ns, date_times_ns(t_utc), [numbers(column) for column in values]
        )

    def misworded(self, stream: Stream, *, is_long: bool) -> tuple[int, int]:
        """As TextReader.misworded: the titles alone are words."""
        if self.start:
            return 0, 0
        with self.path.open("rb") as file:
            head = first_line(file)
        with contextlib.suppress(*SPOILT):
            if head.startswith(BYTE_ORDER_MARK) and self._titles(head) == titles_of(stream):
                return 0, 0
        return 1, 1

    def _titles(self, head: bytes) -> list[str]:
        text = head.removeprefix(BYTE_ORDER_MARK)
        return list(map(unguarded, parsed(text, self.delimiter.decode())[0]))

    def _delimiter(self) -> bytes:
        """What the file itself has between its columns."""
        with sink_errors(self.path), self.path.open("rb") as file:
            found = _BETWEEN.search(file.read(_HEAD_BYTES))
        return b"," if found is None else found[1]
