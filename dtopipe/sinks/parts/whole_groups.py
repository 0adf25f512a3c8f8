"""Hands items to a writer so that what it writes does not depend on how they came."""

from __future__ import annotations

from collections.abc import Sequence

from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import SinkWriter


class WholeGroups:
    """Over an open writer: one of row groups commits each of them by itself, and so always the same ones."""

    def __init__(self, writer: SinkWriter) -> None:
        self._writer = writer
        self._waiting: list[Block | Gap | Readings] = []

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """As SinkWriter.append, but for what fills a group: that is committed."""
        for item in items:
            self._take(item)
        self._hand_over()

    def _take(self, piece: Block | Gap | Readings) -> None:
        while not isinstance(piece, Gap) and (room := self._room()) is not None and piece.n_samples >= room:
            span = piece.span
            behind = span.start + room * (piece.step if isinstance(piece, Block) else 1)
            self._waiting.append(piece.trimmed(span.start, behind))
            self._hand_over()
            self._writer.commit()
            if behind >= span.stop:
                return
            piece = piece.trimmed(behind, span.stop)
        self._waiting.append(piece)

    def _room(self) -> int | None:
        """How many rows its group still takes; None of a writer without groups."""
        to_group: int | None = getattr(self._writer, "rows_to_group", None)
        if to_group is None:
            return None
        return to_group - sum(0 if isinstance(item, Gap) else item.n_samples for item in self._waiting)

    def _hand_over(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.append(waiting)
