"""What people and instruments noted of a run, until it is in a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.stream import Channel


class WaitingNotes:
    """Marks, readings and metadata, kept until they are in a transaction that was done; the subclass inserts them."""

    def __init__(self, run: int, task: str) -> None:
        """`run`: the key of the run in the database."""
        self._run = run
        self._task = task
        self._marks: dict[int, Mark] = {}
        self._readings: list[InstrumentReading] = []
        self._metadata: Mapping[str, Any] | None = None
        # Why something of it is not there, if it is not.
        self.remark = ""
        # The values that the table of readings has columns for, as far as this writer knows.
        self._channels: dict[str, Channel] = {}

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note."""
        self._marks |= {mark.number: mark for mark in marks}
        self._metadata = self._metadata if metadata is None else metadata

    def note_readings(self, readings: Sequence[InstrumentReading]) -> None:
        """As InstrumentsWriter.note_readings."""
        self._readings += readings

    def __bool__(self) -> bool:
        """True if something waits for a transaction."""
        return bool(self._marks or self._readings or self._metadata is not None)

    def done(self) -> None:
        """The transaction was done."""
        self._marks, self._readings, self._metadata = {}, [], None
