"""Reads an output in parts back as one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import DescribedReader, OutputReader, OutputRows, PartReader
from dtopipe.sinks.parts.names import parts_there
from dtopipe.sinks.parts.positions import together
from dtopipe.wire.commit_snapshot import read_whole_part

# What readers may have besides, each a method whose results follow on each other, part by part.
_FOLLOWING = ("nulls", "readings", "marks")


def parted_reader(open_part: Callable[[Path], OutputReader], path: Path, run_id: str | None) -> OutputReader:
    """The reader of all parts that are there and belong to this run. Raises SinkError where there is none."""
    readers = [open_part(file) for file in own_parts(path, run_id).values()]
    if not readers:
        raise SinkError(path, "none of its parts is there", "refill it from another output")
    methods = {name: _following(name) for name in _FOLLOWING if all(hasattr(reader, name) for reader in readers)}
    kind: type[PartedReader] = type("PartedReader", (PartedReader,), methods)
    return kind(readers)


def own_parts(path: Path, run_id: str | None) -> dict[int, Path]:
    """The parts of this run, also those that do not say whose they are."""
    return {number: file for number, file in parts_there(path).items() if run_id in (None, _run_of(file, run_id))}


def _run_of(path: Path, otherwise: str | None) -> str | None:
    with contextlib.suppress(OSError, WireError):
        snapshot = read_whole_part(path)
        if snapshot is not None:
            return snapshot.stream.run_id
    return otherwise


class PartedReader:
    """An OutputReader, DescribedReader and PartReader over those of the parts, which are in order."""

    def __init__(self, readers: Sequence[OutputReader]) -> None:
        self._readers = readers

    @property
    def holds_nonfinite(self) -> bool:
        """False where one of them has NaN and infinities as null."""
        return all(getattr(reader, "holds_nonfinite", True) for reader in self._readers)

    def position(self) -> Position:
        """How far the last part is, with the counts of all."""
        return together([reader.position() for reader in self._readers])

    def reach(self) -> Position:
        """The same, with whole rows behind the last commit."""
        *closed, last = self._readers
        reach = getattr(last, "reach", last.position)
        return together([*(reader.position() for reader in closed), reach()])

    def gaps(self) -> Sequence[Gap]:
        """The gaps of all parts, in order."""
        return [gap for reader in self._readers for gap in reader.gaps()]

    def batches(self) -> Iterator[OutputRows]:
        """The rows of all parts, in order."""
        return chain.from_iterable(reader.batches() for reader in self._readers)

    def sound_batches(self, on_damage: Callable[[str], None]) -> Iterator[OutputRows]:
        """The rows that are whole; `on_damage` is told of the other places."""
        for reader in self._readers:
            sound = getattr(reader, "sound_batches", None)
            yield from reader.batches() if sound is None else sound(on_damage)

    def rows_within(self, wanted: Wanted, channels: Sequence[int]) -> Iterator[OutputRows]:
        """As PartReader.rows_within: parts without a sample that is wanted are not read."""
        for reader in self._readers:
            position = reader.position()
            if position.committed <= wanted.start or position.start >= wanted.stop:
                continue
            if isinstance(reader, PartReader):
                yield from reader.rows_within(wanted, channels)
                continue
            for rows in reader.batches():
                chosen = rows.of_channels(channels)
                if chosen is not None:
                    yield chosen

    def stream(self) -> Stream:
        """What the parts say of their run. Raises SinkError."""
        (*_, last) = self._readers
        if not isinstance(last, DescribedReader):
            raise SinkError(None, "its parts do not say of what run they are", "name its run folder")
        return last.stream()


def _following(name: str) -> Callable[..., Iterable[Any]]:
    def follow(self: Any, *arguments: Any) -> list[Any] | Iterator[Any]:
        found = chain.from_iterable(getattr(reader, name)(*arguments) for reader in self._readers)
        return found if name == "readings" else list(found)

    return follow
