"""What happened in a run, from its folder: lines of `events.jsonl`, which may come from anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dtopipe.model.facts import parsed

# Those that a run writes are a tenth of it; a run of a month has some thousand of them.
_LONGEST_LINE = 2**16
_MOST_LINES = 1_000_000
# The end of the events in which the newest one is looked for: several lines, whatever is in them.
_END_BYTES = 8192


def events_of(folder: Path, *names: str) -> Iterator[dict[str, Any]]:
    """The events of these names, or all, in a run folder, in their order; none where they cannot be read.

    It writes nothing, and passes over what is torn or damaged.
    """
    marks = [f'"{name}"'.encode() for name in names]
    with contextlib.suppress(OSError), (folder / "events.jsonl").open("rb") as file:
        for _ in range(_MOST_LINES):
            line = file.readline(_LONGEST_LINE)
            if not line:
                return
            if marks and not any(mark in line for mark in marks):
                continue
            with contextlib.suppress(ValueError):
                event = parsed(line)
                if isinstance(event, dict) and (not names or event.get("event") in names):
                    yield event


def newest_event(folder: Path) -> dict[str, Any] | None:
    """The last event of a run in progress that is whole; None where none can be read. It writes nothing."""
    try:
        with (folder / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _END_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        # The last one may be half written.
        with contextlib.suppress(ValueError):
            event = parsed(line)
            if isinstance(event, dict):
                return event
    return None
