"""Holds the readings of a polled run against those of other outputs: every column of every row.

Readings have no raw file. Where all others that have a reading say otherwise, it is the output that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, Readings
from dtopipe.model.span import Span
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import Recount

_Row: TypeAlias = tuple[Any, ...]


def differing_readings(output: Output, others: Sequence[Output]) -> list[Span]:
    """The readings that stand otherwise in all of `others` that have them. Raises what a reader raises."""
    named = {output.name: output, **{other.name: other for other in others}}
    unit_ns = max(each.kind.utc_unit_ns for each in named.values())
    finite_only = not all(each.holds_nonfinite() for each in named.values())
    alike = _Alike(output, unit_ns, finite_only=finite_only)
    along = [_Along(_rows(other)) for other in others if _has_readings(other)]
    wrong = Recount()
    for index, row in _rows(output) if _has_readings(output) and along else ():
        found = [other for each in along if (other := each.at(index)) is not None]
        # The same objects in most columns of most rows: looked at closely only where they are not.
        if found and all(other != row for other in found):
            mine = alike.row(row)
            if all(alike.row(other) != mine for other in found):
                wrong.add_span(Span(index, index + 1))
    return list(wrong.result().covered)


class _Along:
    """Rows that are asked for in rising order of their numbers."""

    def __init__(self, rows: Iterator[tuple[int, _Row]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def at(self, index: int) -> _Row | None:
        """The row of that number; None where there is none."""
        while self._next is not None and self._next[0] < index:
            self._next = next(self._rows, None)
        return self._next[1] if self._next is not None and self._next[0] == index else None


class _Alike:
    """Rows as every sink could have them: times as coarse as the coarsest's, nothing for what one cannot hold."""

    def __init__(self, output: Output, unit_ns: int, *, finite_only: bool) -> None:
        self._kinds = [column.kind for column in reading_columns(output.stream.channels)]
        self._unit_ns = unit_ns
        self._finite_only = finite_only

    def row(self, row: _Row) -> _Row:
        """It as such."""
        return tuple(self._value(kind, value) for kind, value in zip(self._kinds, row, strict=True))

    def _value(self, kind: ColumnKind, value: Any) -> Any:
        if value is None:
            return None
        if kind is ColumnKind.TIME:
            return value // self._unit_ns
        if kind is ColumnKind.FLOAT and self._finite_only and not math.isfinite(value):
            return None
        # An empty text is nothing in CSV.
        return value if kind is not ColumnKind.TEXT else value or None


def _has_readings(output: Output) -> bool:
    return hasattr(output.reader(), "readings")


def _rows(output: Output) -> Iterator[tuple[int, _Row]]:
    readings: Iterable[Readings] = getattr(output.reader(), "readings")()  # noqa: B009
    for each in readings:
        yield from enumerate(zip(*each.columns, strict=True), start=each.first_sample_index)
