"""CSV in the dialect of Excel: numbers in a language, seconds from sample 0, a title with a unit over each column.

Wide rows hold numbers alone. They are made with point and comma, as fast as those of the other dialect, and get the
signs of the language in the pass that takes out what is between their texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from dtopipe.core.row_count import RowShape, rows_of
from dtopipe.model.errors import SinkError, SinkOptionError
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.text.delimited import DelimitedWriter
from dtopipe.sinks.text.excel import BYTE_ORDER_MARK, ExcelForm, ExcelState, guarded, titles_of
from dtopipe.sinks.text.excel_cells import date_times, decimals_of, reading_rows, seconds_texts
from dtopipe.sinks.text.excel_fill import RowFill
from dtopipe.sinks.text.limits import MOST_ROWS
from dtopipe.sinks.text.number_text import Texts
from dtopipe.sinks.text.rows import ValueTexts, rising_integers
from dtopipe.sinks.text.whole_lines import PAGE_BYTES, Fill

# Programs that tell a column's type by its first rows take a number behind spaces there for a text.
_ROWS_OF_TYPES = 100
_DECIMALS_OF_A_TIME = 9
_PIECE_BYTES = 2**22


class ExcelCsvWriter(DelimitedWriter):
    """Titles behind a byte-order mark, then a line a row, of the wide layout or of readings."""

    sink_type = "csv"
    null = b""
    finite_only = True
    separator = b","

    def __init__(self, output: OutputOptions, form: ExcelForm) -> None:
        super().__init__(output)
        if output.layout is Layout.LONG:
            raise SinkOptionError(output.path, "dialect: excel has no layout long", "take out layout, or dialect")
        self.form = form
        self.remark = ""
        self._zero_ns: int | None = None
        self._decimal, self._delimiter = form.decimal.encode(), form.delimiter.encode()
        self._fill = RowFill(form)
        self.signs = bytes.maketrans(b",.", f"{form.delimiter}{form.decimal}".encode())

    def header(self, stream: Stream) -> bytes:
        """The titles."""
        return BYTE_ORDER_MARK + self._line(self._columns(stream))

    def has_columns(self, file: BinaryIO, columns: Sequence[str]) -> bool:
        """Its titles say so, and the first time in it has the same decimal sign."""
        header = BYTE_ORDER_MARK + self._line(columns)
        if file.read(len(header)) != header:
            return False
        between = re.escape(self._delimiter)
        found = re.match(rb" *\d+%b-?\d+([.,])" % between, file.read(PAGE_BYTES))
        return found is None or found[1] == self._decimal

    def literals(self, columns: Sequence[str], unquoted: Sequence[str]) -> list[bytes]:
        """As DelimitedWriter.literals, of a wide row; the decimals of its time are a column here."""
        return [b"", b",", b".", b",", b"", b"\n"]

    def quoted(self, text: str | None) -> bytes:
        """The text as a cell."""
        return self.form.line([guarded(text)]).encode() if text else b""

    def fill_of(self, data: bytes, start: int, stop: int, file_at: int) -> Fill:
        """As DelimitedWriter.fill_of: in as many cells as it takes, so that none becomes too long."""
        has_spaces = file_at >= _ROWS_OF_TYPES * self.longest
        return self._fill.places(data, start, stop, -file_at % PAGE_BYTES, has_spaces=has_spaces)

    def may_be_laid(self, part: bytes) -> bool:
        """True if each line is a row: one that has half of its quotes is part of a row with a line's end in a text."""
        return b'"' not in part or all(line.count(b'"') % 2 == 0 for line in part.split(b"\n"))

    def begun(self, stream: Stream, extra: bytes) -> None:
        """As FileWriter.begun. Raises SinkError for an output that was begun otherwise."""
        state = ExcelState.of(extra)
        if extra and (state is None or state.form != self.form):
            raise SinkError(self.path, "its rows have other signs", "give the sink the options that it had")
        self._zero_ns = None if state is None else state.zero_ns
        if stream.polled:
            columns = reading_columns(stream.channels)
            texts_at = frozenset(n for n, column in enumerate(columns) if column.kind is ColumnKind.TEXT)
            self._columns_of_readings, self._fill = columns, RowFill(self.form, texts_at)
            self._longest = 0
            return
        self._texts = ValueTexts(stream, prefix=self.separator, null=self.null, finite_only=self.finite_only)
        self._literals = self.literals((), ())
        self._longest = self._longest_row(stream) + _DECIMALS_OF_A_TIME

    def extra(self) -> bytes:
        """As FileWriter.extra: what its reader needs to have its times again."""
        return ExcelState(self.form, self._zero_ns).packed()

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """As FileWriter.append. The moment of sample 0 is durable before the first row that counts from it."""
        if self._zero_ns is None:
            self._opened()
            zero_ns = self._zero_of(items)
            if zero_ns is not None:
                self.commit_beside(b"", ExcelState(self.form, zero_ns).packed())
                # A power cut may keep rows, and nothing in them says when sample 0 was.
                self.sync()
                self._zero_ns = zero_ns
        super().append(items)

    def encoded(self, items: Sequence[Block | Gap | Readings]) -> Iterator[bytes]:
        """As DelimitedWriter.encoded."""
        if self._zero_ns is None:
            self._zero_ns = self._zero_of(items)
        if not self._stream.polled:
            yield from super().encoded(items)
            return
        for item in items:
            if isinstance(item, Readings):
                yield reading_rows(self._columns_of_readings, item, self.form, self._zero_ns or 0)

    def close(self) -> Position:
        """As FileWriter.close; says so if it has more rows than a sheet."""
        before = self._rows_before()
        self.commit()
        gaps = self.gaps()
        position = super().close()
        n_rows = before + 1 + rows_of(RowShape(self._stream.every), position, gaps)
        if n_rows > MOST_ROWS:
            self.remark = (
                f"it has {n_rows:,} rows, and a sheet of Excel or LibreOffice takes the first {MOST_ROWS:,}: "
                "next time split it (split: 1h), make a view of it (every: 1s), or choose another sink"
            )
        return position

    def _rows_before(self) -> int:
        """The rows of the runs before this one in the file."""
        left = self._opened().data_origin
        n_lines = 0
        if not left:
            return 0
        with sink_errors(self.path), self.path.open("rb") as file:
            while left and (piece := file.read(min(left, _PIECE_BYTES))):
                n_lines += piece.count(b"\n")
                left -= len(piece)
        return max(0, n_lines - 1)

    def _zero_of(self, items: Sequence[Block | Gap | Readings]) -> int | None:
        """The `t_mono_ns` of sample 0, as the clock of the first sample has it; None where there is none."""
        for item in items:
            if isinstance(item, Readings) and item.n_samples:
                first_ns, index = int(item.columns[1][0]), item.first_sample_index
            elif isinstance(item, Block) and item.n_samples:
                first_ns, index = item.anchor.t_mono_ns, item.anchor.sample_index
            else:
                continue
            return first_ns + self._stream.clock.offset_ns(-index)
        return None

    def _line(self, titles: Sequence[str]) -> bytes:
        return self.form.line(list(map(guarded, titles))).encode() + b"\n"

    def _columns(self, stream: Stream) -> list[str]:
        """The titles. Raises SinkError where two would be alike."""
        titles = titles_of(stream)
        seen: set[str] = set()
        for title in titles:
            if title in seen:
                raise SinkError(self.path, f"two columns would be titled {title!r}", "rename that channel")
            seen.add(title)
        return titles

    def _times(self, samples: Block) -> list[Texts]:
        clock = self._stream.clock
        t_mono_ns = samples.t_mono_ns(clock)
        since_ns = t_mono_ns - (self._zero_ns or 0)
        index = rising_integers(samples.sample_index())
        t_utc_ns = t_mono_ns + (samples.anchor.t_utc_ns - samples.anchor.t_mono_ns)
        return [index, *seconds_texts(since_ns, decimals_of(clock, int(since_ns[0]))), date_times(t_utc_ns)]
