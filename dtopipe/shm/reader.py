"""A sink worker's end of the ring."""

from __future__ import annotations

from collections.abc import Callable

from dtopipe.core.ledger import Overtaken, Take, Wait, next_pinned_read, next_read
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import RingError
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.stream import Block
from dtopipe.shm.fence import fence
from dtopipe.shm.layout import POSITION_WORDS, WORD, Head, Row, SlotWord, Stage
from dtopipe.shm.ring import Ring
from dtopipe.shm.slots import SLOT_WORDS, Slots
from dtopipe.shm.table import SubscriberTable


class RingReader:
    """Reads blocks in order; under BLOCK as views that stay until `release`, else as checked copies.

    One thread of one process uses it. A reader that was overtaken goes on further on: the hole shows in the next
    block's `first_sample_index`. One that a journal covers does not: it is to read on there, and then to `skip_to` the
    block that follows. One that was opened behind its pin reads up to the pin as if it had none.
    """

    def __init__(self, ring: Ring, row: int) -> None:
        self._ring = ring
        self._words = ring.words
        self._table = SubscriberTable(ring)
        self._at = self._table.at(row)
        self._blocks = self._table.policy(row) is Policy.BLOCK
        self._covered = self._table.is_covered(row)
        self._pinned = self._blocks and not self._covered
        self._cursor = ring.words[self._at + Row.CURSOR]
        self._pinned_from = self._released = ring.words[self._at + Row.RELEASED]
        self._kept = 0
        self._slots = Slots(ring)

    @property
    def held(self) -> int:
        """Blocks taken that wait for a release."""
        return max(0, self._cursor - self._released - self._kept)

    def take(self, most: int) -> list[Block]:
        """It gives up to `most` blocks from the cursor on, now; empty if there is nothing new."""
        return self._take(most, self._block)

    def take_view(self) -> list[Block]:
        """The block at the cursor, if there is one, its codes a read-only view though the reader holds no slot.

        They are the block's as long as `is_there` says so.
        """
        return self._take(1, self._view)

    def is_there(self, number: int) -> bool:
        """True if this block, which was taken, is in the ring still."""
        return bool(self._words[self._ring.layout.slot_offset(number) // WORD + SlotWord.NUMBER] == number + 1)

    def is_overtaken(self) -> bool:
        """True if the block at the cursor is not in the ring any more."""
        return isinstance(self._next_read(self._words[Head.HEAD]), Overtaken)

    @property
    def cursor(self) -> int:
        """Number of the next block."""
        return self._cursor

    @property
    def blocks_behind(self) -> int:
        """How many blocks were published from the cursor on."""
        return self._words[Head.HEAD] - self._cursor

    @property
    def n_slots(self) -> int:
        """How many slots the ring has."""
        return self._ring.layout.n_slots

    def skip_to(self, number: int, n_blocks: int) -> None:
        """`n_blocks` up to this number were read elsewhere, in order."""
        self._move(number)
        self._words[self._at + Row.BLOCKS] += n_blocks

    def is_pinned(self) -> bool:
        """True if what this reader has not released stays in the ring, from its cursor on."""
        words = self._words
        if self._cursor < self._pinned_from:
            return False
        if not self._blocks or not self._covered:
            return self._pinned
        return words[Head.JOURNAL_ROW] == 0 and self._cursor >= words[Head.JOURNAL_END]

    def ended(self) -> bool:
        """True once the acquirer has ended and everything it published was taken."""
        # The stage first: it is set after the last publication.
        return self._words[Head.STAGE] == Stage.ENDED and self._cursor >= self._words[Head.HEAD]

    def release(self, kept: int = 0) -> bool:
        """Give back every block taken; True if the acquirer sleeps and this was what it waited for last.

        `kept`: so many of the last ones stay held, of which a successor must be told again; never half of the ring,
        but for a reader that finds them in a journal.

        Of several readers that release at the same time, at least one sees the others' release: nobody needs to
        wake the acquirer for a slot that another still holds.
        """
        words = self._words
        self._kept = kept if self._covered else min(kept, (self._ring.layout.n_slots - 1) // 2)
        released = max(self._cursor - self._kept, self._pinned_from, self._released)
        self._released = words[self._at + Row.RELEASED] = released
        fence()
        if not self._blocks or words[Head.SLEEPING] == 0:
            return False
        wanted = words[Head.HEAD] - self._ring.layout.n_slots
        return all(pin.released > wanted for pin in self._table.pins())

    def waited_for(self) -> bool:
        """True if the acquirer waits, and for this reader among others."""
        words = self._words
        mask = words[Head.WAITING_FOR]
        return bool(mask) and words[self._at + Row.RELEASED] <= words[Head.HEAD] - self._ring.layout.n_slots

    def falls_asleep(self) -> bool:
        """Say that this reader sleeps; False if something came meanwhile and it must not."""
        words = self._words
        words[self._at + Row.SLEEPING] += 1
        fence()
        return words[Head.HEAD] <= self._cursor and words[Head.STAGE] != Stage.ENDED

    def woke(self) -> None:
        """Say that this reader is awake."""
        self._words[self._at + Row.SLEEPING] += 1

    def report(self, position: Position) -> None:
        """Show how far the output is, and that progress was made."""
        words, at = self._words, self._at
        reports = words[at + Row.REPORTS] + 1
        place = at + Row.POSITIONS + (reports & 1) * POSITION_WORDS
        words[place] = position.start
        words[place + 1] = position.committed
        words[place + 2] = position.durable
        words[place + 3] = position.samples
        words[place + 4] = position.gap_samples
        words[place + 5] = position.dropped
        words[place + 6] = position.retained_from
        words[at + Row.REPORTS] = reports
        self.beat()

    def beat(self) -> None:
        """Progress was made."""
        self._words[self._at + Row.HEARTBEAT_NS] = mono_ns()

    def _take(self, most: int, read: Callable[[int], Block | None]) -> list[Block]:
        head = self._words[Head.HEAD]
        step = self._next_read(head)
        if isinstance(step, Overtaken):
            if self._covered:
                return []
            resume = min(step.resume, self._pinned_from) if self._blocks else step.resume
            self._move(resume)
            step = Take(resume, head)
        blocks: list[Block] = []
        if isinstance(step, Take):
            for number in range(step.first, min(step.stop, step.first + most)):
                block = read(number)
                if block is None:
                    break
                blocks.append(block)
            self._move(step.first + len(blocks))
            self._words[self._at + Row.BLOCKS] += len(blocks)
        return blocks

    def _next_read(self, head: int) -> Take | Wait | Overtaken:
        if self.is_pinned():
            return next_pinned_read(self._cursor, head)
        return next_read(self._cursor, head, self._ring.layout.n_slots)

    def _move(self, cursor: int) -> None:
        self._cursor = cursor
        self._words[self._at + Row.CURSOR] = cursor

    def _block(self, number: int) -> Block | None:
        """The block, or None if its slot has been taken back meanwhile. Raises RingError if that breaks a pin."""
        if not (self._pinned and number >= self._pinned_from):
            return self._slots.copied(number)
        ring = self._ring
        found, _, first_sample_index, n_samples, has_status, *anchor, _, latency_ns = SLOT_WORDS.unpack_from(
            ring.segment.buffer, ring.layout.slot_offset(number)
        )
        if found != number + 1:
            raise RingError(f"block {number} was overwritten under a reader that pins it: {found - 1} is there")
        codes = ring.codes(number, n_samples)
        status = ring.sensor_status(number, n_samples) if has_status else None
        # Others read the same memory.
        codes.flags.writeable = False
        if status is not None:
            status.flags.writeable = False
        return Block(number, first_sample_index, codes, self._slots.anchor(anchor), status, latency_ns=latency_ns)

    def _view(self, number: int) -> Block | None:
        """The block in its place, or None if its slot has been taken back meanwhile."""
        ring = self._ring
        offset = ring.layout.slot_offset(number)
        _, _, first_sample_index, n_samples, has_status, *anchor, _, latency_ns = SLOT_WORDS.unpack_from(
            ring.segment.buffer, offset
        )
        if not self.is_there(number):
            return None
        codes = ring.codes_to_look_at(number, n_samples)
        status = ring.sensor_status(number, n_samples).copy() if has_status else None
        # The words and the status were the block's if it is there still.
        if not self.is_there(number):
            return None
        return Block(number, first_sample_index, codes, Anchor(*anchor), status, latency_ns=latency_ns)
