"""Drains a board into a hand-over, in the board's own thread: a slow consumer cannot starve it."""

from __future__ import annotations

import threading

import numpy as np

from dtopipe.boards.contract import Board
from dtopipe.host.clock import RunTimes
from dtopipe.model.board_events import Ended, Opened, Overrun, Taken
from dtopipe.model.daq import DaqBlock
from dtopipe.model.errors import BufferOverrun
from dtopipe.model.span import Cause, Span
from dtopipe.model.task_spec import ErrorPolicy
from dtopipe.streaming.blocks import Blocks
from dtopipe.streaming.recording import Recording

# How long a stop may go unheard.
_READ_TIMEOUT_S = 0.05


class Pump:
    """It moves samples from the board's start to its end, or to `stop`."""

    def __init__(
        self,
        board: Board,
        opened: Opened,
        task: str,
        recording: Recording[DaqBlock],
        error_policy: ErrorPolicy,
        end_sample_index: int | None,
    ) -> None:
        self._board = board
        self._opened = opened
        self._task = task
        self._recording = recording
        self._error_policy = error_policy
        self._end = end_sample_index
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Come to an end soon; called from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Start the board, hand everything over, stop it. What goes wrong is handed over, too."""
        stream = self._recording.stream
        try:
            self._stream()
        except BaseException as error:
            self._recording.summary.errors_observed += 1
            self._board.stop()
            stream.end(error)
        else:
            self._board.stop()
            stream.end()

    def _stream(self) -> None:
        times = RunTimes()
        blocks = Blocks(self._task, self._opened, times.anchor_at(0, self._board.start(0)))
        while not self._stopping.is_set() and (self._end is None or blocks.at < self._end):
            event = self._board.read(_READ_TIMEOUT_S)
            if isinstance(event, Taken):
                taken = self._own(event, blocks.at)
                self._board.give_back()
                if taken.first_sample_index > blocks.at:
                    self._lost(Overrun(Span(blocks.at, taken.first_sample_index)), blocks)
                if taken.codes.shape[1] and not self._recording.stream.put(blocks.block(taken, times.utc_ns())):
                    break
            elif isinstance(event, Overrun):
                self._lost(self._cut(event), blocks)
            elif isinstance(event, Ended):
                if event.end_sample_index > blocks.at:
                    self._lost(Overrun(Span(blocks.at, event.end_sample_index), Cause.BOARD_OVERRUN), blocks)
                break

    def _own(self, taken: Taken, at: int) -> Taken:
        """A copy that stays when the board has its buffer back; no longer than a finite task."""
        n = taken.codes.shape[1]
        if self._end is not None:
            n = max(0, min(n, self._end - max(at, taken.first_sample_index)))
        status = taken.sensor_status
        return Taken(
            taken.first_sample_index,
            np.array(taken.codes[:, :n], order="C"),
            None if status is None else np.array(status[:, :n]),
        )

    def _cut(self, overrun: Overrun) -> Overrun:
        if self._end is None or overrun.span.stop <= self._end:
            return overrun
        return Overrun(Span(overrun.span.start, max(overrun.span.start, self._end)), overrun.cause)

    def _lost(self, overrun: Overrun, blocks: Blocks) -> None:
        """As the error policy says. Raises BufferOverrun."""
        summary = self._recording.summary
        summary.overruns_observed += 1
        block = blocks.overrun(overrun)
        if self._error_policy is ErrorPolicy.RAISE:
            raise block.error or BufferOverrun("the board lost samples")
        summary.errors_observed += 1
        if self._error_policy is ErrorPolicy.RETURN:
            self._recording.stream.put(block)
