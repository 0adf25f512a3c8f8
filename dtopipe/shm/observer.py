"""Reads a ring without a row of its own: copies that were checked, nothing held, nobody the wiser."""

from __future__ import annotations

from dtopipe.core.catch_up import Seen
from dtopipe.core.ledger import resume_after_overtaking
from dtopipe.model.stream import Block
from dtopipe.shm.layout import Head, Stage
from dtopipe.shm.ring import Ring
from dtopipe.shm.slots import Slots
from dtopipe.shm.table import SubscriberTable

# How far behind the head "earliest" begins without a journal, so that it is there still when it is read.
EARLIEST_PART_OF_RING = 0.75


class RingObserver:
    """Blocks of a ring by their numbers, for as long as they are there. One thread uses it."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._words = ring.words
        self._table = SubscriberTable(ring)
        self._slots = Slots(ring)

    @property
    def head(self) -> int:
        """The number that is published next."""
        return self._words[Head.HEAD]

    @property
    def n_slots(self) -> int:
        """How many slots the ring has."""
        return self._ring.layout.n_slots

    @property
    def has_ended(self) -> bool:
        """True once nothing more is published."""
        return bool(self._words[Head.STAGE] == Stage.ENDED)

    def is_overtaken(self, number: int) -> bool:
        """True if the block of this number is not to be had any more."""
        return number <= self.head - self.n_slots

    def resume(self) -> int:
        """Where who was overtaken goes on: half a ring behind the head."""
        return resume_after_overtaking(self.head, self.n_slots)

    def take(self, number: int, most: int) -> list[Block]:
        """It gives up to `most` blocks from `number` on; fewer where one is overwritten meanwhile."""
        blocks: list[Block] = []
        for each in range(number, min(self.head, number + most)):
            block = self._slots.copied(each)
            if block is None:
                break
            blocks.append(block)
        return blocks

    def seen(self) -> Seen:
        """How ring and journal are now, for a reader that is covered."""
        # The journal first: what it commits meanwhile only moves on.
        journal_end, journal_lives = self._table.journal_end()
        head = self.head
        oldest = max(0, head - self.n_slots)
        # Its slot may be in the writer's hands already, or lie at somebody's pin.
        if oldest < head and self._ring.first_sample_index(oldest) is None:
            oldest += 1
        return Seen(head, oldest, self.n_slots, journal_end, journal_lives)

    def number_before(self, sample_index: int) -> int | None:
        """The last block that begins at or before this sample; None if all that are there begin behind it."""
        low, high = max(0, self.head - self.n_slots), self.head
        found = None
        while low < high:
            middle = (low + high) // 2
            first = self._ring.first_sample_index(middle)
            # What is overwritten meanwhile is before everything that is there.
            if first is None or first <= sample_index:
                found, low = (middle if first is not None else None), middle + 1
            else:
                high = middle
        return found

    def oldest_within(self, part: float) -> tuple[int, int]:
        """(sample index, number) of the oldest block of the newest `part` of the ring, which is there for a while."""
        head = self.head
        number = max(0, head - max(1, int(self.n_slots * part)))
        while number < head:
            index = self._ring.first_sample_index(number)
            if index is not None:
                return (self._words[Head.FIRST_SAMPLE_INDEX] if number == 0 else index), number
            number += 1
        return self._ring.end()[0], head
