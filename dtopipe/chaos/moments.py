"""Moments at which a kill is worth most: in the middle of a commit, and where a row group or a segment ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from dtopipe.model.plan import SinkPlan
from dtopipe.model.sink_types import Rollover
from dtopipe.shm.calls import CallWords
from dtopipe.shm.layout import Call
from dtopipe.sinks.registry import known_sink_type
from dtopipe.wire.raw_files import segments_of

# A flush interval, and then some; a row group's or a segment's end may be longer away than anybody waits.
_COMMIT_LIMIT_S, _ROLLOVER_LIMIT_S = 1.5, 3.0
_LOOK_EVERY_S = 0.0002


class Moment(StrEnum):
    """When a fault was injected. RESUME: into a successor that takes over; DRAIN: while the run ends."""

    ANY = "any"
    COMMIT = "commit"
    ROLLOVER = "rollover"
    RESUME = "resume"
    DRAIN = "drain"


def has_rollovers(sink: SinkPlan) -> bool:
    """True if its output has row groups or segments."""
    rollover = known_sink_type(sink.type).rollover
    return rollover is Rollover.ROW_GROUP or bool(rollover is Rollover.SEGMENT and sink.options.get("segment"))


def came_to_commit(calls: CallWords | None) -> bool:
    """Waits until the process is in a commit; False if that does not come. Turns without a sleep: commits are short."""
    deadline = time.monotonic() + _COMMIT_LIMIT_S
    while calls is not None and time.monotonic() < deadline:
        if calls.read()[0] is Call.COMMIT:
            return True
        # Others may run.
        time.sleep(0)
    return False


def came_to_rollover(sink: SinkPlan, path: Path) -> bool:
    """Waits until a row group or a new segment is being written; False if that does not come."""
    grown = _size if known_sink_type(sink.type).rollover is Rollover.ROW_GROUP else _segments
    return _changed(grown(path), lambda: grown(path))


def _changed(before: int, look: Callable[[], int]) -> bool:
    deadline = time.monotonic() + _ROLLOVER_LIMIT_S
    while time.monotonic() < deadline:
        if look() > before:
            return True
        time.sleep(_LOOK_EVERY_S)
    return False


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _segments(path: Path) -> int:
    with contextlib.suppress(OSError):
        return segments_of(path)[-1]
    return 0
