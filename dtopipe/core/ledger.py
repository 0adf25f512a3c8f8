"""The rules of the ring: which slot may be written, and which may be read.

Sequence number `s` lives in slot `s % n_slots`. The head is the next number to be published. A pinning reader (BLOCK)
holds every number from its `released` on; nobody else holds anything. These functions are all the rules there are:
the shared-memory writer and reader ask them, and a state machine tests them against a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pin:
    """A reader that must miss nothing: `row` in the subscriber table, numbers below `released` are committed."""

    row: int
    released: int


@dataclass(frozen=True, slots=True)
class Go:
    """The head's slot may be written; the next `slots` numbers are free without looking at the pins again."""

    slots: int


@dataclass(frozen=True, slots=True)
class Stall:
    """The head's slot is still held, by these rows."""

    waiting_for: tuple[int, ...]


def may_publish(head: int, n_slots: int, pins: Iterable[Pin]) -> Go | Stall:
    """May number `head` be written? Only if no pin holds number `head - n_slots`, which lies in the same slot."""
    pins = tuple(pins)
    holders = tuple(pin.row for pin in pins if pin.released <= head - n_slots)
    if holders:
        return Stall(holders)
    lowest = min((pin.released for pin in pins), default=head)
    return Go(n_slots - (head - min(lowest, head)))


@dataclass(frozen=True, slots=True)
class Take:
    """The numbers `first <= s < stop` can be read, each to be checked against its slot's own number."""

    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Wait:
    """The reader has everything that was published."""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """The writer has reused the reader's slot; it goes on at `resume`."""

    resume: int


def next_read(cursor: int, head: int, n_slots: int) -> Take | Wait | Overtaken:
    """What a reader at `cursor` does next. A reader that pins is never overtaken.

    Number `head - n_slots` counts as gone: its slot may be in the writer's hands already.
    """
    if cursor >= head:
        return Wait()
    if cursor <= head - n_slots:
        return Overtaken(resume_after_overtaking(head, n_slots))
    return Take(cursor, head)


def next_pinned_read(cursor: int, head: int) -> Take | Wait:
    """The same for a reader whose pin is in the table: everything from its cursor to the head is there."""
    return Wait() if cursor >= head else Take(cursor, head)


def resume_after_overtaking(head: int, n_slots: int) -> int:
    """Half a ring behind the head: as far from being overtaken again as from having nothing to read."""
    return max(0, head - n_slots // 2)


def should_commit_early(held: int, n_slots: int, *, waited_for: bool) -> bool:
    """True if a pinning reader must not wait for its flush interval: it holds half the ring, or is waited for."""
    return held > 0 and (waited_for or 2 * held >= n_slots)
