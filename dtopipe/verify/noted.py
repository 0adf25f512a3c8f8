"""What was noted of an ended run, for an output that is made or completed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_marks import marks_of
from dtopipe.host.run_readings import readings_of
from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.sinks.contract import InstrumentsWriter, MarkedReader, NotingWriter, OutputReader, SinkWriter
from dtopipe.verify.raw_source import RawSource

# Readings in a commit: bounded memory, and a transaction that a server takes at once.
_COMMIT_READINGS = 10_000


@dataclass(frozen=True, slots=True)
class Noted:
    """`metadata`: None where they are as the run began with them. `readings` gives them anew each time."""

    marks: Sequence[Mark] = ()
    metadata: Mapping[str, Any] | None = None
    readings: Callable[[], Iterable[InstrumentReading]] = tuple

    def give(self, writer: SinkWriter) -> None:
        """Hand all of it to a writer that is open and to be closed; what its output has no place for is left out."""
        if isinstance(writer, NotingWriter) and (self.marks or self.metadata is not None):
            writer.note(self.marks, self.metadata)
        if isinstance(writer, InstrumentsWriter):
            readings = iter(self.readings())
            while some := list(islice(readings, _COMMIT_READINGS)):
                writer.note_readings(some)
                writer.commit()

    def is_lacking_in(self, reader: OutputReader) -> bool:
        """True if an output that has a place for marks and metadata may not have all of these."""
        if not isinstance(reader, MarkedReader):
            return False
        there = {mark.number for mark in reader.marks()}
        return self.metadata is not None or not there.issuperset(mark.number for mark in self.marks)


def noted_of_run(folder: RunFolder, record: Mapping[str, Any]) -> Noted:
    """What the run folder says. Raises UsageError where it is none that a run has."""
    metadata = None
    if record.get("metadata_changes") and record.get("stream"):
        metadata = record["stream"].get("metadata")
    return Noted(marks_of(folder.path), metadata, lambda: readings_of(folder.path))


def noted_of_file(raw: RawSource) -> Noted:
    """What a raw file says at its end. Raises OSError."""
    return Noted(raw.marks(), raw.metadata())
