"""The acquirer process: owns the board, copies its blocks into the ring, and waits for nobody but the ring."""

from __future__ import annotations

import logging
import sys
import time

import numpy as np

from dtopipe.boards.contract import Board, FollowingBoard, LinkedBoard, SurroundedBoard
from dtopipe.boards.registry import load_board
from dtopipe.core.board_promises import broken_promise
from dtopipe.core.ending import end_of_duration
from dtopipe.core.ledger import Stall
from dtopipe.core.ring_size import burst_slots
from dtopipe.host.clock import RunTimes, anchor_at, mono_ns
from dtopipe.model.board_events import Ended, Opened, Overrun, Taken
from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.errors import BoardError, DtopipeError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.shm.calls import CallWords
from dtopipe.shm.layout import Call
from dtopipe.shm.ring import Ring
from dtopipe.shm.writer import RingWriter
from dtopipe.transport.wake import LONGEST_SLEEP_S, AcquirerWake
from dtopipe.wire.messages import TO_ACQUIRER, BoardOpened, StartBoard, StopBoard, StreamEnded
from dtopipe.wire.orders import AcquirerOrders
from dtopipe.workers.acknowledging import Acknowledging
from dtopipe.workers.process import Worker, run_worker

# How often the control line is looked at while blocks stream: a stop is heard within this time.
_LISTEN_EVERY_NS = 10_000_000
_PAIR_EVERY_NS, _PAIR_AT_LEAST_EVERY_NS = 1_000_000_000, 5_000_000_000
# An orphan waits this long for a slot in which nobody moves; then its readers are taken for dead.
_ORPHAN_PATIENCE_S = 10.0
# What a board's code raises that is wrong itself: trying again until the board is there would change nothing.
_MISTAKES = (AssertionError, AttributeError, ImportError, NameError, NotImplementedError, TypeError)


