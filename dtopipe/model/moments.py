"""A moment of a run, as somebody names it: now, three seconds ago, a sample index, a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dtopipe.model.clock import utc_ns
from dtopipe.model.errors import UsageError

_WAY_OUT = "write -3s (before now), a sample index, or a time with its zone, such as 2026-11-22T23:41:07.5Z"

# More is no sample index, and no number that every machine has.
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Moment:
    """At most one is set; with none of them it is now. `t_utc_ns` is looked up on the run's own clock."""

    before_s: float = 0.0
    sample_index: int | None = None
    t_utc_ns: int | None = None


def moment_of(at: str | int | datetime | None) -> Moment:
    """What `--at` says: `-3s`, a sample index, an ISO 8601 time with its zone. Raises UsageError."""
    if at is None:
        return Moment()
    if isinstance(at, datetime):
        at = at.isoformat()
    if isinstance(at, int) and not isinstance(at, bool):
        at = str(at)
    if not isinstance(at, str):
        raise UsageError(f"a moment cannot be {at!r}", _WAY_OUT)
    text = at.strip()
    if text.startswith("-"):
        return Moment(before_s=_seconds(at, text[1:]))
    digits = text.replace("_", "").replace(",", "")
    if digits.isdecimal() and digits.isascii() and len(digits) <= _MOST_DIGITS:
        return Moment(sample_index=int(digits))
    return Moment(t_utc_ns=_time(at, text))


def _seconds(given: str, text: str) -> float:
    # pydantic, which takes longer to import than most commands to run.
    from dtopipe.model.quantities import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(f"a moment cannot be {given!r}: {error}", _WAY_OUT) from error


def _time(given: str, text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            what = f"the time {given!r} has no zone, and could be meant in this place's own or in UTC"
            raise UsageError(what, "end it with Z where it is UTC, or with the offset, such as +02:00")
        found_ns = utc_ns(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"a moment cannot be {given!r}", _WAY_OUT) from error
    if found_ns < 0:
        raise UsageError(f"a moment cannot be {given!r}: it is long before any run", _WAY_OUT)
    return found_ns
