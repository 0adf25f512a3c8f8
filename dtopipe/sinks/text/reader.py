"""What the readers of CSV and JSON Lines have in common: whole lines, and where the others are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import BinaryIO

from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.reader import FileReader
from dtopipe.sinks.file.whole_part import DamagedBytes, OnDamage
from dtopipe.sinks.text.words import Words

_PIECE_BYTES = 2**22
# Zeros have no line's end: a hole in a file is not kept in memory.
_LONGEST_LINE_BYTES = 2**24


class TextReader(FileReader):
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

    @abstractmethod
    def rows(self, start: int, stop: int, damaged: DamagedBytes) -> Iterator[OutputRows]:
        """The whole rows between these bytes, in the order of the file; `damaged` is told of what is passed over."""

    def rows_begin(self) -> int:
        """At which byte: what is before that, such as names of columns, is of no run."""
        return 0

    def committed_rows(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """As FileReader.committed_rows."""
        return self.rows(self.start, self.stop, DamagedBytes(on_damage))

    def sound_rows(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """As FileReader.sound_rows."""
        return self.rows(self.start, self.end, self.promised(on_damage))

    def rows_behind(self) -> Iterator[OutputRows]:
        """As FileReader.rows_behind."""
        return self.rows(self.stop, self.end, DamagedBytes(lambda damage: None)) if self.end > self.stop else iter(())

    def promised(self, on_damage: OnDamage) -> DamagedBytes:
        """Tells `on_damage` of damage, but not of half a row that a writer was killed over."""
        return DamagedBytes(on_damage, committed=self.stop if self.is_open and not self.is_cut else None)

    def pieces(self, start: int, stop: int, damaged: DamagedBytes) -> Iterator[tuple[int, bytes]]:
        """(byte at which it begins, whole lines) of the bytes from `start` to `stop`, without what is no text."""
        with sink_errors(self.path), self.path.open("rb") as file:
            at = file.seek(start)
            rest = b""
            while piece := file.read(min(_PIECE_BYTES, max(0, stop - file.tell()))):
                piece = rest + piece
                end = piece.rfind(b"\n") + 1
                rest = piece[end:]
                if end and b"\0" not in piece[:end]:
                    yield at, piece[:end]
                elif end:
                    yield from _without_zeros(at, piece[:end], damaged)
                at += end
                if len(rest) > _LONGEST_LINE_BYTES:
                    damaged.add(at, at + len(rest))
                    at, rest = at + len(rest), b""
            if rest:
                damaged.add(at, at + len(rest))
            damaged.end()


def _without_zeros(at: int, piece: bytes, damaged: DamagedBytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a piece in which no zero is, neighbours as one: a disk gives zeros where nothing was written."""
    begin = end = 0
    for line in _lines(piece):
        start, end = end, end + len(line)
        if b"\0" in line:
            if start > begin:
                yield at + begin, piece[begin:start]
            damaged.add(at + start, at + end)
            begin = end
    if end > begin:
        yield at + begin, piece[begin:end]


def _texts(file: BinaryIO, stop: int) -> Iterator[str]:
    while file.tell() < stop and (line := file.readline(min(_LONGEST_LINE_BYTES, stop - file.tell()))):
        yield line.decode(errors="replace")


def _lines(piece: bytes) -> Iterator[bytes]:
    for line in piece[:-1].split(b"\n"):
        yield line + b"\n"
