"""Blocks of a run in order for a reader that its journal covers: `core.catch_up` says from where, and this does it."""

from __future__ import annotations

import contextlib
import logging
from typing import Protocol

from dtopipe.core.catch_up import Awaited, CatchUp, Lack, PassOver, ReadJournal, Seen, TakeFromRing, WaitFor
from dtopipe.host.clock import mono_ns
from dtopipe.intake.journal import JournalReader
from dtopipe.model.span import Cause
from dtopipe.model.stream import Block

_log = logging.getLogger("dtopipe.intake")
_TRIES = 16


class RingBlocks(Protocol):
    """What is needed of the ring."""

    def seen(self) -> Seen:
        """How ring and journal are now."""

    def take(self, number: int, most: int) -> list[Block]:
        """It gives up to `most` blocks from `number` on; fewer where one is overwritten meanwhile."""


class CoveredBlocks:
    """Reads on from block `number`. `awaited`: for what it waits, as a sentence; empty while it does not."""

    def __init__(self, ring: RingBlocks, journal: JournalReader, number: int) -> None:
        self._ring = ring
        self._journal = journal
        self._catch_up = CatchUp(number)
        self._passed_over: Cause | None = None
        self.awaited = ""

    @property
    def number(self) -> int:
        """The number of the next block."""
        return self._catch_up.number

    def passed_over(self) -> Cause | None:
        """Why what is absent before the next block was passed over; asked once.

        None if nothing was, or if the journal knows.
        """
        cause, self._passed_over = self._passed_over, None
        return cause

    def take(self, most: int) -> list[Block]:
        """It gives up to `most` blocks; empty where there is none yet."""
        was_in_journal, before, passed_from = self._catch_up.is_in_journal, self.number, -1
        blocks: list[Block] = []
        # At the tail of the ring the writer comes next: whoever sleeps there is overtaken again.
        for _ in range(_TRIES):
            blocks, step = self._step(most)
            if isinstance(step, PassOver):
                passed_from = step.start if passed_from < 0 else passed_from
                self._passed_over = step.cause or self._passed_over
            elif blocks or isinstance(step, WaitFor):
                break
        if passed_from >= 0:
            first = blocks[0].block_index if blocks else self.number
            _log.error("blocks %d to %d are in neither ring nor journal", passed_from, first - 1)
        is_in_journal = self._catch_up.is_in_journal
        if is_in_journal and not was_in_journal:
            _log.info("overtaken at block %d: reading on from the journal", before)
        elif was_in_journal and not is_in_journal:
            # An open file cannot be deleted on every system.
            self.close()
            _log.info("back in the ring at block %d", self.number)
        return blocks

    def close(self) -> None:
        """Close the journal. Harmless twice."""
        with contextlib.suppress(OSError):
            self._journal.close()

    def _step(self, most: int) -> tuple[list[Block], TakeFromRing | WaitFor | PassOver | None]:
        """One turn of the machine: what was taken, and what it said in the end."""
        step: TakeFromRing | ReadJournal | WaitFor | PassOver | None = self._catch_up.next(self._ring.seen())
        blocks: list[Block] = []
        if isinstance(step, ReadJournal):
            blocks, step = self._from_journal(most)
        if isinstance(step, TakeFromRing):
            blocks = self._ring.take(step.number, most)
        if blocks:
            self._catch_up.took(blocks[-1].block_index + 1)
        if not isinstance(step, WaitFor) or step.whom is Awaited.BOARD:
            self._waits_for("")
        return blocks, step

    def _from_journal(self, most: int) -> tuple[list[Block], TakeFromRing | WaitFor | PassOver | None]:
        """Its blocks up to the first hole, else what to do without them."""
        try:
            blocks = self._journal.take(self.number, most)
        except OSError as error:
            # Where its file alone is gone it does not come back; any other trouble of a disk may pass.
            is_deleted = isinstance(error, FileNotFoundError) and self._journal.is_deleted()
            why = f"it was deleted ({error})" if is_deleted else f"it cannot be read ({error})"
            return [], self._without(Lack.DELETED if is_deleted else Lack.AWAY, why)
        if not blocks:
            return [], self._without(Lack.NOTHING, "it does not show what it has committed")
        step = self._catch_up.gave(blocks[0].block_index, self._ring.seen())
        whole = next((n for n in range(1, len(blocks)) if blocks[n].block_index != blocks[n - 1].block_index + 1), None)
        return ([] if step else blocks[:whole]), step

    def _without(self, lack: Lack, why: str) -> TakeFromRing | WaitFor | PassOver:
        step = self._catch_up.lacks(lack, self._ring.seen(), mono_ns())
        if isinstance(step, WaitFor):
            self._waits_for(f"the journal: {why}" if step.whom is Awaited.JOURNAL_DISK or lack is Lack.DELETED else "")
        return step

    def _waits_for(self, what: str) -> None:
        if bool(what) != bool(self.awaited):
            _log.warning("waits for %s", what) if what else _log.info("waits no more for %s", self.awaited)
            self.awaited = what