class Acquirer:
    """One board, one ring, from `start` to the end-of-run mark."""

    def __init__(
        self,
        worker: Worker[AcquirerOrders],
        board: Board,
        opened: Opened,
        ring: Ring,
        wake: AcquirerWake,
        start: StartBoard,
    ) -> None:
        self._worker = worker
        self._board = board
        self._clock = SampleClock(opened.rate_hz)
        self._clocked = opened.clocked
        self._times = RunTimes(start.utc_offset_ns)
        self._hole_cause = start.hole_cause
        self._ring = ring
        self._writer = RingWriter(ring)
        self._calls = CallWords.of_acquirer(ring)
        self._wake = wake
        self._anchor = ring.anchor()
        # Where the times of another machine's samples come from.
        self._given_anchor = opened.anchor
        self._acknowledging = Acknowledging(board, ring)
        self._at = ring.end()[0]
        self._device, self._n_channels, self._dtype = opened.device, len(opened.channels), np.dtype(opened.dtype)
        first = ring.status().first_sample_index
        self._end = end_of_duration(opened.rate_hz, worker.orders.duration_s, first)
        if opened.end_sample_index is not None and isinstance(board, FollowingBoard):
            self._writer.know_source_end(opened.end_sample_index)
        self._unannounced = 0
        self._announced_at_once = burst_slots(ring.layout.n_slots)
        self._stopping = False
        self._hurried = False
        self._listened_ns = 0
        self._paired_ns = 0
        self._is_in_time = False

    def run(self) -> None:
        """Start the board and stream until it ends, the duration is over, or a stop is asked for."""
        self._start()
        while self._end is None or self._at < self._end:
            self._listen()
            if self._hurried:
                break
            event = self._next_event()
            self._writer.beat()
            if isinstance(event, Taken):
                taken = self._publish(event)
                self._board.give_back()
                if not taken:
                    break
            elif isinstance(event, Overrun):
                self._lose(event.span, event.cause, event.t_utc_ns)
            elif isinstance(event, Ended):
                if event.is_of_source:
                    self._writer.know_source_end(event.end_sample_index)
                self._lose(Span(self._at, event.end_sample_index), Cause.BOARD_OVERRUN)
                break
        self._calls.enter(Call.STOP)
        self._board.stop()
        self._writer.end()
        self._announce()

    def say_goodbye(self) -> None:
        """Once everything is in the outputs for good, tell the machine that it came from."""
        if not self._stopping:
            self._acknowledging.finish(self._at, lambda: self._hurried or self._worker.orphaned.is_set(), self._listen)

    def _next_event(self) -> Taken | Overrun | Ended | None:
        """What the board has now; before waiting for more, readers are told of what they have not heard of."""
        self._calls.enter(Call.READ)
        event = self._board.read(0)
        self._is_in_time = event is None
        if event is None:
            self._announce()
            self._calls.enter(Call.IDLE)
            event = self._board.read(LONGEST_SLEEP_S)
        return event

    def _start(self) -> None:
        """Start at 0, or behind what a predecessor published; the samples of a clocked board in between are gone."""
        self._calls.enter(Call.START)
        at = self._at
        if self._anchor.t_mono_ns and self._clocked:
            elapsed_ns = mono_ns() - self._anchor.t_mono_ns
            at = max(at, self._anchor.sample_index + self._clock.index_at(elapsed_ns))
        if isinstance(self._board, FollowingBoard):
            self._board.recall(self._ring.board_gaps())
        t_first_ns = self._board.start(at)
        before = self._anchor
        self._anchor = self._given_anchor or self._anchor_behind(before, at, t_first_ns)
        if at > self._at:
            lost_from = before.t_utc_ns + self._clock.offset_ns(self._at - before.sample_index)
            self._writer.record_gap(Gap(Span(self._at, at), self._hole_cause, lost_from))
            self._at = at
        self._writer.begin_epoch(self._anchor)

    def _anchor_behind(self, before: Anchor, at: int, t_first_ns: int | None) -> Anchor:
        """Where the times of a new epoch come from: the clock, but never before what was published.

        A board that is faster than its label, or is read as fast as the ring allows, has samples whose times are ahead
        of the clock; its times go on from there.
        """
        read = self._times.anchor_at(at, t_first_ns)
        if not before.t_mono_ns:
            return read
        return max(read, self._clock.anchor_at(before, at), key=lambda anchor: anchor.t_mono_ns)

    def _publish(self, taken: Taken) -> bool:
        """Into the ring with it; False if the run is hurried to its end while the ring is full.

        Raises BoardError for a buffer that is not what the board said.
        """
        broken = broken_promise(taken, self._at, self._n_channels, self._dtype)
        if broken is not None:
            raise BoardError(self._device, *broken, is_final=True)
        if taken.first_sample_index > self._at:
            self._lose(Span(self._at, taken.first_sample_index), Cause.BOARD_OVERRUN)
        codes, status = taken.codes, taken.sensor_status
        if self._end is not None and self._at + codes.shape[1] > self._end:
            codes = codes[:, : self._end - self._at]
            status = None if status is None else status[:, : self._end - self._at]
        if codes.shape[1] == 0:
            return True
        self._calls.enter(Call.PUBLISH)
        t_taken_ns = mono_ns()
        anchor = self._anchor_of(taken)
        number = self._leased()
        if number is None:
            return False
        latency_ns = taken.poll.latency_ns if taken.poll else 0
        self._writer.publish(number, self._at, codes, status, anchor, t_taken_ns, latency_ns)
        self._at += codes.shape[1]
        self._pair(t_taken_ns)
        self._unannounced += 1
        if self._unannounced >= self._announced_at_once:
            self._announce()
        return True

    def _anchor_of(self, taken: Taken) -> Anchor:
        """Where the times of these samples come from; a reading has a request of its own."""
        if taken.poll is not None:
            return taken.anchor or self._times.anchor_at(self._at, taken.poll.t_requested_ns)
        if taken.anchor is not None and taken.anchor != self._anchor:
            self._anchor = taken.anchor
            self._writer.begin_epoch(taken.anchor)
        return self._anchor

    def _leased(self) -> int | None:
        """A free slot's number, once there is one."""
        lease = self._writer.lease()
        if isinstance(lease, Stall):
            self._announce()
        while isinstance(lease, Stall):
            self._calls.enter(Call.WAIT)
            try:
                if self._writer.waits(lease):
                    self._wake.sleep(LONGEST_SLEEP_S)
            finally:
                self._writer.woke()
            self._listen()
            if self._hurried or self._abandoned():
                self._writer.waited()
                return None
            self._writer.beat()
            lease = self._writer.lease()
        self._writer.waited()
        return lease

    def _abandoned(self) -> bool:
        """True if the supervisor is gone and no reader has moved for long: there is nobody to give slots back."""
        if not self._worker.orphaned.is_set():
            return False
        waiting_ns = mono_ns() - self._ring.status().waiting_since_ns
        return waiting_ns > _ORPHAN_PATIENCE_S * 1e9

    def _lose(self, span: Span, cause: Cause, t_utc_ns: int | None = None) -> None:
        """Log a gap of the board, cut at the run's end; `t_utc_ns` is its first sample's time, if that is known."""
        if self._end is not None:
            span = Span(span.start, min(span.stop, self._end))
        span = Span(max(span.start, self._at), span.stop)
        if span:
            if span.start > self._at:
                # A hole that the board did not tell of is one all the same.
                self._lose(Span(self._at, span.start), Cause.BOARD_OVERRUN)
            if t_utc_ns is None:
                t_utc_ns = self._anchor.t_utc_ns + self._clock.offset_ns(span.start - self._anchor.sample_index)
            self._writer.record_gap(Gap(span, cause, t_utc_ns))
            self._at = span.stop

    def _announce(self) -> None:
        """Wake the readers that sleep.

        A burst of small blocks is announced in parts: a wake-up costs a reader more than a small block does.
        """
        self._unannounced = 0
        rows = self._writer.rows_to_wake()
        if rows:
            self._wake.announce(rows, self._writer.head, self._at)

    def _pair(self, t_mono_ns: int) -> None:
        """Once a second: the index reached, and when that was seen.

        A block that was there already tells more of this machine's load than of the board: one that was waited for is
        waited for, but not for long.
        """
        since_ns = t_mono_ns - self._paired_ns
        if since_ns >= (_PAIR_EVERY_NS if self._is_in_time or not self._clocked else _PAIR_AT_LEAST_EVERY_NS):
            self._paired_ns = t_mono_ns
            self._writer.set_clock_pair(anchor_at(self._at, t_mono_ns))

    def _listen(self) -> None:
        now_ns = mono_ns()
        if now_ns - self._listened_ns < _LISTEN_EVERY_NS:
            return
        self._listened_ns = now_ns
        self._acknowledging.look(now_ns)
        message = self._worker.control.receive(TO_ACQUIRER)
        if isinstance(message, StopBoard):
            self._hurried = message.hurry
            self._stop()
        if self._worker.orphaned.is_set():
            self._stop()

    def _stop(self) -> None:
        """Stop the board's clock; what it has complete is still published, unless the end is hurried."""
        if not self._stopping:
            self._stopping = True
            logging.info("stopping the board at sample %d", self._at)
            self._calls.enter(Call.STOP)
            self._board.stop()


