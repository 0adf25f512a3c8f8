"""What the readers of CSV and JSON Lines have in common besides being lines: words, and the index of a row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from dtopipe.model.clock import iso_utc
from dtopipe.model.reading_columns import value_places
from dtopipe.model.stream import Channel, Stream
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.line_reader import LONGEST_LINE_BYTES, LineReader
from dtopipe.sinks.file.whole_part import DamagedBytes
from dtopipe.sinks.text.delimited import LONG_COLUMNS
from dtopipe.sinks.text.halving import byte_before, byte_behind
from dtopipe.sinks.text.words import Words


class TextReader(LineReader):
    """One file of lines."""

    # Texts in its rows may have line breaks, and stand in quotes then.
    has_quotes = False

    @abstractmethod
    def columns(self) -> Sequence[str]:
        """The names of its columns, as the file itself has them. Raises SinkError."""

    def stream(self) -> Stream:
        """As FileReader.stream; of a file alone, the names of its columns, and the rate of its first rows."""
        if self._stream is not None:
            # Not the file's to say: it may have no row, which is no fault of it.
            return self._stream
        columns = self.columns()
        if tuple(columns) == LONG_COLUMNS:
            return super().stream()
        polled = value_places(columns)
        names = columns[3:] if polled is None else [columns[at] for at in polled]
        first = next(iter(self.batches()), None)
        return Stream(
            run_id=str(self.path.absolute()),
            task=self.path.stem,
            device="",
            channels=self.named(names),
            dtype="float64",
            rate_hz=_rate_hz(first),
            samples_per_block=1,
            started_at=iso_utc(0 if first is None else int(first.t_utc_ns[0])),
            polled=polled is not None,
        )

    def named(self, names: Sequence[str]) -> tuple[Channel, ...]:
        """The channels whose columns have these names, in a file alone."""
        return tuple(map(Channel, names))

    @abstractmethod
    def index_of(self, *, is_long: bool) -> Callable[[bytes], int]:
        """What tells the sample index of a row."""

    def rows_within(self, wanted: Wanted, channels: Sequence[int]) -> Iterator[OutputRows]:
        """As PartReader.rows_within: rows of every channel are in order, so that the file is halved to find them.

        A file without its commit record may have been put together by anybody, in any order.
        """
        start, stop = self.start, self.stop
        columns = self.columns()
        if self.snapshot is not None and tuple(columns) != LONG_COLUMNS and self.reading_places(columns) is None:
            index_of = self.index_of(is_long=False)
            start = byte_before(self.path, index_of, (start, stop), wanted.start, self.rows_begin())
            stop = byte_behind(self.path, index_of, (start, stop), wanted.stop, self.rows_begin())
        for rows in self.rows(start, stop, DamagedBytes(self.refuse)):
            if (part := rows.of_channels(channels)) is not None:
                yield part
        if self.is_cut and stop == self.stop:
            self.refuse(self.damage_of_record()[-1])

    @abstractmethod
    def strange_lines(self, lines: Iterator[str], words: Words) -> Iterator[int]:
        """The numbers of those lines, counted from the first one, that have other words."""

    def misworded(self, stream: Stream, *, is_long: bool) -> tuple[int, int]:
        """How many lines have words that are not those of the stream, and which is the first of them; 0 for none.

        Lines that cannot be read at all are not among them. Raises OSError.
        """
        with self.path.open("rb") as file:
            file.seek(self.start)
            wrong = self.strange_lines(_texts(file, self.stop), Words.of(stream, is_long=is_long))
            first = next(wrong, 0)
            return (1 + sum(1 for _ in wrong) if first else 0), first

    def rows_begin(self) -> int:
        """The byte at which rows begin: what is before that, such as names of columns, is of no run."""
        return 0


def _rate_hz(rows: OutputRows | None) -> float:
    """The rate that the times of these rows have, to a millionth; 1 where they tell none."""
    if rows is None or rows.t_mono_ns[-1] <= rows.t_mono_ns[0]:
        return 1.0
    n_periods = int(rows.sample_index[-1] - rows.sample_index[0])
    return round(n_periods * 1e9 / int(rows.t_mono_ns[-1] - rows.t_mono_ns[0]), 6)


def _texts(file: BinaryIO, stop: int) -> Iterator[str]:
    while file.tell() < stop and (line := file.readline(min(LONGEST_LINE_BYTES, stop - file.tell()))):
        yield line.decode(errors="replace")
