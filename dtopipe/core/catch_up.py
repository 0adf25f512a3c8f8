"""How a reader that a journal covers goes on: from the ring, from the journal, not yet, or behind what nobody has.

Blocks are numbered as in the ring. The ring holds a number until its slot is written anew, and everything from the
journal's pin on, as the ledger has it; the journal has what it committed, which is everything before its pin. So a
reader passes over a number only once the ring does not hold it and a journal that should have it says that it does
not: it never passes over what the ring holds, the journal has, or a journal that is not given up will still take.
The sink worker's intake and the gateway ask this one machine, and a state machine tests it against a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from dtopipe.model.span import Cause

# What a journal should have and does not show for so long, though its disk answers, it has lost.
_PATIENCE_NS = 5_000_000_000
# Time in which nobody looked, such as that of a laptop that slept, was no time in which something could have come.
_LONGEST_LOOK_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader sees before a step.

    `head`: the number that is published next. `oldest`: the oldest number that the ring holds. `journal_end`: the
    journal has committed every number before it. `journal_lives`: it has not ended, and it is not given up.
    """

    head: int
    oldest: int
    n_slots: int
    journal_end: int
    journal_lives: bool


class Lack(StrEnum):
    """Why the journal gave nothing. AWAY may pass: its disk, its folder. DELETED is its file alone."""

    NOTHING = "nothing"
    AWAY = "away"
    DELETED = "deleted"


class Awaited(StrEnum):
    """What a reader waits for."""

    BOARD = "board"
    JOURNAL = "journal"
    JOURNAL_DISK = "journal_disk"


@dataclass(frozen=True, slots=True)
class TakeFromRing:
    """The ring holds the numbers from `number` on; each is to be checked when it was copied."""

    number: int


@dataclass(frozen=True, slots=True)
class ReadJournal:
    """The journal is to be asked for `number`; `gave` or `lacks` hears its answer."""

    number: int


@dataclass(frozen=True, slots=True)
class WaitFor:
    """There is nothing to be taken yet; whom that depends on."""

    whom: Awaited


@dataclass(frozen=True, slots=True)
class PassOver:
    """The numbers up to `stop`, exclusive, are nowhere, and will not come.

    `cause`: None for a hole in the journal itself, of which its reader knows whether it is damaged there or retired.
    """

    start: int
    stop: int
    cause: Cause | None


_Step = TypeVar("_Step", TakeFromRing, WaitFor)


class CatchUp:
    """One reader's place: `number` is that of its next block. Events in, instructions out; time is an argument."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_in_journal = False
        self._waited_ns = 0
        self._looked_ns: int | None = None
        # What the journal lacks for good was waited for once, and is not waited for again at the next number.
        self._has_waited = False

    def next(self, seen: Seen) -> TakeFromRing | ReadJournal | WaitFor:
        """What to do in this turn."""
        if self.number >= seen.head:
            return self._back_in_ring(WaitFor(Awaited.BOARD))
        # What is still to come from the journal would be overtaken soon in the ring.
        is_near = seen.head - self.number <= seen.n_slots // 2
        is_beyond_journal = seen.journal_lives and self.number >= seen.journal_end
        if self._is_held(seen) and (not self.is_in_journal or is_near or is_beyond_journal):
            return self._back_in_ring(TakeFromRing(self.number))
        self.is_in_journal = True
        return ReadJournal(self.number)

    def took(self, stop: int) -> None:
        """Everything before `stop` was taken, from the ring or as the journal gave it."""
        self.number = stop
        self._waited_ns, self._looked_ns = 0, None

    def gave(self, first: int, seen: Seen) -> TakeFromRing | PassOver | None:
        """The journal's next block is number `first`. None: it is to be taken, and those that follow it.

        A journal that is damaged, retires segments or was overruled has holes; what the ring holds of one is taken
        there.
        """
        self._has_waited = False
        if first <= self.number:
            return None
        if self._is_held(seen):
            return self._back_in_ring(TakeFromRing(self.number))
        return self._passed(min(first, max(seen.oldest, self.number + 1)), None)

    def lacks(self, lack: Lack, seen: Seen, now_ns: int) -> TakeFromRing | WaitFor | PassOver:
        """The journal was asked and gave nothing."""
        if self.number >= seen.head or self._is_held(seen):
            return self._back_in_ring(TakeFromRing(self.number))
        if lack is Lack.AWAY:
            self._waited_ns, self._looked_ns, self._has_waited = 0, None, False
            return WaitFor(Awaited.JOURNAL_DISK)
        if seen.journal_lives and self.number >= seen.journal_end:
            # It lies behind the journal's pin: it was published while this looked.
            return WaitFor(Awaited.JOURNAL)
        is_final = lack is Lack.DELETED or not seen.journal_lives
        if not (is_final and self._has_waited) and not self._waited(now_ns):
            return WaitFor(Awaited.JOURNAL)
        self._has_waited = True
        if self.number >= seen.journal_end:
            return self._passed(seen.oldest, Cause.WORKER_FAILED)
        return self._passed(min(seen.oldest, seen.journal_end), Cause.WRITE_ERROR)

    def _is_held(self, seen: Seen) -> bool:
        return self.number >= seen.oldest

    def _waited(self, now_ns: int) -> bool:
        """True once nothing has come for so long that nothing can come."""
        if self._looked_ns is not None:
            self._waited_ns += min(now_ns - self._looked_ns, _LONGEST_LOOK_NS)
        self._looked_ns = now_ns
        return self._waited_ns >= _PATIENCE_NS

    def _passed(self, stop: int, cause: Cause | None) -> PassOver:
        step = PassOver(self.number, stop, cause)
        self.took(stop)
        return step

    def _back_in_ring(self, step: _Step) -> _Step:
        self.is_in_journal = False
        self._waited_ns, self._looked_ns = 0, None
        return step
