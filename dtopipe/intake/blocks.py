"""A reader's blocks: from the ring itself, on from the journal, or from a private queue that is filled beside it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Protocol

from dtopipe.host.clock import mono_ns
from dtopipe.journal.reader import JournalReader
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.shm.reader import RingReader
from dtopipe.transport.wake import LONGEST_SLEEP_S, ReaderWake

_log = logging.getLogger("dtopipe.intake")
# A commit record that is torn by being written is whole at the next look.
_JOURNAL_PATIENCE_NS = 5_000_000_000


class Intake(Protocol):
    """What the worker's loop needs of either."""

    def take(self, most: int) -> list[Block]:
        """Up to `most` blocks, now."""

    def ended(self) -> bool:
        """True once nothing more will come."""

    def has_reached(self, number: int) -> bool:
        """True once every block before this number was taken, or passed over."""

    def release(self) -> None:
        """Everything taken is committed."""

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

    def release(self) -> None:
        """Give the slots back, and wake the acquirer if it waits for one."""
        if self._reader.release():
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

    def __init__(self, reader: RingReader, wake: ReaderWake, journal: JournalReader) -> None:
        super().__init__(reader, wake)
        self._journal = journal
        self._in_journal = self._is_away = False
        self._nothing_since_ns = 0
        self.take = self._take

    @property
    def held(self) -> int:
        """Blocks of the ring that wait for a commit: none while the journal has them."""
        return self._reader.held if self._reader.is_pinned() else 0

    def gaps(self) -> list[Gap]:
        """What the journal knows of holes in what was read from it."""
        return self._journal.gaps

    def close(self) -> None:
        """Close the links, and the journal."""
        self._journal.close()
        super().close()

    def _take(self, most: int) -> list[Block]:
        reader = self._reader
        if not self._in_journal:
            blocks = reader.take(most)
            if blocks or not reader.is_overtaken():
                return blocks
            self._in_journal = True
            _log.info("overtaken at block %d: reading on from the journal", reader.cursor)
        blocks = self._take_from_journal(most)
        # What is still to come from the journal would be overtaken soon in the ring.
        if reader.blocks_behind <= reader.n_slots // 2 and not reader.is_overtaken():
            self._in_journal = False
            # An open file cannot be deleted on every system.
            self._journal.close()
            _log.info("back in the ring at block %d", reader.cursor)
        return blocks

    def _take_from_journal(self, most: int) -> list[Block]:
        reader = self._reader
        try:
            blocks = self._journal.take(reader.cursor, most)
        except OSError as error:
            blocks = []
            if not self._is_away:
                _log.warning("the journal cannot be read: %s", error)
            # Where its file alone is gone it does not come back; any other trouble of a disk may pass.
            self._is_away = not (isinstance(error, FileNotFoundError) and self._journal.has_folder)
            if self._is_away:
                self._nothing_since_ns = 0
                return []
        self._is_away = False
        if blocks:
            reader.skip_to(blocks[-1].block_index + 1, len(blocks))
            self._nothing_since_ns = 0
        elif reader.is_overtaken() and self._has_waited():
            lost_to = reader.cursor + reader.blocks_behind - reader.n_slots // 2
            _log.error("blocks %d to %d are in neither ring nor journal", reader.cursor, lost_to)
            reader.skip_to(lost_to, 0)
            self._nothing_since_ns = 0
        return blocks

    def _has_waited(self) -> bool:
        """True once nothing has come for so long that nothing can come: what is overtaken is committed there."""
        self._nothing_since_ns = self._nothing_since_ns or mono_ns()
        return mono_ns() - self._nothing_since_ns > _JOURNAL_PATIENCE_NS


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

    def gaps(self) -> list[Gap]:
        """None: the ring knows them all."""
        return []

    def take(self, most: int) -> list[Block]:
        """Up to `most` blocks from the queue."""
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

    def release(self) -> None:
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
