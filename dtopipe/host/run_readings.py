"""The readings of instruments beside a run, from its folder: `instruments.jsonl`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dtopipe.host.closed import closed
from dtopipe.host.recorded_path import ensure_own_files
from dtopipe.model.facts import parsed
from dtopipe.model.instruments import InstrumentReading

# Its lines are readings as `InstrumentReading.to_json` has them, by number.
INSTRUMENTS_FILE = "instruments.jsonl"
# Fifty values with long names take a tenth of that; what is longer is damage.
_LONGEST_LINE = 2**16


class ReadingLines:
    """Reads the file of a run that may go on, from where the last call has got to; writes nothing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / INSTRUMENTS_FILE
        self._at = 0

    def take(self, most: int) -> list[InstrumentReading]:
        """At most so many readings that were not taken yet; a line that is being written waits, damage is passed over.

        Raises OSError.
        """
        found: list[InstrumentReading] = []
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._at)
            while len(found) < most and (line := file.readline(_LONGEST_LINE)):
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    break
                self._at += len(line)
                with contextlib.suppress(ValueError):
                    found.append(InstrumentReading.from_json(parsed(line)))
        return found


def readings_of(folder: Path) -> Iterator[InstrumentReading]:
    """Every reading in this run folder, in the order in which they came; none where there is none.

    It holds no lock and writes nothing. Raises UsageError where the folder is none that a run has, or may not be read.
    """
    ensure_own_files(folder)
    lines = ReadingLines(folder)
    try:
        while found := lines.take(1000):
            yield from found
    except PermissionError as error:
        raise closed(folder / INSTRUMENTS_FILE) from error
