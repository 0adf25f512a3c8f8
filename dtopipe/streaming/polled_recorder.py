"""Records readings at a cadence of our own."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
from anyio import to_thread

from dtopipe.model.daq import DaqReading
from dtopipe.model.errors import BoardError
from dtopipe.model.task_spec import ErrorPolicy, OverflowPolicy
from dtopipe.streaming.hand_over import HandOver
from dtopipe.streaming.readings import Poller
from dtopipe.streaming.recording import AcquisitionSummary, Recording
from dtopipe.streaming.session import Session


@asynccontextmanager
async def record_polled(
    session: Session,
    *,
    rate_hz: float,
    error_policy: ErrorPolicy = ErrorPolicy.RAISE,
    overflow: OverflowPolicy = OverflowPolicy.BLOCK,
    buffer_size: int = 64,
) -> AsyncIterator[Recording[DaqReading]]:
    """Readings of a session of single values, `rate_hz` a second; `recording.stream` yields them.

    Tick k is due at `start + k / rate_hz`, so that no delay adds up; ticks that nobody had time for are counted in
    `summary.payloads_dropped`. Where the consumer is behind by `buffer_size` readings, BLOCK waits, the others drop
    and count. An error of the board is raised, returned as a reading with its `error`, or only counted.

    Raises ValueError for a rate or a buffer of none, TaskStateError for a clocked task.
    """
    if not 0.0 < rate_hz < float("inf"):
        raise ValueError(f"rate_hz must be > 0, got {rate_hz!r}")
    if buffer_size < 1:
        raise ValueError(f"buffer_size must be >= 1, got {buffer_size!r}")
    poller = session.hold_poller("record_polled()")
    summary = AcquisitionSummary(started_at=datetime.now(UTC))
    stream: HandOver[DaqReading] = HandOver(buffer_size, OverflowPolicy(overflow), summary)
    recording = Recording(stream, summary, rate_hz)
    ticks = _Ticks(poller, recording, rate_hz, ErrorPolicy(error_policy))
    ended = session.thread.begin(ticks.run)
    try:
        yield recording
    finally:
        ticks.stopping.set()
        error = stream.unseen_error()
        stream.close()
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(ended.result)
        summary.finished_at = datetime.now(UTC)
        session.let_go()
    if error is not None:
        raise error


class _Ticks:
    """Polls in the board's thread."""

    def __init__(
        self,
        poller: Poller,
        recording: Recording[DaqReading],
        rate_hz: float,
        error_policy: ErrorPolicy,
    ) -> None:
        self._poller = poller
        self._recording = recording
        self._period_s = 1.0 / rate_hz
        self._error_policy = error_policy
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until told to stop, or an error is to be raised."""
        stream, summary = self._recording.stream, self._recording.summary
        start_s, tick = time.perf_counter(), 0
        while not self.stopping.wait(max(0.0, start_s + tick * self._period_s - time.perf_counter())):
            reading: DaqReading | None
            try:
                reading = self._poller.poll()
            except Exception as error:
                summary.errors_observed += 1
                if self._error_policy is ErrorPolicy.RAISE or not isinstance(error, BoardError):
                    stream.end(error)
                    return
                returned = self._error_policy is ErrorPolicy.RETURN
                reading = self._poller.error_reading(error) if returned else None
            if reading is not None and not stream.put(reading):
                return
            due = int((time.perf_counter() - start_s) / self._period_s)
            summary.payloads_dropped += max(0, due - tick - 1)
            tick = max(tick + 1, due)
