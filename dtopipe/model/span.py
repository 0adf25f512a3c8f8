"""Ranges of sample indices, and the gaps among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, cast

from dtopipe.model.clock import SampleClock

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The samples `start <= index < stop`, per channel."""

    start: int
    stop: int

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __bool__(self) -> bool:
        return self.stop > self.start

    def intersection(self, other: Span) -> Span:
        """The samples in both; empty (false) where they do not meet."""
        start = max(self.start, other.start)
        return Span(start, max(start, min(self.stop, other.stop)))


class Cause(StrEnum):
    """Why a range is absent from an output."""

    BOARD_OVERRUN = "board_overrun"
    ACQUIRER_RESTART = "acquirer_restart"
    POLICY_DROP = "policy_drop"
    STALLED = "stalled"
    WRITE_ERROR = "write_error"
    WORKER_FAILED = "worker_failed"
    TRANSPORT = "transport"
    BOARD_AWAY = "board_away"
    # What an output that waits for its trigger was not to have: no fault of anybody.
    NOT_TRIGGERED = "not_triggered"

    @property
    def code(self) -> int:
        """The number that stands for this cause in binary records (PROTOCOL.md)."""
        return _CAUSE_CODES[self]

    @classmethod
    def from_code(cls, code: int) -> Cause:
        """The cause of a binary record. Raises KeyError on a number that is not one."""
        return _CAUSES_BY_CODE[code]


# Written to disk and to shared memory: a number, once given, is never used for another cause.
_CAUSE_CODES: dict[Cause, int] = {
    Cause.BOARD_OVERRUN: 1,
    Cause.ACQUIRER_RESTART: 2,
    Cause.POLICY_DROP: 3,
    Cause.STALLED: 4,
    Cause.WRITE_ERROR: 5,
    Cause.WORKER_FAILED: 6,
    Cause.TRANSPORT: 7,
    Cause.BOARD_AWAY: 8,
    Cause.NOT_TRIGGERED: 9,
}
# What the board itself lost: of a whole run nobody has it.
LOST_BY_BOARD = (Cause.BOARD_OVERRUN, Cause.BOARD_AWAY)
_CAUSES_BY_CODE = {code: cause for cause, code in _CAUSE_CODES.items()}


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """A span absent from an output, with its cause; `t_utc_ns` is its first sample's time on the sample clock."""

    span: Span
    cause: Cause
    t_utc_ns: int

    def __len__(self) -> int:
        return len(self.span)

    def trimmed(self, within: Span, clock: SampleClock) -> Gap:
        """What of it is within this span, which it meets, with the time of the first sample there."""
        part = self.span.intersection(within)
        if part == self.span:
            return self
        return Gap(part, self.cause, self.t_utc_ns + clock.offset_ns(part.start - self.span.start))


def goes_on(before: Gap, gap: Gap) -> bool:
    """True for a gap that is one with the one before it: what is not triggered is told as one, however long it is."""
    return before.cause is gap.cause is Cause.NOT_TRIGGERED and before.span.stop == gap.span.start


def add(items: list[_Item], more: Iterable[_Item]) -> list[_Item]:
    """More items behind these, gaps that go on with the one before them being one with it. Returns the same list."""
    for item in more:
        last = items[-1] if items else None
        if isinstance(item, Gap) and isinstance(last, Gap) and goes_on(last, item):
            items[-1] = cast(_Item, Gap(Span(last.span.start, item.span.stop), last.cause, last.t_utc_ns))
        else:
            items.append(item)
    return items


def as_one(items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items in order, gaps that go on with the one before them being one with it."""
    waiting: list[_Item] = []
    for item in items:
        add(waiting, [item])
        if len(waiting) > 1 or not isinstance(waiting[0], Gap):
            yield waiting.pop(0)
    yield from waiting


def growing(gaps: Sequence[Gap], committed: int | None = None) -> Sequence[Gap]:
    """The last of these gaps if what follows may be one with it, else none.

    `committed`: where the output ends; None: at the last gap.
    """
    if not gaps or gaps[-1].cause is not Cause.NOT_TRIGGERED or committed not in (None, gaps[-1].span.stop):
        return ()
    return gaps[-1:]


def merged(gaps: Iterable[Gap]) -> Iterator[Gap]:
    """The same gaps in order, neighbours of one cause joined."""
    held: Gap | None = None
    for gap in sorted(gaps):
        if held and held.cause == gap.cause and gap.span.start <= held.span.stop:
            held = Gap(Span(held.span.start, max(held.span.stop, gap.span.stop)), held.cause, held.t_utc_ns)
            continue
        if held:
            yield held
        held = gap
    if held:
        yield held
