"""What was noted of the run, for one output: taken from the run folder, as often as it takes."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

from dtopipe.host.clock import mono_ns
from dtopipe.host.run_marks import MarkLines
from dtopipe.host.run_readings import ReadingLines
from dtopipe.host.run_record import read_run_record
from dtopipe.model.errors import UsageError
from dtopipe.shm.layout import Head
from dtopipe.shm.ring import Ring
from dtopipe.sinks.file.reopening import ReopeningWriter

# Readings that are handed over at once: a few tens of ms, so that blocks do not wait.
_MOST_READINGS = 2000
# A supervisor that is stopped must not keep an output open.
_LONGEST_WAIT_NS = 5_000_000_000
# Who counts has written it down before; a reader may be quicker than the file system says so.
_LOOKS_AGAIN_NS = 200_000_000


class Noting:
    """Looks only where the output has a place for it, and the supervisor has counted something new."""

    def __init__(self, writer: ReopeningWriter, ring: Ring, run_folder: Path) -> None:
        self._writer = writer
        self._ring = ring
        self._folder = run_folder
        self._marks = MarkLines(run_folder)
        self._readings = ReadingLines(run_folder)
        self._takes_any = writer.takes_notes or writer.takes_instruments
        self._noted = self._looked_ns = 0

    def is_due(self) -> bool:
        """True if there is something that the output has not."""
        if not self._takes_any or self._ring.words[Head.NOTED] == self._noted:
            return False
        return mono_ns() - self._looked_ns >= _LOOKS_AGAIN_NS

    def give(self) -> bool:
        """Hand over what there is, some of it at a time; False if there was nothing."""
        counted = self._ring.words[Head.NOTED]
        self._looked_ns = mono_ns()
        n_given = n_left = 0
        try:
            if self._writer.takes_notes and (marks := self._marks.take()):
                self._writer.note(marks, None)
                n_given += len(marks)
            if self._writer.takes_instruments and (readings := self._readings.take(_MOST_READINGS)):
                self._writer.note_readings(readings)
                n_given += len(readings)
                n_left = len(readings) == _MOST_READINGS
        except OSError as error:
            # The disk is away, or refuses: at the next look, or with a repair.
            logging.warning("what was noted of the run cannot be read: %s", error)
            return False
        if n_left:
            self._looked_ns = 0
        else:
            self._noted = counted
        return n_given > 0

    def is_all_there(self, since_ns: int) -> bool:
        """True once nothing more is noted, as the supervisor says, or it has not said so for long."""
        if not self._takes_any or self._ring.words[Head.NOTES_ENDED]:
            return True
        if mono_ns() - since_ns > _LONGEST_WAIT_NS:
            logging.warning("nobody says whether something is still noted: the output is closed with what there is")
            return True
        return False

    def give_metadata(self) -> None:
        """The run's metadata, where they were changed while it went on."""
        if not self._writer.takes_notes:
            return
        with contextlib.suppress(UsageError):
            record: dict[str, Any] = read_run_record(self._folder / "run.json")
            if record.get("metadata_changes") and record["stream"]:
                self._writer.note((), record["stream"]["metadata"])
