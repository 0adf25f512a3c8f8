"""Readings taken out of an output again, whole rows of typed columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from dtopipe.model.clock import utc_ns
from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings

_FROM_TEXT: Mapping[ColumnKind, Callable[[str], Any]] = {
    ColumnKind.INTEGER: int,
    ColumnKind.FLOAT: float,
    ColumnKind.TEXT: str,
    ColumnKind.TIME: utc_ns,
}


def reading_pieces(columns: Sequence[Sequence[Any]]) -> Iterator[Readings]:
    """The rows of these columns, `columns[k]` being those of `reading_columns`, as pieces without a hole."""
    index = columns[0]
    breaks = [at for at in range(1, len(index)) if index[at] != index[at - 1] + 1]
    for start, stop in pairwise([0, *breaks, len(index)]):
        if stop > start:
            yield Readings(int(index[start]), [column[start:stop] for column in columns])


def from_texts(columns: Sequence[ReadingColumn], rows: Sequence[Sequence[str]]) -> list[list[Any]]:
    """Columns of values from rows of text; an empty text is null."""
    return [
        [_FROM_TEXT[column.kind](text) if text else None for text in texts]
        for column, texts in zip(columns, zip(*rows, strict=True), strict=True)
    ]


def from_json(columns: Sequence[ReadingColumn], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Columns of values from rows of JSON values, in which a time is a text."""
    found = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        kind = _FROM_TEXT[column.kind]
        found.append([None if value is None else kind(value) for value in values])
    return found
