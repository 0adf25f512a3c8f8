"""A sink as somebody may write it who knows nothing of full disks: a text file, and beside it where to go on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions


def line(block: Block) -> bytes:
    return f"{block.first_sample_index};{','.join(map(str, block.codes[0].tolist()))}\n".encode()


class NaiveWriter:
    """Writes lines with `file.write`, lets OSErrors through, takes nothing back, and cuts back when it is opened."""

    def __init__(self, output: OutputOptions, *, buffered: bool = False) -> None:
        assert output.path is not None
        self._path = output.path
        self._mark = output.path.with_name(output.path.name + ".mark")
        self._buffered = buffered
        self._file: BinaryIO | None = None
        self._position = Position()

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        self._position, size = Position(start, start, start), 0
        if resume and self._mark.exists():
            committed, size = map(int, self._mark.read_text().split())
            self._position = Position(start, committed, start, committed - start)
        self._file = self._path.open("r+b" if self._path.exists() else "w+b", buffering=-1 if self._buffered else 0)
        self._file.truncate(size)
        self._file.seek(size)
        return self._position

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        assert self._file is not None
        for item in items:
            if isinstance(item, Block):
                rest = memoryview(line(item))
                while rest:
                    rest = rest[self._file.write(rest) :]
        self._position = self._position.after(items)

    def commit(self) -> Position:
        assert self._file is not None
        self._file.flush()
        draft = self._mark.with_name(self._mark.name + ".new")
        draft.write_text(f"{self._position.committed} {self._file.tell()}")
        draft.replace(self._mark)
        return self._position

    def sync(self) -> Position:
        assert self._file is not None
        os.fsync(self._file.fileno())
        return self._position

    def close(self) -> Position:
        position = self.commit()
        self.abandon()
        return position

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
