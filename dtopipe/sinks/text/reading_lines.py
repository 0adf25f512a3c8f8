"""Readings as lines of text: each value's text between the literals of a row.

Readings are few, and their texts of any length: they are joined as they are, not laid out in columns of fixed width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dtopipe.model.readings import ColumnKind, ReadingColumn, Readings


@dataclass(frozen=True, slots=True)
class ReadingLines:
    """`literals[0] value[0] literals[1] ... value[-1] literals[-1]` for each reading.

    `null`: what stands for None; `quoted`: a text, or a time, as a value; `finite_only`: infinities are null too.
    """

    columns: Sequence[ReadingColumn]
    literals: Sequence[bytes]
    null: bytes
    quoted: Callable[[str], bytes]
    finite_only: bool

    def __call__(self, readings: Readings) -> bytes:
        """All lines as one piece."""
        row = [b""] * (2 * len(self.columns) + 1)
        row[::2] = self.literals
        pieces = row * readings.n_samples
        for number, (column, values) in enumerate(zip(self.columns, readings.columns, strict=True)):
            pieces[2 * number + 1 :: len(row)] = self._texts(column.kind, values)
        return b"".join(pieces)

    def _texts(self, kind: ColumnKind, values: Sequence[Any]) -> list[bytes]:
        null = self.null
        if kind is ColumnKind.INTEGER:
            return [null if value is None else b"%d" % value for value in values]
        if kind is ColumnKind.FLOAT:
            return self._float_texts(values)
        if kind is ColumnKind.TIME:
            stamps = np.array([value or 0 for value in values], "datetime64[ns]")
            texts = [f"{stamp}Z" for stamp in np.datetime_as_string(stamps).tolist()]
            return [null if value is None else self.quoted(text) for value, text in zip(values, texts, strict=True)]
        known = {value: null if value is None else self.quoted(value) for value in set(values)}
        return [known[value] for value in values]

    def _float_texts(self, values: Sequence[float | None]) -> list[bytes]:
        numbers = np.array(values, np.float64)
        there = np.isfinite(numbers) if self.finite_only else ~np.isnan(numbers)
        return [
            repr(number).encode() if is_there else self.null
            for number, is_there in zip(numbers.tolist(), there.tolist(), strict=True)
        ]
