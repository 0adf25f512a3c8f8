"""Reads a JSON Lines output back, of either layout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import SinkError
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.file.whole_part import DamagedBytes, Front, OnDamage
from dtopipe.sinks.rows.reading_pieces import from_json, reading_pieces
from dtopipe.sinks.text.csv_cells import times
from dtopipe.sinks.text.delimited import LONG_COLUMNS
from dtopipe.sinks.text.reader import TextReader
from dtopipe.sinks.text.words import Words, strange_in_json

_Found = TypeVar("_Found")
_SPOILT = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)


class JsonlReader(TextReader):
    """Rows in the order of the file."""

    def columns(self) -> Sequence[str]:
        """As TextReader.columns; those of its first row."""
        for _, piece in self.pieces(self.start, self.end, DamagedBytes(lambda damage: None)):
            with contextlib.suppress(*_SPOILT):
                return list(json.loads(piece.partition(b"\n")[0]))
        raise SinkError(self.path, "has no row, and so no names of columns", "name another file")

    def index_of(self, *, is_long: bool) -> Callable[[bytes], int]:
        """As TextReader.index_of."""
        return lambda row: int(json.loads(row)["sample_index"])

    def strange_lines(self, lines: Iterator[str], words: Words) -> Iterator[int]:
        """As TextReader.strange_lines."""
        return strange_in_json(lines, words)

    def rows(self, start: int, stop: int, damaged: DamagedBytes) -> Iterator[OutputRows]:
        """Readings and wide rows together; long ones a channel at a time, as they stand."""
        return self._lines(start, stop, damaged, self._rows_of)

    def front(self) -> Front | None:
        """As FileReader.front; rows of the long layout are not in the order of their samples."""
        damaged = DamagedBytes(lambda damage: None)
        if any(rows.channel is not None for rows in self.rows(self.start, self.end, damaged)):
            return None
        stop = self.end if damaged.first is None else damaged.first
        return Front(self._end_before(stop), stop) if stop > self.start else None

    def readings(self, on_damage: OnDamage | None = None) -> Iterator[Readings]:
        """The readings of a polled run, every column of them; where nobody asks, no line may be damaged."""
        columns = reading_columns(self.channels())
        damaged = DamagedBytes(self.refuse) if on_damage is None else self.promised(on_damage)
        yield from self._lines(
            self.start,
            self.stop if on_damage is None else self.end,
            damaged,
            lambda documents: list(reading_pieces(from_json(columns, [list(row.values()) for row in documents]))),
        )

    def _lines(
        self,
        start: int,
        stop: int,
        damaged: DamagedBytes,
        understood: Callable[[list[dict[str, Any]]], list[_Found]],
    ) -> Iterator[_Found]:
        """What is `understood` of the lines: of many together, or of each by itself where not all of them can be."""
        for at, piece in self.pieces(start, stop, damaged):
            try:
                found = understood(json.loads(b"[" + piece[:-1].replace(b"\n", b",") + b"]"))
            except _SPOILT:
                yield from _line_by_line(at, piece, damaged, understood)
            else:
                yield from found
        damaged.end()

    def _rows_of(self, documents: list[dict[str, Any]]) -> list[OutputRows]:
        columns = list(documents[0])
        if columns == list(LONG_COLUMNS):
            return list(self._long(documents))
        rows = [list(document.values()) for document in documents]
        if any(len(row) != len(columns) for row in rows):
            raise ValueError("a line with other keys")
        places = self.reading_places(columns)
        places = range(3, len(columns)) if places is None else places
        return [_rows([row[:3] for row in rows], [[row[at] for row in rows] for at in places], None)]

    def _long(self, documents: Sequence[dict[str, Any]]) -> Iterator[OutputRows]:
        names = [channel.name for channel in self.channels()]
        for name, group in groupby(documents, key=lambda document: document["channel"]):
            rows = list(group)
            head = [[row["sample_index"], row["t_mono_ns"], row["t_utc"]] for row in rows]
            yield _rows(head, [[row["value"] for row in rows]], names.index(name))

    def _end_before(self, stop: int) -> int:
        """The sample index behind the last row that ends at or before this byte."""
        with sink_errors(self.path), self.path.open("rb") as file:
            begin = max(self.start, stop - 2**20)
            file.seek(begin)
            last = file.read(stop - begin)[:-1].rpartition(b"\n")[2]
        try:
            return int(json.loads(last)["sample_index"]) + 1
        except _SPOILT:
            return self.snapshot.position.start if self.snapshot else 0


def _line_by_line(
    at: int, piece: bytes, damaged: DamagedBytes, understood: Callable[[list[dict[str, Any]]], list[_Found]]
) -> Iterator[_Found]:
    for line in piece[:-1].split(b"\n"):
        try:
            found = understood([json.loads(line)])
        except _SPOILT:
            damaged.add(at, at + len(line) + 1)
        else:
            yield from found
        at += len(line) + 1


def _rows(head: Sequence[Sequence[Any]], values: Sequence[Sequence[Any]], channel: int | None) -> OutputRows:
    return OutputRows(
        sample_index=np.array([row[0] for row in head], np.int64),
        t_mono_ns=np.array([row[1] for row in head], np.int64),
        t_utc_ns=times([row[2].encode() for row in head]),
        values=[_numbers(column) for column in values],
        channel=channel,
    )


def _numbers(column: Sequence[Any]) -> NDArray[np.float64]:
    """None becomes NaN."""
    return np.array(column, dtype=np.float64)
