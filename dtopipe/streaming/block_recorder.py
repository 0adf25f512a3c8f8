"""Records the blocks of a clocked task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import numpy as np
from anyio import to_thread

from dtopipe.model.board_events import Opened
from dtopipe.model.daq import DaqBlock
from dtopipe.model.errors import SpecError, TaskStateError
from dtopipe.model.task_spec import DataFlow, ErrorPolicy, OverflowPolicy
from dtopipe.streaming.hand_over import HandOver
from dtopipe.streaming.pump import Pump
from dtopipe.streaming.recording import AcquisitionSummary, Recording
from dtopipe.streaming.session import Session

# A clocked board cannot wait: blocks that nobody has taken yet are kept in memory up to this much.
_KEPT_BYTES = 512 * 2**20


@asynccontextmanager
async def record(
    session: Session,
    *,
    timeout: float = 10.0,  # noqa: ASYNC109  (the guide's name: how long the board may take to stop)
    stream_buffer_size: int = 16,
    error_policy: ErrorPolicy = ErrorPolicy.RAISE,
    overflow: OverflowPolicy = OverflowPolicy.DROP_OLDEST,
) -> AsyncIterator[Recording[DaqBlock]]:
    """Blocks of a session that was opened with `autostart=False`, from sample 0; `recording.stream` yields them.

    The board is drained in a thread of its own, whatever the consumer does. Where it is behind by
    `stream_buffer_size` blocks, DROP_OLDEST and DROP_NEWEST drop and count; BLOCK drops nothing: a board that can wait
    waits, and a clocked one is kept in memory up to 512 MiB, after which it overruns. An overrun is raised, returned
    as a block of no samples with its `error`, or only counted, as `error_policy` says; either way the next block's
    `first_sample_index` has moved on. A finite task ends the stream at its count. Leaving early is always possible.

    Raises TaskStateError for a session without blocks, one that records already, or a board that does not stop
    within `timeout` seconds; and what the board raises.
    """
    policy, flow = OverflowPolicy(overflow), session.spec.data_flow
    if flow is DataFlow.SINGLE_VALUE:
        raise TaskStateError("record() requires data_flow in {CONTINUOUS, FINITE}; single values are record_polled()'s")
    if stream_buffer_size < 1:
        raise SpecError(f"stream_buffer_size must be >= 1, got {stream_buffer_size}")
    board, opened = session.hold("record()")
    summary = AcquisitionSummary(started_at=datetime.now(UTC))
    capacity = _capacity(opened, stream_buffer_size) if policy is OverflowPolicy.BLOCK else stream_buffer_size
    stream: HandOver[DaqBlock] = HandOver(capacity, policy, summary)
    recording = Recording(stream, summary, opened.rate_hz)
    pump = Pump(board, opened, session.spec.name, recording, ErrorPolicy(error_policy), session.spec.end_sample_index)
    ended = session.thread.begin(pump.run)
    try:
        yield recording
    finally:
        pump.stop()
        error = stream.unseen_error()
        stream.close()
        with anyio.CancelScope(shield=True):
            stopped = await to_thread.run_sync(_ends_within, ended, timeout)
        summary.finished_at = datetime.now(UTC)
        if stopped:
            session.let_go()
    # Only where the program went well so far: its own error is not to be hidden by this one.
    if not stopped:
        raise TaskStateError(f"the board did not stop within {timeout:g} s")
    if error is not None:
        raise error


def _capacity(opened: Opened, stream_buffer_size: int) -> int:
    """Blocks that may wait for a consumer that must have all of them."""
    if not opened.clocked:
        return stream_buffer_size
    per_sample = np.dtype(opened.dtype).itemsize + np.dtype(np.float64).itemsize
    block_bytes = len(opened.channels) * opened.samples_per_block * per_sample
    return max(stream_buffer_size, _KEPT_BYTES // block_bytes)


def _ends_within(ended: Future[None], timeout_s: float) -> bool:
    try:
        ended.result(timeout_s)
    except TimeoutError:
        return False
    return True
