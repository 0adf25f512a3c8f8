"""The newest events and gaps of a run folder, read as they are appended; nothing is written."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dtopipe.model.facts import parsed

_KEPT = 40
_GAPS_KEPT = 500
# A run of a day that is opened late: its newest lines are what is wanted.
_MOST_BYTES = 2**20


class LineTail:
    """Takes the whole lines that a JSON Lines file has got since the last call, the newest `kept` that are wanted."""

    def __init__(self, path: Path, kept: int, is_wanted: Callable[[dict[str, Any]], bool] = lambda line: True) -> None:
        self._path = path
        self._is_wanted = is_wanted
        self._at: int | None = None
        self._kept = kept

    def take(self) -> list[dict[str, Any]]:
        """In order; a line that is being written waits, damage is passed over."""
        found: deque[dict[str, Any]] = deque(maxlen=self._kept)
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            size = file.seek(0, 2)
            is_cut = self._at is None and size > _MOST_BYTES
            start = size - _MOST_BYTES if is_cut else self._at or 0
            file.seek(start)
            text = file.read(_MOST_BYTES)
            whole = text[: text.rfind(b"\n") + 1]
            self._at = start + len(whole)
            for line in whole.splitlines()[1 if is_cut else 0 :]:
                with contextlib.suppress(ValueError):
                    document = parsed(line)
                    if isinstance(document, dict) and self._is_wanted(document):
                        found.append(document)
        return list(found)


class EventTail:
    """What a page shows of `events.jsonl` and `gaps.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self._events = LineTail(folder / "events.jsonl", _KEPT)
        # Of the run itself: what single outputs lack stands with them.
        self._gaps = LineTail(folder / "gaps.jsonl", _GAPS_KEPT, lambda gap: gap.get("sink") is None)
        self.events: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.gaps: deque[dict[str, Any]] = deque(maxlen=_GAPS_KEPT)

    def look(self) -> None:
        """Take what is new."""
        self.events.extend(self._events.take())
        self.gaps.extend(self._gaps.take())
