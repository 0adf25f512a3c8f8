"""Readings: what a polled task gives, one sample of every channel at a time, each with its own times.

A reading is one sample: its number is its sample index. Sinks store readings as rows of typed columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dtopipe.model.span import Span


class ColumnKind(Enum):
    """What the values of a column are. `TIME` is UTC in ns since 1970, written as each sink writes `t_utc`."""

    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class ReadingColumn:
    """One column of a readings table. `channel`: its number in the stream where it holds that channel's values."""

    name: str
    kind: ColumnKind
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """Rows of a readings table, in order.

    `columns[k]`: the n values of the k-th column of `reading_columns(stream)`, None for null; no NaN or infinity
    stands for null. `first_sample_index`: of the first row; the others follow on it.
    """

    first_sample_index: int
    columns: Sequence[Sequence[Any]]

    @property
    def n_samples(self) -> int:
        """How many readings."""
        return len(self.columns[0])

    @property
    def span(self) -> Span:
        """The sample indices of these readings."""
        return Span(self.first_sample_index, self.first_sample_index + self.n_samples)

    def trimmed(self, start: int, stop: int) -> Readings:
        """Those with `start <= index < stop`."""
        low = max(0, start - self.first_sample_index)
        high = max(low, min(self.n_samples, stop - self.first_sample_index))
        if low == 0 and high == self.n_samples:
            return self
        return Readings(self.first_sample_index + low, [column[low:high] for column in self.columns])
