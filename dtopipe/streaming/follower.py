"""Reads a run in progress block by block, for one program; it never holds the run."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dtopipe.core.gaps import explained
from dtopipe.host import wall_clock
from dtopipe.host.clock import mono_ns
from dtopipe.intake.blocks import CoveredIntake, DirectIntake
from dtopipe.intake.journal import JournalReader
from dtopipe.model.clock import Anchor, utc_ns
from dtopipe.model.daq import DaqBlock
from dtopipe.model.errors import RunDied
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.shm.layout import Head, Stage
from dtopipe.shm.observer import RingObserver
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.streaming.blocks import BlockMaker
from dtopipe.streaming.membership import Membership
from dtopipe.streaming.run_in_progress import RunInProgress
from dtopipe.streaming.subscription import SubscriptionSummary
from dtopipe.streaming.wanted import Wanted
from dtopipe.transport.wake import LONGEST_SLEEP_S, ReaderWake
from dtopipe.wire.commands import Subscribed

_LOOKS_EVERY_NS = 500_000_000
# Copies are taken ahead: enough that small blocks are cheap, little enough to stay in a few MB.
_AHEAD_BLOCKS = 64
_AHEAD_BYTES = 4 * 2**20
# A disk that does not answer must not keep the program from leaving.
_LEAVE_PATIENCE_S = 2.0


class Follower:
    """One program's reader of one run: `join` until it is in, `take_now` and `wait` in turn, `leave` in the end.

    One thread at a time takes and waits; `leave` may come from any.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._policy = wanted.policy_word
        self._own_cause = Cause.TRANSPORT if self._policy is Policy.BLOCK else Cause.POLICY_DROP
        self.summary = SubscriptionSummary(datetime.now(UTC))
        self.is_over = False
        self._leaving = threading.Event()
        self._using = threading.Lock()
        self._membership: Membership | None = None
        # For what the program notes of the run.
        self.beside: RunInProgress | None = None
        self._ring: Ring | None = None
        self._failure: Exception | None = None
        # Taken and not handed over; the second says that it is a view.
        self._taken: deque[tuple[Block, bool]] = deque()
        # Handed over and not done with, where it is a view.
        self._held: Block | None = None
        self._held_samples = 0
        self._gaps_before: list[Gap] = []
        self._next_number: int | None = None
        self._looked_ns = mono_ns()

    def join(self) -> bool:
        """Ask for a place in the run; False while it has not begun. Raises UsageError with the reason why not."""
        if self._membership is None:
            self._membership = Membership(self._wanted.run, self._wanted.run_dir)
            self.beside = RunInProgress(self._membership.folder)
        answer = self._membership.ask(self._policy, self._wanted.since)
        if answer is None:
            return False
        self._begin(answer, self._membership)
        return True

    def _begin(self, answer: Subscribed, membership: Membership) -> None:
        self.run: Stream = answer.stream
        ring = Ring.attach(answer.segment, answer.held)
        self._reader = RingReader(ring, answer.row)
        wake = ReaderWake(answer.descriptor_endpoint, answer.credit_endpoint, membership.keys, answer.row)
        journal = answer.journal
        self._is_covered = journal is not None
        self._intake: DirectIntake = (
            CoveredIntake(self._reader, wake, RingObserver(ring), JournalReader(Path(journal)))
            if journal is not None
            else DirectIntake(self._reader, wake)
        )
        # Who is covered reads copies, for most of them may come from a file.
        self._views = not self._is_covered and (self._policy is Policy.BLOCK or not self._wanted.copies)
        self._ahead = max(1, min(_AHEAD_BLOCKS, _AHEAD_BYTES // max(1, ring.layout.payload_bytes)))
        self._at = self.summary.start = answer.start
        self._blocks = BlockMaker(self.run.task, self.run.device, self.run.channels, self.run.rate_hz)
        self._started_ns = utc_ns(self.run.started_at)
        self._intake.report(self.summary.position())
        self._ring = ring

    def take_now(self) -> DaqBlock | None:
        """The next block, if that needs no waiting: who asks is done with the one before. Raises what `wait` met."""
        if not self._using.acquire(blocking=False):
            return None
        try:
            if self.is_over:
                return None
            self._commit()
            if not self._taken and not self._is_covered and self._failure is None:
                self._take()
            while self._taken:
                block = self._handed_over(*self._taken.popleft())
                if block is not None:
                    return block
            if self._failure is not None:
                self._end()
                raise self._failure
            return None
        finally:
            self._using.release()

    def wait(self) -> None:
        """Until `take_now` has something to give, or it is over, or somebody leaves."""
        with self._using:
            try:
                while not (self._taken or self._failure or self.is_over or self._leaving.is_set()):
                    self._wait_a_little()
            except Exception as error:
                self._failure = error
            finally:
                if self._leaving.is_set():
                    self._close()

    def leave(self) -> None:
        """Give everything back, at once. Harmless twice."""
        self._leaving.set()
        # Who waits for a disk, and holds nothing, leaves for itself once that answers.
        if self._using.acquire(timeout=_LEAVE_PATIENCE_S):
            try:
                self._close()
            finally:
                self._using.release()
        if self.beside is not None:
            self.beside.close()

    def _close(self) -> None:
        """Take everything down; the row goes last, for it may be another reader's then."""
        self._end()
        if self._ring is not None:
            ring, self._ring = self._ring, None
            self._intake.close()
            ring.close()
        if self._membership is not None:
            self._membership.leave()

    def _wait_a_little(self) -> None:
        # Asked in this order, and before the take: what came before the end must not be passed over.
        died = self._has_died()
        ended = self._intake.ended()
        self._take()
        if self._taken:
            return
        if ended:
            self._finish()
        elif died:
            self._failure = RunDied(
                f"the run {self.run.task} was killed: nothing follows sample {self._at}",
                "dtopipe repair completes its record",
            )
        else:
            self._intake.sleep(LONGEST_SLEEP_S)

    def _take(self) -> None:
        # A view is safe for half a ring at least; who is further behind gets copies.
        if self._views and self._reader.blocks_behind <= self._reader.n_slots // 2:
            self._taken.extend((block, True) for block in self._reader.take_view())
        else:
            most = 1 if self._views else self._ahead
            self._taken.extend((block, False) for block in self._intake.take(most))

    def _handed_over(self, block: Block, is_view: bool) -> DaqBlock | None:
        """As the program gets it; None for what lies before its start, or was overwritten before it could be read."""
        if block.span.stop <= self._at:
            return None
        number = block.block_index
        trimmed = block.trimmed(self._at)
        daq = self._blocks.block(
            number,
            trimmed.first_sample_index,
            trimmed.codes,
            trimmed.sensor_status,
            trimmed.anchor,
            started_ns=self._started_ns,
            read_started_ns=wall_clock.utc_ns(),
            gaps_before=(*self._gaps_before, *self._gaps_to(trimmed.first_sample_index, trimmed.anchor)),
            is_there=partial(self._is_there, number) if is_view else None,
        )
        if is_view and not self._reader.is_there(number):
            return None
        self._note(daq.gaps_before[len(self._gaps_before) :])
        self._gaps_before = []
        if self._next_number is not None:
            self.summary.payloads_dropped += number - self._next_number
        self._next_number = number + 1
        self._at = trimmed.span.stop
        self._held, self._held_samples = trimmed if is_view else None, trimmed.n_samples
        self.summary.payloads_emitted += 1
        return daq

    def _commit(self) -> None:
        """The program is done with the block before; if its view was taken from under it, that is a gap."""
        if not self._held_samples:
            return
        held = self._held
        if held is None or self._reader.is_there(held.block_index):
            self.summary.samples += self._held_samples
        else:
            gap = Gap(held.span, self._own_cause, self._blocks.utc_ns(held.first_sample_index, held.anchor))
            self.summary.payloads_dropped += 1
            self._note([gap])
            self._gaps_before.append(gap)
        self._held, self._held_samples = None, 0
        self._intake.release()
        self._intake.report(self.summary.position())

    def _gaps_to(self, stop: int, anchor: Anchor) -> list[Gap]:
        """What is absent between the last block and `stop`, by cause."""
        ring = self._ring
        if stop <= self._at or ring is None:
            return []
        known = [*ring.board_gaps_beyond(self._at), *self._intake.gaps()]
        return explained(Span(self._at, stop), known, self._own_cause, lambda index: self._blocks.utc_ns(index, anchor))

    def _note(self, gaps: list[Gap] | tuple[Gap, ...]) -> None:
        self.summary.note_gaps(gaps, self._own_cause)

    def _finish(self) -> None:
        """The end-of-run mark: what lies between the last block and the end is a gap."""
        if self._ring is not None:
            end, _ = self._ring.end()
            self._note(self._gaps_to(end, self._ring.anchor()))
            self._at = max(self._at, end)
            self._intake.report(self.summary.position())
        self._end()

    def _end(self) -> None:
        self.is_over = True
        self.summary.finished_at = self.summary.finished_at or datetime.now(UTC)

    def _has_died(self) -> bool:
        """True once the run has no process any more that could set the end-of-run mark; looked at now and then."""
        if self._membership is None or self._ring is None or mono_ns() - self._looked_ns < _LOOKS_EVERY_NS:
            return False
        if self._membership.run_is_alive():
            self._looked_ns = mono_ns()
            return False
        # A run that ended in order said so before its processes went.
        return bool(self._ring.words[Head.STAGE] != Stage.ENDED)

    def _is_there(self, number: int) -> bool:
        """A program may ask at any time: False once this subscription has ended."""
        try:
            return self._ring is not None and self._reader.is_there(number)
        except ValueError:
            # Left meanwhile, in another thread.
            return False
