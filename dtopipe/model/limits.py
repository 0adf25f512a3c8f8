"""Limits of a channel's values, and what was seen of them: crossings, each from its first sample to its last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# Of each limit so many crossings are told one by one in one go; the others are counted.
MOST_TOLD = 20


class Side(StrEnum):
    """Which limit of a channel."""

    HIGH = "high"
    LOW = "low"

    @property
    def word(self) -> str:
        """Where a value is that has crossed it."""
        return "above" if self is Side.HIGH else "below"


class Then(StrEnum):
    """What ended a crossing: the value is back inside, or nobody knows what it was."""

    INSIDE = "inside"
    NO_VALUE = "no_value"
    GAP = "gap"
    END = "end"


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """Both limits of a channel, in its own unit; None where there is none. A crossing counts from `for_s` on.

    `unit`: as the topology has it, which is the channel's; None where that says nothing.
    """

    channel: str
    high: float | None = None
    low: float | None = None
    for_s: float = 0.0
    unit: str | None = None

    def limits(self) -> list[tuple[Side, float]]:
        """Those that there are."""
        both = ((Side.HIGH, self.high), (Side.LOW, self.low))
        return [(side, limit) for side, limit in both if limit is not None]


@dataclass(frozen=True, slots=True)
class Crossing:
    """A stretch of samples `start <= index < stop` that are all beyond a limit; `stop` is None while it lasts.

    `at`: the sample from which on it had lasted for long enough; None, and `number` 0, before that. `extreme`: the
    value that was furthest out so far, of sample `extreme_at`.
    """

    number: int
    start: int
    start_value: float
    start_utc_ns: int
    at: int | None
    at_value: float | None
    extreme: float
    extreme_at: int
    stop: int | None = None
    then: Then | None = None


@dataclass(frozen=True, slots=True)
class LimitSeen:
    """What was seen of one limit so far: how many crossings, and samples in those that are over.

    `extreme`: of all of them. `current`: what goes on, also if it has not lasted for long enough yet. `news`: crossings
    that began to count, or ended, since it was told last; no more than MOST_TOLD of them.
    """

    channel: str
    side: Side
    crossings: int = 0
    outside: int = 0
    extreme: float | None = None
    current: Crossing | None = None
    news: tuple[Crossing, ...] = ()

    @property
    def lasting(self) -> Crossing | None:
        """The crossing that goes on, and has lasted for long enough."""
        return self.current if self.current is not None and self.current.at is not None else None
