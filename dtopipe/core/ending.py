"""What ended a run: one word for programs, and words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dtopipe.model.clock import SampleClock


class EndedBy(StrEnum):
    """What ends runs. BOARD: it had nothing more to give. KILLED: found later, by another command."""

    CTRL_C = "ctrl_c"
    TERMINAL_CLOSED = "terminal_closed"
    SIGTERM = "sigterm"
    STOP = "stop"
    DURATION = "duration"
    OVERTIME = "overtime"
    BOARD = "board"
    DISK = "disk"
    FAILURE = "failure"
    KILLED = "killed"


# Of these the verdict's text tells by itself, or there is nothing to tell.
_TOLD_OTHERWISE = (EndedBy.BOARD, EndedBy.DISK, EndedBy.FAILURE, EndedBy.KILLED, EndedBy.OVERTIME)


@dataclass(frozen=True, slots=True)
class Ending:
    """`text` goes on from "ended by "."""

    by: EndedBy
    text: str

    @property
    def told_in_verdict(self) -> str:
        """What the verdict's text says of it; empty where that is told otherwise, or needs no word."""
        return "" if self.by in _TOLD_OTHERWISE else f"ended by {self.text}"

    def facts(self) -> dict[str, str]:
        """As in the run record."""
        return {"by": self.by.value, "text": self.text}


def ending_from(facts: Any) -> Ending | None:
    """What a run record says; None where it says nothing, or what no run of ours would."""
    if not isinstance(facts, Mapping):
        return None
    by, text = facts.get("by"), facts.get("text")
    if by not in list(EndedBy) or not isinstance(text, str):
        return None
    return Ending(EndedBy(by), text)


def stopped_by(user: str, host: str) -> Ending:
    """Somebody typed `dtopipe stop`; either may be unknown, and is empty then."""
    who = " on ".join(word for word in (user, host) if word)
    return Ending(EndedBy.STOP, f"dtopipe stop ({who})" if who else "dtopipe stop")


def bounded_by(duration_s: float) -> Ending:
    """It has lasted as long as it was to."""
    return Ending(EndedBy.DURATION, f"its duration of {duration_s:g} s")


BY_CTRL_C = Ending(EndedBy.CTRL_C, "Ctrl-C")
BY_CLOSED_TERMINAL = Ending(EndedBy.TERMINAL_CLOSED, "a terminal that was closed (SIGHUP)")
BY_SIGTERM = Ending(EndedBy.SIGTERM, "SIGTERM")
BY_BOARD = Ending(EndedBy.BOARD, "the board, which has no more")
BY_OVERTIME = Ending(EndedBy.OVERTIME, "its overtime_limit")
BY_FULL_DISK = Ending(EndedBy.DISK, "a disk that was nearly full")
BY_FAILURE = Ending(EndedBy.FAILURE, "a failure")
BY_KILL = Ending(EndedBy.KILLED, "a kill of its supervisor, or a power cut")


def end_of_duration(rate_hz: float, duration_s: float | None, first_sample_index: int) -> int | None:
    """Where a run that begins there ends by itself: `ceil(rate * duration)` later, exactly; None without a duration."""
    if duration_s is None:
        return None
    return first_sample_index + SampleClock(rate_hz).samples_in(duration_s)
