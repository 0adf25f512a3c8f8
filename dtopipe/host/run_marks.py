"""The marks of a run, from its folder: lines of `events.jsonl`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from dtopipe.host.closed import closed
from dtopipe.host.recorded_path import ensure_own_files
from dtopipe.model.facts import parsed
from dtopipe.model.marks import Mark

# What an event is called that is a mark; the mark itself is the value of the key of this name.
MARK = "mark"
_MARKED = b'"mark"'
# A mark takes a tenth of that; what is longer is damage.
_LONGEST_LINE = 2**16
# Ten times as many as a run takes; a folder may be anybody's.
_MOST_MARKS = 100_000


def mark_line(mark: Mark, t_utc: str) -> dict[str, Any]:
    """A mark as a line of `events.jsonl`; `t_utc`: when it was written down."""
    return {"t_utc": t_utc, "event": MARK, MARK: mark.to_json()}


class MarkLines:
    """Reads the events of a run that may go on, from where the last call has got to; writes nothing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events.jsonl"
        self._at = 0

    def take(self) -> list[Mark]:
        """Every mark that was not taken yet; a line that is being written waits, damage is passed over.

        Raises OSError.
        """
        found: list[Mark] = []
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._at)
            while len(found) < _MOST_MARKS and (line := file.readline(_LONGEST_LINE)):
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    break
                self._at += len(line)
                mark = mark_from(line) if _MARKED in line else None
                if mark is not None:
                    found.append(mark)
        return found


def marks_of(folder: Path) -> tuple[Mark, ...]:
    """Every mark in this run folder, of a run in progress or an ended one, by sample index; empty where there is none.

    It holds no lock and writes nothing. A line that is torn or damaged is passed over; of a mark that stands there
    twice, the first counts. Raises UsageError where the folder is none that a run has, or may not be read.
    """
    ensure_own_files(folder)
    marks: dict[int, Mark] = {}
    try:
        for mark in MarkLines(folder).take():
            marks.setdefault(mark.number, mark)
    except PermissionError as error:
        raise closed(folder / "events.jsonl") from error
    return tuple(sorted(marks.values(), key=lambda mark: (mark.sample_index, mark.number)))


def mark_from(line: bytes) -> Mark | None:
    """The mark in this line of `events.jsonl`; None if it is another event, or damaged."""
    with contextlib.suppress(ValueError):
        event = parsed(line)
        if isinstance(event, dict) and event.get("event") == MARK:
            return Mark.from_json(event.get(MARK, {}))
    return None
