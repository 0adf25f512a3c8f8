"""Readings of instruments beside a run in progress: numbered and written down in the order in which they come."""

from __future__ import annotations

import logging
from pathlib import Path

from dtopipe.host.clock import mono_ns
from dtopipe.host.disk_names import sync_names
from dtopipe.host.run_readings import INSTRUMENTS_FILE
from dtopipe.model.errors import RunOver, UsageError
from dtopipe.model.instruments import InstrumentReading, checked_instrument, checked_values
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.stream import Stream
from dtopipe.supervisor.lines import LineFile
from dtopipe.supervisor.moments import Moments
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.wire.commands import NoteReading, ReadingNoted, Refused

_log = logging.getLogger("dtopipe.supervisor")
# Each is a column of a table, and its unit another one.
_MOST_NAMES = 300
_SYNCS_EVERY_NS = 1_000_000_000


class Instruments:
    """The lines of `instruments.jsonl`; a run without instruments has no such file.

    Each is in the file, and so survives every process, before anybody is told; it is synced within a second.
    """

    def __init__(self, memory: RunMemory, moments: Moments, folder: Path) -> None:
        """`folder`: the run's."""
        self._memory = memory
        self._moments = moments
        self._path = folder / INSTRUMENTS_FILE
        self._lines: LineFile | None = None
        self.count = 0
        # The names of all values so far, by their small letters.
        self._names: dict[str, str] = {}
        self._synced = 0
        self._synced_ns = mono_ns()

    def note(self, asked: NoteReading) -> ReadingNoted | Refused:
        """Write this reading down, or refuse with the reason; then nothing has changed."""
        try:
            instrument = checked_instrument(asked.instrument)
            values, units = checked_values(asked.values, asked.units)
            self._ensure_columns(values)
            at = self._moments.of_reading(asked.t_mono_ns)
        except UsageError as error:
            return Refused(error.message, error.remedy, is_over=isinstance(error, RunOver))
        number = self.count + 1
        reading = InstrumentReading(number, instrument, at.sample_index, at.t_mono_ns, at.t_utc_ns, values, units)
        if not self._written(reading):
            return Refused("the disk of the run folder has no room for this reading", "free some space, and try again")
        self.count = number
        self._names |= {name.lower(): name for name in values}
        return ReadingNoted(number, at.sample_index, at.t_utc_ns)

    def look(self, now_ns: int) -> None:
        """One turn: what was written is synced now and then."""
        is_due = self.count > self._synced and now_ns - self._synced_ns >= _SYNCS_EVERY_NS
        if is_due and self._lines is not None:
            self._synced_ns = now_ns
            if self._lines.sync():
                self._synced = self.count

    def close(self) -> None:
        """Done, and synced."""
        if self._lines is not None:
            self._lines.close()

    def _written(self, reading: InstrumentReading) -> bool:
        try:
            if self._lines is None:
                self._lines = LineFile(self._path)
                sync_names(self._path.parent)
        except OSError as error:
            _log.warning("%s: %s", self._path, error)
            return False
        return self._lines.append_now(reading.to_json())

    def _ensure_columns(self, values: dict[str, float | None]) -> None:
        """Raises UsageError where a table of readings has no column of this name for it."""
        stream = self._memory.stream
        taken = _taken(stream) if stream is not None else set()
        for name in values:
            known = self._names.get(name.lower(), name)
            if known != name:
                what = f"the run has readings called {known}, and {name} differs from it by its capitals only"
                raise UsageError(what, f"call it {known}, or otherwise")
            if name.lower() in taken:
                raise UsageError(f"a value cannot be called {name}: the table of readings has that column", "rename it")
        if len(self._names.keys() | {name.lower() for name in values}) > _MOST_NAMES:
            what = f"the run has readings of {len(self._names)} names already"
            raise UsageError(what, "use the same names again: instruments are told apart by their own")


def _taken(stream: Stream) -> set[str]:
    """The names, in small letters, of the columns that such a table has in any case; times have others in SQLite."""
    columns = reading_columns(stream.channels if stream.polled else ())
    names = {column.name.lower() for column in columns}
    return {"run", "number", *names, *(f"{name}_ns" for name in names)}
