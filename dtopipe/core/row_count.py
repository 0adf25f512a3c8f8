"""How many rows an output has: of a view fewer than its samples, in the long layout more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.model.position import Position
from dtopipe.model.span import Gap


@dataclass(frozen=True, slots=True)
class RowShape:
    """`row_samples`: samples that a row of a view stands for. `rows_a_sample`: in the long layout one a channel."""

    row_samples: int = 1
    rows_a_sample: int = 1

    @classmethod
    def recorded(cls, sink: Mapping[str, Any]) -> RowShape:
        """The one that a sink of a run record has."""
        return cls(int(sink.get("row_samples", 1)), int(sink.get("rows_a_sample", 1)))

    def facts(self) -> dict[str, int]:
        """For the record; a row a sample goes without saying."""
        found = {"row_samples": self.row_samples, "rows_a_sample": self.rows_a_sample}
        return {name: number for name, number in found.items() if number != 1}


class RowCount:
    """Counts the rows of one output, in a memory that does not grow; its gaps are told in order."""

    def __init__(self, shape: RowShape) -> None:
        self.shape = shape
        self._start: int | None = None
        self._stop = 0
        # Windows begun by gaps before the last one, and that last one, neighbours being one.
        self._more = 0
        self._first_gap: int | None = None

    def note(self, gaps: Iterable[Gap]) -> None:
        """These are absent; those that were told before do not count again."""
        for gap in gaps:
            start, stop = gap.span.start, gap.span.stop
            if self._start is not None and stop <= self._stop:
                continue
            if self._start is None or start > self._stop:
                self._settle()
                self._start = start
                self._first_gap = start if self._first_gap is None else self._first_gap
            self._stop = stop

    def rows(self, position: Position) -> int:
        """The rows of an output that is so far."""
        every = self.shape.row_samples
        if every == 1:
            return position.samples * self.shape.rows_a_sample
        start, committed = position.start, position.committed
        if committed == start:
            return 0
        more = self._more + self._of_last()
        if self._first_gap == start and start % every:
            # No row stands before a gap at the very beginning.
            more -= 1
        if self._start is not None and self._stop == committed and committed % every:
            more -= 1
        return max(0, -(-committed // every) - start // every + more) * self.shape.rows_a_sample

    def _settle(self) -> None:
        self._more += self._of_last()

    def _of_last(self) -> int:
        """What the last gap adds: it ends a row, and another one begins behind it."""
        if self._start is None:
            return 0
        every = self.shape.row_samples
        return -(-self._start // every) - self._stop // every


def rows_of(shape: RowShape, position: Position, gaps: Iterable[Gap]) -> int:
    """The rows of an output with these gaps."""
    count = RowCount(shape)
    count.note(sorted(gaps))
    return count.rows(position)