def _checked(opened: Opened, task: TaskPlan | None) -> Opened:
    """Raise BoardError if the board does not do what its task says."""
    if task is not None and task.polled is not opened.polled:
        can, mode = ("cannot", "continuous") if task.polled else ("can only", "polled")
        raise BoardError(opened.device, f"it {can} be polled", f"set task: {{mode: {mode}}}")
    return opened


def _until_started(worker: Worker[AcquirerOrders]) -> StartBoard | None:
    """What it starts with; None if the run ends before it begins."""
    while not worker.orphaned.is_set():
        message = worker.control.receive(TO_ACQUIRER, LONGEST_SLEEP_S)
        if isinstance(message, StartBoard):
            return message
        if isinstance(message, StopBoard):
            return None
    return None


def main(worker: Worker[AcquirerOrders]) -> None:
    """Open the board, say what it is, wait for the ring and the start, stream, close."""
    orders = worker.orders
    board = load_board(orders.type)(orders.options, orders.task)
    if isinstance(board, LinkedBoard):
        # Imported here: no other board has to pay for it.
        from dtopipe.workers.source_link import give_link

        give_link(board, worker)
    elif isinstance(board, SurroundedBoard):
        from dtopipe.workers.source_link import SupervisorLine

        board.take_surroundings(SupervisorLine(worker), orders.remote_id, orders.followed_run)
    wake = AcquirerWake(worker.entry.folder, worker.keys)
    try:
        opened = _checked(board.open(), orders.task)
        worker.control.send(BoardOpened(opened, wake.descriptor_endpoint, wake.credit_endpoint))
        start = _until_started(worker)
        if start is None:
            return
        ring = Ring.attach(start.segment, start.held)
        began = time.process_time()
        acquirer = Acquirer(worker, board, opened, ring, wake, start)
        acquirer.run()
        logging.info("streamed with %.2f s of processor time", time.process_time() - began)
        worker.control.send(StreamEnded())
        acquirer.say_goodbye()
    except (DtopipeError, *_MISTAKES):
        raise
    except Exception as error:
        # Of a driver that has no word for it.
        raise BoardError(orders.type, f"{type(error).__name__}: {error}") from error
    finally:
        board.close()
        wake.close()


if __name__ == "__main__":
    sys.exit(run_worker(main, AcquirerOrders))
