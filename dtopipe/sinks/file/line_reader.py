"""Reads a file of lines: whole lines, and where the others are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.reader import FileReader
from dtopipe.sinks.file.whole_part import DamagedBytes, OnDamage

_PIECE_BYTES = 2**22
# Zeros have no line's end: a hole in a file is not kept in memory.
LONGEST_LINE_BYTES = 2**24


class LineReader(FileReader):
    """One file of lines; the subclass says what rows they are."""

    @abstractmethod
    def rows(self, start: int, stop: int, damaged: DamagedBytes) -> Iterator[OutputRows]:
        """The whole rows between these bytes, in the order of the file; `damaged` is told of what is passed over."""

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
                if len(rest) > LONGEST_LINE_BYTES:
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


def _lines(piece: bytes) -> Iterator[bytes]:
    for line in piece[:-1].split(b"\n"):
        yield line + b"\n"
