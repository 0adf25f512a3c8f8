"""What the readers of CSV and JSON Lines have in common besides being lines: words, and the index of a row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import BinaryIO

from dtopipe.model.stream import Stream
from dtopipe.sinks.file.line_reader import LONGEST_LINE_BYTES, LineReader
from dtopipe.sinks.text.words import Words


class TextReader(LineReader):
    """One file of lines."""

    # Texts in its rows may have line breaks, and stand in quotes then.
    has_quotes = False

    @abstractmethod
    def index_of(self, *, is_long: bool) -> Callable[[bytes], int]:
        """What tells the sample index of a row."""

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


def _texts(file: BinaryIO, stop: int) -> Iterator[str]:
    while file.tell() < stop and (line := file.readline(min(LONGEST_LINE_BYTES, stop - file.tell()))):
        yield line.decode(errors="replace")
