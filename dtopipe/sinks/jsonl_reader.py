"""Reads a JSON Lines output back, of either layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import SinkError
from dtopipe.model.readings import Readings
from dtopipe.sinks.base import OutputRows
from dtopipe.sinks.csv_reader import times
from dtopipe.sinks.delimited import LONG_COLUMNS
from dtopipe.sinks.file_reader import FileReader
from dtopipe.sinks.reading_columns import reading_columns
from dtopipe.sinks.reading_pieces import from_json, reading_pieces


class JsonlReader(FileReader):
    """Rows in the order of the file."""

    def batches(self) -> Iterator[OutputRows]:
        """Readings and wide rows together; long ones a channel at a time, as they stand."""
        for piece in self.lines():
            try:
                documents = json.loads(b"[" + piece[:-1].replace(b"\n", b",") + b"]")
                columns = list(documents[0])
                if columns == list(LONG_COLUMNS):
                    yield from self._long(documents)
                    continue
                places = self.reading_places(columns)
                places = range(3, len(columns)) if places is None else places
                rows = [list(document.values()) for document in documents]
                yield _rows([row[:3] for row in rows], [[row[at] for row in rows] for at in places], None)
            except (ValueError, KeyError, IndexError) as error:
                raise SinkError(self.path, f"a line is damaged: {error}", "refill it from another output") from error

    def readings(self) -> Iterator[Readings]:
        """The readings of a polled run, every column of them."""
        columns = reading_columns(self._known().stream.channels)
        for piece in self.lines():
            try:
                rows = [list(json.loads(line).values()) for line in piece.splitlines()]
                found = from_json(columns, rows)
            except (ValueError, AttributeError) as error:
                raise SinkError(self.path, f"a line is damaged: {error}", "refill it from another output") from error
            yield from reading_pieces(found)

    def _long(self, documents: Sequence[dict[str, Any]]) -> Iterator[OutputRows]:
        names = [channel.name for channel in self._known().stream.channels]
        for name, group in groupby(documents, key=lambda document: document["channel"]):
            rows = list(group)
            head = [[row["sample_index"], row["t_mono_ns"], row["t_utc"]] for row in rows]
            yield _rows(head, [[row["value"] for row in rows]], names.index(name))


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
