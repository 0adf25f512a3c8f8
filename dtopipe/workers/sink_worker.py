"""A sink worker process: reads blocks in order, accounts for every hole, writes and commits."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dtopipe.core.gaps import explained
from dtopipe.core.ledger import should_commit_early
from dtopipe.core.ring_size import burst_slots
from dtopipe.core.triggered_view import TriggeredView
from dtopipe.host.clock import mono_ns
from dtopipe.intake.blocks import CoveredIntake, DirectIntake, Intake, QueuedIntake
from dtopipe.intake.journal import JournalReader
from dtopipe.model.clock import Anchor
from dtopipe.model.columns import Columns
from dtopipe.model.errors import SinkUnavailable
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span, add, growing
from dtopipe.model.stream import Block
from dtopipe.model.view import View, samples_a_row
from dtopipe.shm.calls import CallWords
from dtopipe.shm.layout import Call
from dtopipe.shm.observer import RingObserver
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.sinks.file.reopening import ReopeningWriter
from dtopipe.sinks.registry import known_sink_type
from dtopipe.transport.wake import LONGEST_SLEEP_S, ReaderWake
from dtopipe.wire.messages import (
    TO_SINK,
    BeginSink,
    CutOff,
    GapsCommitted,
    LetGo,
    OutputClosed,
    SinkAway,
    SinkBack,
    SinkDone,
    SinkReady,
)
from dtopipe.wire.orders import SinkOrders
from dtopipe.workers.noting import Noting
from dtopipe.workers.output import closed_as_it_is, opener, resumed
from dtopipe.workers.process import Worker, run_worker
from dtopipe.workers.readings import ReadingRows
from dtopipe.workers.retiring import Retiring
from dtopipe.workers.retry_while_away import RetryWhileAway
from dtopipe.workers.stages import Stages
from dtopipe.workers.triggering import Triggering

_ORPHAN_LOOKS_EVERY_NS = 500_000_000
_SILENCE_NS = 30_000_000_000
_NOTES_LOOK_S = 0.01
# A batch is encoded at once: large enough that small blocks are cheap, small enough to stay in a few MB.
_BATCH_BLOCKS = 256
_BATCH_BYTES = 4 * 2**20
# Codes in a commit. Who catches up is given in half a second what a database takes half a minute for: memory, a
# transaction and its time limit are bounded by this.
_COMMIT_BYTES = 16 * 2**20


class SinkWorker:
    """One sink of one run, from its first block to the end-of-run mark."""

    def __init__(
        self,
        worker: Worker[SinkOrders],
        patience: RetryWhileAway,
        calls: CallWords,
        begin: BeginSink,
        ring: Ring,
        view: View | TriggeredView,
        writer: ReopeningWriter,
        position: Position,
        untold: Sequence[Gap],
    ) -> None:
        """`untold`: gaps in the output that the supervisor is to hear of once they are complete."""
        orders = worker.orders
        self._patience = patience
        self._calls = calls
        self._worker = worker
        self._ring = ring
        self._writer = writer
        self._stream = begin.stream
        self._view = view
        self._readings = ReadingRows(view.stream) if self._stream.polled else None
        self._position = position
        self._at = max(position.start, position.committed - view.lookback)
        # Where each block ends that was taken and may have to be told to a successor.
        self._taken: deque[int] = deque()
        self._intake = _intake(worker, begin, ring, self._at)
        # What else a hole can be: nobody drops what a journal covers, so it must be damaged.
        self._usual_cause = Cause.POLICY_DROP if begin.journal is None else Cause.WRITE_ERROR
        self._otherwise = begin.otherwise
        if self._otherwise is Cause.POLICY_DROP:
            self._otherwise = self._usual_cause
        self._flush_ns = round(orders.flush_interval_s * 1e9)
        self._sync_ns: int | None = None if orders.sync_s is None else round(orders.sync_s * 1e9)
        self._delay_s = orders.delay_per_block_s
        self._most = _batch_blocks(ring, self._delay_s)
        self._uncommitted_since_ns = self._uncommitted_bytes = 0
        self._new_gaps: list[Gap] = list(untold)
        self._synced_ns = mono_ns()
        self._retiring = Retiring(writer, ring, calls)
        self._triggering = Triggering(view, worker.control.send)
        self._noting = Noting(writer, ring, Path(orders.run_folder))
        self._looked_ns = 0
        self._last_block: int | None = None
        self._awaited = ""

    @property
    def position(self) -> Position:
        """How far the output is."""
        return self._position

    def run(self) -> None:
        """Write until the run has ended and everything is committed."""
        self._intake.report(self._position)
        while not self._patience.is_cut_off:
            self._calls.enter(Call.READ)
            self._patience.listen()
            # Asked before the take: what is published before the end-of-run mark must not be passed over.
            ended = self._intake.ended() or self._left_alone()
            if self._patience.is_detached and self._has_reached_its_end():
                self._give(self._view.rest())
                break
            blocks = self._intake.take(self._most)
            self._say_for_whom()
            if blocks:
                self._append(blocks)
            elif ended:
                self._append_tail()
                break
            else:
                self._calls.enter(Call.IDLE)
                self._intake.sleep(self._time_to_flush_s())
            if self._noting.is_due() and self._noting.give():
                self._uncommitted_since_ns = self._uncommitted_since_ns or mono_ns()
            if self._commit_is_due():
                self._commit()
            if self._sync_is_due():
                self._sync()
            if self._retiring.is_due():
                self._show(self._retiring.position(self._position))
        self._commit()
        self._tell_of(())
        self._note_the_rest()
        self._show(self._retiring.position(self._position))
        self._intake.close()

    def _say_for_whom(self) -> None:
        """Tell the supervisor for what this sink waits, once, and once that it waits no more."""
        awaited = self._intake.awaited
        if awaited == self._awaited:
            return
        if awaited:
            remedy = "put it back or mount it: this sink goes on by itself, and has missed nothing"
            self._worker.control.send(SinkAway(f"waits for {awaited}", remedy))
        else:
            self._worker.control.send(SinkBack())
        self._awaited = awaited

    def _append(self, blocks: Sequence[Block]) -> None:
        """Hand blocks over in order, each hole before the block that follows it."""
        self._calls.enter(Call.CONVERT)
        items: list[Block | Gap] = []
        for block in blocks:
            span = block.span
            self._taken.append(span.stop)
            if span.stop <= self._at:
                continue
            if span.start > self._at:
                items += self._gaps_to(span.start, block.anchor)
            block = block.trimmed(self._at)
            items.append(block)
            self._at = span.stop
            self._uncommitted_bytes += block.codes.nbytes
            if self._delay_s:
                time.sleep(self._delay_s)
        self._give(self._view.of(items))
        if not self._uncommitted_since_ns:
            self._intake.release(self._kept())

    def _gaps_to(self, stop: int, anchor: Anchor) -> list[Gap]:
        """The hole between what is written and `stop`, by cause."""
        clock = self._stream.clock
        gaps = explained(
            Span(self._at, stop),
            [*self._ring.board_gaps_beyond(self._at), *self._intake.gaps()],
            self._intake.passed_over() or self._otherwise,
            lambda index: anchor.t_utc_ns + clock.offset_ns(index - anchor.sample_index),
        )
        self._otherwise = self._usual_cause
        self._at = stop
        return gaps

    def _append_tail(self) -> None:
        """What is absent between the last block and the end of the run."""
        end, _ = self._ring.end()
        if end > self._at:
            self._give(self._view.of(self._gaps_to(end, self._ring.anchor())))
        self._give(self._view.rest())

    def _give(self, items: Sequence[Block | Gap]) -> None:
        """Hand over what goes into the output now."""
        if not items:
            return
        add(self._new_gaps, [item for item in items if isinstance(item, Gap)])
        given = items if self._readings is None else list(self._readings.of(items))
        self._patience.with_it(Call.APPEND, lambda: self._writer.append(given))
        self._uncommitted_since_ns = self._uncommitted_since_ns or mono_ns()

    def _kept(self) -> int:
        """How many of the blocks taken last a successor has to be told again, for they are not all in the output."""
        held_from = self._view.held_from
        needed_from = (self._at if held_from is None else held_from) - self._view.lookback
        while self._taken and self._taken[0] <= needed_from:
            self._taken.popleft()
        return len(self._taken)

    def _note_the_rest(self) -> None:
        """Everything that was noted of the run is in the output; what is still noted now is waited for."""
        patience, since_ns = self._patience, mono_ns()
        while not (patience.is_detached or patience.is_cut_off or self._worker.orphaned.is_set()):
            if self._noting.is_all_there(since_ns):
                break
            self._calls.enter(Call.WAIT)
            patience.listen(_NOTES_LOOK_S)
        if patience.lets_go:
            return
        while self._noting.give():
            self._commit()
        self._noting.give_metadata()

    def _commit_is_due(self) -> bool:
        if not self._uncommitted_since_ns:
            return False
        if self._uncommitted_bytes >= _COMMIT_BYTES:
            return True
        if mono_ns() - self._uncommitted_since_ns >= self._flush_ns:
            return True
        n_slots = self._ring.layout.n_slots
        return should_commit_early(self._intake.held, n_slots, waited_for=self._intake.waited_for())

    def _time_to_flush_s(self) -> float:
        if not self._uncommitted_since_ns:
            return LONGEST_SLEEP_S
        return max(0.0, (self._uncommitted_since_ns + self._flush_ns - mono_ns()) / 1e9)

    def _commit(self) -> None:
        self._triggering.look()
        self._show(self._patience.with_it(Call.COMMIT, self._writer.commit))
        self._uncommitted_since_ns = self._uncommitted_bytes = 0
        self._intake.release(self._kept())
        self._tell_of(growing(self._new_gaps))

    def _tell_of(self, untold: Sequence[Gap]) -> None:
        """Tell of the gaps that were committed, but for these last ones."""
        told = self._new_gaps[: len(self._new_gaps) - len(untold)]
        if told:
            self._worker.control.send(GapsCommitted(tuple(told)))
            self._new_gaps = list(untold)

    def _sync_is_due(self) -> bool:
        if self._sync_ns is None or self._position.durable >= self._position.committed:
            return False
        return mono_ns() - self._synced_ns >= self._sync_ns

    def _sync(self) -> None:
        self._show(self._patience.with_it(Call.SYNC, self._writer.sync))
        self._synced_ns = mono_ns()

    def _show(self, position: Position) -> None:
        self._position = position
        self._intake.report(position)

    def _has_reached_its_end(self) -> bool:
        """True once everything is taken that was published when it was to be detached."""
        if self._last_block is None:
            self._last_block = self._ring.status().head
        return self._intake.has_reached(self._last_block)

    def _left_alone(self) -> bool:
        """True if supervisor and acquirer are both gone: no end-of-run mark will come."""
        now_ns = mono_ns()
        if not self._worker.orphaned.is_set() or now_ns - self._looked_ns < _ORPHAN_LOOKS_EVERY_NS:
            return False
        self._looked_ns = now_ns
        try:
            return not self._worker.life.is_alive("acquirer")
        except OSError:
            # The disk is away; an acquirer that is left alone ends within seconds, and is silent then.
            return now_ns - self._ring.status().heartbeat_ns > _SILENCE_NS


def _intake(worker: Worker[SinkOrders], begin: BeginSink, ring: Ring, at: int) -> Intake:
    """From where the row stands. An output that has lost what it had committed goes on at sample `at`: a server's may.

    Raises OSError where the journal is to be asked for that, and its disk is away.
    """
    wake = ReaderWake(begin.descriptor_endpoint, begin.credit_endpoint, worker.keys, begin.row)
    reader = RingReader(ring, begin.row)
    if begin.journal is not None:
        journal = JournalReader(Path(begin.journal))
        if at < begin.committed and (number := journal.number_before(at)) < reader.cursor:
            logging.warning("back to block %d: the output had %d samples, and is at %d", number, begin.committed, at)
            reader.skip_to(number, 0)
        return CoveredIntake(reader, wake, RingObserver(ring), journal)
    if worker.orders.policy is Policy.DROP_NEWEST:
        return QueuedIntake(reader, wake, worker.orders.queue_blocks)
    return DirectIntake(reader, wake)


def _batch_blocks(ring: Ring, delay_s: float) -> int:
    """Blocks taken at once: a burst, but no more than a few MB."""
    if delay_s:
        return 1
    by_size = _BATCH_BYTES // max(1, ring.layout.payload_bytes)
    return max(1, min(_BATCH_BLOCKS, burst_slots(ring.layout.n_slots), by_size))


def _begin(worker: Worker[SinkOrders]) -> BeginSink | None:
    """What it begins with; None if it is to end before."""
    while not worker.orphaned.is_set():
        message = worker.control.receive(TO_SINK, LONGEST_SLEEP_S)
        if isinstance(message, BeginSink):
            return message
        if isinstance(message, (CutOff, LetGo)):
            return None
    return None


def main(worker: Worker[SinkOrders]) -> None:
    """Load the sink, and write with it."""
    # Before anything is waited for: what cannot be loaded is told at once.
    stages = Stages()
    write(worker, opener(worker.orders, stages), stages)


def write(worker: Worker[SinkOrders], writer: ReopeningWriter, stages: Stages) -> None:
    """Wait for the stream, open the output, write it, close it. `stages`: of the writer."""
    orders = worker.orders
    begin = _begin(worker)
    if begin is None:
        return
    columns = Columns(begin.stream, orders.channels, as_codes=known_sink_type(orders.type).as_codes)
    whole = View(columns, samples_a_row(orders.every_s, begin.stream.rate_hz), orders.reduce)
    stream, start, committed = whole.stream, begin.start, begin.committed
    ring = Ring.attach(begin.segment, begin.held)
    calls = stages.calls = CallWords.of_row(ring, begin.row)
    patience = RetryWhileAway(worker, calls)
    try:
        gaps: Sequence[Gap] = ()
        if begin.resume:
            position, gaps = patience.with_it(Call.OPEN, lambda: resumed(writer, orders, stream, start, committed))
            untold = growing(gaps, position.committed)
            if len(gaps) > len(untold):
                # Its predecessor may have been killed between its last commit and telling of the gaps in it.
                worker.control.send(GapsCommitted(tuple(gaps[: len(gaps) - len(untold)])))
        else:
            # A run that begins with an output that is away is refused: somebody is there to do something about it.
            calls.enter(Call.OPEN)
            position, untold = writer.open(stream, start, resume=False), ()
        worker.control.send(SinkReady(position))
        began_s = time.process_time()
        view: View | TriggeredView = whole
        if orders.trigger is not None:
            view = TriggeredView(whole, orders.trigger, begin.stream, position.committed, gaps)
        sink = SinkWorker(worker, patience, calls, begin, ring, view, writer, position, untold)
        try:
            sink.run()
            if patience.lets_go:
                writer.abandon()
                return
            if patience.is_detached:
                writer.detach()
            position = patience.with_it(Call.CLOSE, writer.close)
            remark: str | None = writer.remark
        except SinkUnavailable as error:
            if not patience.is_cut_off:
                raise
            # What is committed stays as it is; the supervisor puts the rest on record.
            logging.warning("ended while its output was away: %s", error)
            position, remark = closed_as_it_is(writer, sink.position) if patience.is_detached else (sink.position, None)
            writer.abandon()
            if patience.lets_go:
                return
        logging.info("written with %.2f s of processor time", time.process_time() - began_s)
        if remark is not None:
            worker.control.send(OutputClosed(remark))
        worker.control.send(SinkDone(position))
    except BaseException:
        writer.abandon()
        raise


if __name__ == "__main__":
    sys.exit(run_worker(main, SinkOrders))
