"""`record()`: what comes, what a slow consumer loses, and that leaving never hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, cast

import anyio
import numpy as np
import pytest
from anyio import to_thread
from tasks import COUNTER, clocked, counter

from dtopipe import DataFlow, ErrorPolicy, OverflowPolicy, TaskSpec, open_device, record
from dtopipe.boards.contract import Ended, Opened, Overrun, Taken
from dtopipe.boards.simulated import SimulatedBoard
from dtopipe.errors import BoardError, BufferOverrun, SpecError, TaskStateError
from dtopipe.model.plan import TaskPlan
from dtopipe.streaming import Session

pytestmark = pytest.mark.anyio
POLICIES = list(OverflowPolicy)


async def opened(spec: TaskSpec, **options: Any) -> Session:
    return await open_device(spec, board="simulated", options=COUNTER | options, autostart=False)


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_consumer_that_keeps_up_gets_every_sample_in_order(policy: OverflowPolicy) -> None:
    async with await opened(clocked(end=1234)) as session, record(session, overflow=policy) as recording:
        blocks = [block async for block in recording.stream]
    assert recording.summary.payloads_emitted == len(blocks) == 13
    assert recording.summary.finished_at is not None
    assert [block.block_index for block in blocks] == list(range(13))
    for channel in range(2):
        np.testing.assert_array_equal(
            np.concatenate([block.data[channel] for block in blocks]), counter(channel, 0, 1234)
        )


async def test_a_block_has_the_time_of_its_first_sample_and_the_codes_of_the_board() -> None:
    async with await opened(clocked(rate_hz=3000.0, end=700)) as session, record(session) as recording:
        blocks = [block async for block in recording.stream]
    first = blocks[0]
    for block in blocks:
        assert block.first_sample_index == 100 * block.block_index
        assert block.t_mono_ns - first.t_mono_ns == round(block.first_sample_index * 1_000_000_000 / 3000)
        assert block.raw_codes is not None
        assert block.raw_codes.dtype == np.int16
        np.testing.assert_array_equal(block.raw_codes * (20 / 65536), block.data)
        assert block.units == {"ch0": "V", "ch1": "V"}
    # A buffer is done when its last sample was taken, and its time is not that one.
    last = blocks[-1]
    done_ns = last.t_mono_ns + round(last.samples_per_channel * 1e9 / 3000)
    assert (last.read_finished_at - last.t_utc).total_seconds() * 1e9 >= 0.9 * (done_ns - last.t_mono_ns)


async def test_a_blocking_consumer_starves_no_board_under_block() -> None:
    """The consumer holds the whole event loop for three times as long as the board's own buffers last."""
    async with (
        await opened(clocked(rate_hz=10_000, samples=100, buffers=10, end=5000)) as session,
        record(session, overflow=OverflowPolicy.BLOCK) as recording,
    ):
        first = await recording.stream.receive()
        time.sleep(0.3)  # noqa: ASYNC251  (what is tested: nothing else runs meanwhile)
        rest = [block async for block in recording.stream]
    assert recording.summary.payloads_dropped == recording.summary.overruns_observed == 0
    np.testing.assert_array_equal(np.concatenate([block.data[1] for block in (first, *rest)]), counter(1, 0, 5000))


@pytest.mark.parametrize("policy", [OverflowPolicy.DROP_OLDEST, OverflowPolicy.DROP_NEWEST])
async def test_what_is_dropped_is_counted_and_the_indices_move_on(policy: OverflowPolicy) -> None:
    async with (
        await opened(clocked(end=4000), pace="max") as session,
        record(session, overflow=policy, stream_buffer_size=5) as recording,
    ):
        with anyio.fail_after(30):
            while recording.summary.payloads_dropped < 35:
                await anyio.sleep(0.01)
        blocks = [block async for block in recording.stream]
    assert (len(blocks), recording.summary.payloads_dropped) == (5, 35)
    kept = range(0, 500, 100) if policy is OverflowPolicy.DROP_NEWEST else range(3500, 4000, 100)
    assert [block.first_sample_index for block in blocks] == list(kept)
    for block in blocks:
        start = block.first_sample_index
        np.testing.assert_array_equal(block.data[0], counter(0, start, start + 100))


