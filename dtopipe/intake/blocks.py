"""A reader's blocks: from the ring itself, on from the journal, or from a private queue that is filled beside it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from dtopipe.intake.covered import CoveredBlocks, RingBlocks
from dtopipe.intake.journal import JournalReader
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Block
from dtopipe.shm.reader import RingReader
from dtopipe.transport.wake import LONGEST_SLEEP_S, ReaderWake


class Intake(Protocol):
    """What the worker's loop needs of either."""

    def take(self, most: int) -> list[Block]:
        """It gives up to `most` blocks, now."""

    def ended(self) -> bool:
        """True once nothing more will come."""

    def has_reached(self, number: int) -> bool:
        """True once every block before this number was taken, or passed over."""

    def release(self, kept: int = 0) -> None:
        """Everything taken is committed, but for the last `kept` blocks."""

    def sleep(self, timeout_s: float) -> None:
        """Until there may be something, at most `timeout_s`."""

    def report(self, position: Position) -> None:
        """Show how far the output is."""

    def waited_for(self) -> bool:
        """True if the acquirer waits for this sink."""

    @property
    def held(self) -> int:
        """Blocks of the ring that wait for a commit."""

    def gaps(self) -> list[Gap]:
        """Holes in what was taken that the ring may not know any more."""

    def passed_over(self) -> Cause | None:
        """Why what is absent before the next block was passed over; None if the policy says why."""

    @property
    def awaited(self) -> str:
        """What it waits for while that is not the board; empty while it does not."""

    def close(self) -> None:
        """Stop reading."""


class DirectIntake:
    """Reads the ring in the worker's own thread: BLOCK and `drop_oldest`."""

    def __init__(self, reader: RingReader, wake: ReaderWake) -> None:
        self._reader = reader
        self._wake = wake
        self.take = reader.take
        self.ended = reader.ended
        self.report = reader.report
        self.waited_for = reader.waited_for

    @property
    def held(self) -> int:
        """Blocks of the ring that wait for a commit."""
        return self._reader.held

    def has_reached(self, number: int) -> bool:
        """True once every block before this number was taken, or passed over."""
        return self._reader.cursor >= number

    def gaps(self) -> list[Gap]:
        """None: the ring knows them all."""
        return []

    @property
    def awaited(self) -> str:
        """It waits for nothing but the board."""
        return ""

    def passed_over(self) -> Cause | None:
        """None: its policy says why."""
        return None

    def release(self, kept: int = 0) -> None:
        """Give the slots back, and wake the acquirer if it waits for one."""
        if self._reader.release(kept):
            self._wake.give_credit()

    def sleep(self, timeout_s: float) -> None:
        """Until a block is announced; never longer than 50 ms."""
        if self._reader.falls_asleep():
            self._wake.sleep(timeout_s)
        self._reader.woke()

    def close(self) -> None:
        """Close the links."""
        self._wake.close()


class CoveredIntake(DirectIntake):
    """BLOCK with a journal: reads the ring, and on from the journal where the ring has been reused; back at half of it.

    A block that neither has any more, for the journal is damaged there, is passed over: a hole. A journal whose disk is
    away is waited for.
    """

    def __init__(self, reader: RingReader, wake: ReaderWake, ring: RingBlocks, journal: JournalReader) -> None:
        super().__init__(reader, wake)
        self._journal = journal
        self._blocks = CoveredBlocks(ring, journal, reader.cursor)
        self._got_nothing = False
        self.take = self._take

    @property
    def held(self) -> int:
        """Blocks of the ring that wait for a commit: none while the journal has them."""
        return self._reader.held if self._reader.is_pinned() else 0

    def gaps(self) -> list[Gap]:
        """What the journal knows of holes in what was read from it."""
        return self._journal.gaps

    def passed_over(self) -> Cause | None:
        """Why what is absent before the next block was passed over; None if nothing was."""
        return self._blocks.passed_over()

    @property
    def awaited(self) -> str:
        """What it waits for while that is not the board."""
        return self._blocks.awaited

    def sleep(self, timeout_s: float) -> None:
        """Until a block is announced, or the journal may show what it has; never longer than 50 ms."""
        if self._got_nothing and self._reader.blocks_behind > 0:
            self._wake.sleep(timeout_s)
        else:
            super().sleep(timeout_s)

    def close(self) -> None:
        """Close the links, and the journal."""
        self._blocks.close()
        super().close()

    def _take(self, most: int) -> list[Block]:
        blocks = self._blocks.take(most)
        self._got_nothing = not blocks
        if self._blocks.number != self._reader.cursor:
            self._reader.skip_to(self._blocks.number, len(blocks))
        return blocks


class QueuedIntake:
    """`drop_newest`: a thread copies blocks into a queue of `queue_blocks`; while it is full, new ones are dropped."""

    def __init__(self, reader: RingReader, wake: ReaderWake, queue_blocks: int) -> None:
        self._reader = reader
        self._wake = wake
        self._most = queue_blocks
        self._queue: deque[Block] = deque()
        self._filled = threading.Condition()
        self._ended = self._closed = False
        self._failure: Exception | None = None
        self.report = reader.report
        self._thread = threading.Thread(target=self._fill, name="queue", daemon=True)
        self._thread.start()

    held = 0
    awaited = ""

    def passed_over(self) -> Cause | None:
        """None: its policy says why."""
        return None

    def gaps(self) -> list[Gap]:
        """None: the ring knows them all."""
        return []

    def take(self, most: int) -> list[Block]:
        """It gives up to `most` blocks from the queue."""
        with self._filled:
            return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def ended(self) -> bool:
        """True once the run has ended and the queue is empty."""
        with self._filled:
            if self._failure:
                raise self._failure
            return self._ended and not self._queue

    def has_reached(self, number: int) -> bool:
        """True once every block before this number was taken, or dropped."""
        with self._filled:
            return self._reader.cursor >= number and not self._queue

    def release(self, kept: int = 0) -> None:
        """Nothing: the queue holds copies."""

    def waited_for(self) -> bool:
        """Never: DROP delays nobody."""
        return False

    def sleep(self, timeout_s: float) -> None:
        """Until the queue has something."""
        with self._filled:
            self._filled.wait_for(lambda: self._queue or self._ended, min(timeout_s, LONGEST_SLEEP_S))

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._thread.join()
        self._wake.close()

    def _fill(self) -> None:
        """What goes wrong here must end the worker, not leave it waiting for ever."""
        try:
            self._copy()
        except Exception as error:
            with self._filled:
                self._failure = error
                self._filled.notify()

    def _copy(self) -> None:
        while not self._closed:
            ended = self._reader.ended()
            blocks = self._reader.take(self._most)
            with self._filled:
                room = self._most - len(self._queue)
                self._queue.extend(blocks[:room])
                self._ended = ended
                if blocks or ended:
                    self._filled.notify()
            if ended:
                return
            if not blocks:
                if self._reader.falls_asleep():
                    self._wake.sleep(LONGEST_SLEEP_S)
                self._reader.woke()