async def test_a_board_that_can_wait_waits_for_a_consumer_that_blocks() -> None:
    async with (
        await opened(clocked(end=4000), pace="max") as session,
        record(session, overflow=OverflowPolicy.BLOCK, stream_buffer_size=3) as recording,
    ):
        with anyio.fail_after(30):
            while recording.stream.status().waiting < 3:
                await anyio.sleep(0.01)
        assert recording.stream.status().waiting == 3
        blocks = [block async for block in recording.stream]
    np.testing.assert_array_equal(np.concatenate([block.data[0] for block in blocks]), counter(0, 0, 4000))


@pytest.mark.parametrize("pace", ["realtime", "max"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_leaving_by_break_never_hangs(policy: OverflowPolicy, pace: str) -> None:
    with anyio.fail_after(20):
        async with (
            await opened(clocked(), pace=pace) as session,
            record(session, overflow=policy, stream_buffer_size=1) as recording,
        ):
            async for _ in recording.stream:
                break
    assert recording.summary.finished_at is not None


@pytest.mark.parametrize("policy", POLICIES)
async def test_leaving_by_an_error_shows_that_error(policy: OverflowPolicy) -> None:
    with anyio.fail_after(20), pytest.raises(KeyError, match="mine"):
        async with (
            await opened(clocked()) as session,
            record(session, overflow=policy, stream_buffer_size=1) as recording,
        ):
            async for _ in recording.stream:
                raise KeyError("mine")


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_cancelled_recording_lets_go_of_the_board(policy: OverflowPolicy) -> None:
    session = await opened(clocked())
    with anyio.move_on_after(0.2) as scope:
        async with record(session, overflow=policy, stream_buffer_size=1) as recording:
            async for _ in recording.stream:
                await anyio.sleep(0.05)
    assert scope.cancelled_caught
    async with record(session) as again:
        assert (await again.stream.receive()).first_sample_index == 0
    await session.close()


OVERRUN = {"overruns": [{"at": 250, "samples": 130}]}


async def test_an_overrun_is_raised_behind_the_blocks_before_it() -> None:
    seen = []
    with pytest.raises(BufferOverrun, match="250 to 380"):
        async with (
            await opened(clocked(end=1000), **OVERRUN) as session,
            record(session, overflow=OverflowPolicy.BLOCK) as recording,
        ):
            async for block in recording.stream:
                seen.append(block)
    np.testing.assert_array_equal(np.concatenate([block.data[0] for block in seen]), counter(0, 0, 250))


async def test_an_overrun_that_nobody_saw_is_raised_on_the_way_out() -> None:
    with pytest.raises(BufferOverrun):
        async with await opened(clocked(end=1000), pace="max", **OVERRUN) as session, record(session) as recording:
            with anyio.fail_after(30):
                while not recording.summary.overruns_observed or not recording.summary.errors_observed:
                    await anyio.sleep(0.01)


async def test_a_returned_overrun_is_a_block_of_no_samples_and_the_clock_moves_on() -> None:
    async with (
        await opened(clocked(end=1000), **OVERRUN) as session,
        record(session, overflow=OverflowPolicy.BLOCK, error_policy=ErrorPolicy.RETURN) as recording,
    ):
        blocks = [block async for block in recording.stream]
    bad = [block for block in blocks if block.error is not None]
    good = [block for block in blocks if block.error is None]
    assert [(block.first_sample_index, block.samples_per_channel) for block in bad] == [(250, 0)]
    assert recording.summary.overruns_observed == 1
    np.testing.assert_array_equal(
        np.concatenate([block.data[1] for block in good]), np.concatenate([counter(1, 0, 250), counter(1, 380, 1000)])
    )
    behind = next(block for block in good if block.first_sample_index == 380)
    assert behind.t_mono_ns - good[0].t_mono_ns == 380 * 100_000
    assert [gap.span.start for gap in behind.gaps_before] == [250]


async def test_a_skipped_overrun_is_only_counted() -> None:
    async with (
        await opened(clocked(end=1000), **OVERRUN) as session,
        record(session, overflow=OverflowPolicy.BLOCK, error_policy=ErrorPolicy.SKIP) as recording,
    ):
        blocks = [block async for block in recording.stream]
    assert all(block.error is None for block in blocks)
    assert (recording.summary.overruns_observed, recording.summary.errors_observed) == (1, 1)


async def test_sensors_that_are_not_ok_have_no_value() -> None:
    faults = [{"channel": "ch1", "at": 120, "samples": 30, "status": "open"}]
    async with await opened(clocked(end=300), sensor_faults=faults) as session, record(session) as recording:
        blocks = [block async for block in recording.stream]
    data = np.concatenate([block.data for block in blocks], axis=1)
    assert np.flatnonzero(np.isnan(data[1])).tolist() == list(range(120, 150))
    assert not np.isnan(data[0]).any()
    assert blocks[1].sensor_status["ch1"][20:50].tolist() == [1] * 30


class BoardThatBreaks(SimulatedBoard):
    """Gives two blocks, then an error for good."""

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        super().__init__(options, task)
        self._reads = 0

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        event = super().read(timeout_s)
        self._reads += isinstance(event, Taken)
        if self._reads > 2:
            raise BoardError("test", "the cable is out")
        return event


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_boards_own_error_ends_the_stream(policy: OverflowPolicy) -> None:
    with anyio.fail_after(20), pytest.raises(BoardError, match="the cable is out"):
        async with (
            await open_device(clocked(), board=BoardThatBreaks, options=COUNTER, autostart=False) as session,
            record(session, overflow=policy) as recording,
        ):
            async for _ in recording.stream:
                pass


class BoardThatHangs(SimulatedBoard):
    """A driver that does not come back."""

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        super().__init__(options, task)
        self.asked, self.released = threading.Event(), threading.Event()

    def open(self) -> Opened:
        HUNG.append(self)
        return super().open()

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        self.asked.set()
        self.released.wait(60)
        return super().read(timeout_s)


HUNG: list[BoardThatHangs] = []


async def test_a_driver_that_does_not_come_back_is_said_to_be_that() -> None:
    session = await open_device(clocked(), board=BoardThatHangs, options=COUNTER, autostart=False)
    with anyio.fail_after(20), pytest.raises(TaskStateError, match="did not stop within"):
        async with record(session, timeout=0.2):
            await to_thread.run_sync(HUNG[0].asked.wait)
    await session.close()
    HUNG.pop().released.set()


async def test_what_does_not_go_together_is_said_before_anything_starts() -> None:
    with pytest.raises(SpecError, match="samples_per_channel is required"):
        TaskSpec(
            name="t",
            channels=clocked().channels,
            # As it may be written where nobody checks types.
            data_flow=cast(DataFlow, "finite"),
            timing=clocked().timing,
            buffers=clocked().buffers,
        )
    async with await opened(TaskSpec(name="t", channels=clocked().channels)) as session:
        with pytest.raises(TaskStateError, match="CONTINUOUS"):
            async with record(session):
                pass
    async with await open_device(clocked(), board="simulated") as session:
        with pytest.raises(TaskStateError, match="autostart=False"):
            async with record(session):
                pass
    async with await opened(clocked()) as session, record(session):
        with pytest.raises(TaskStateError, match="in the middle of"):
            async with record(session):
                pass
    with pytest.raises(TaskStateError, match="closed"):
        async with record(session):
            pass
