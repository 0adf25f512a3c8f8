"""`poll()` and `record_polled()`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from tasks import COUNTER, VOLTS_A_CODE, clocked, counter

from dtopipe import AnalogInputVoltage, ErrorPolicy, OverflowPolicy, TaskSpec, open_device, record_polled
from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.boards.simulated import SimulatedBoard
from dtopipe.errors import BoardError, TaskStateError
from dtopipe.model.plan import TaskPlan

pytestmark = pytest.mark.anyio


def single() -> TaskSpec:
    return TaskSpec(name="poll", channels=[AnalogInputVoltage(physical_channel=c, name=f"ch{c}") for c in range(2)])


async def test_a_poll_is_one_value_of_every_channel_with_its_own_times() -> None:
    async with await open_device(single(), board="simulated", options=COUNTER) as session:
        readings = [await session.poll() for _ in range(3)]
    assert [reading.values["ch1"] for reading in readings] == counter(1, 0, 3).tolist()
    assert readings[0].units == {"ch0": "V", "ch1": "V"}
    for reading in readings:
        assert reading.requested_at <= reading.t_utc <= reading.received_at
        assert reading.latency_s >= 0
    assert readings[0].t_mono_ns < readings[1].t_mono_ns < readings[2].t_mono_ns


async def test_polls_keep_to_their_own_cadence() -> None:
    async with (
        await open_device(single(), board="simulated", options=COUNTER) as session,
        record_polled(session, rate_hz=200.0) as recording,
    ):
        readings = [await recording.stream.receive() for _ in range(40)]
    due_ns = [(reading.t_mono_ns - readings[0].t_mono_ns) / 5e6 for reading in readings]
    # Each reading is of a tick of its own and never early; nothing adds up.
    assert all(at > number - 0.5 for number, at in enumerate(due_ns))
    ticks = round(due_ns[-1]) + 1
    assert ticks <= 40 + recording.summary.payloads_dropped + 2


async def test_a_clocked_task_is_not_polled_and_a_rate_of_none_is_refused() -> None:
    async with await open_device(clocked(), board="simulated", autostart=False) as session:
        with pytest.raises(TaskStateError, match="SINGLE_VALUE"):
            await session.poll()
        with pytest.raises(TaskStateError, match="SINGLE_VALUE"):
            async with record_polled(session, rate_hz=1.0):
                pass
        with pytest.raises(ValueError, match="rate_hz"):
            async with record_polled(session, rate_hz=0.0):
                pass
        with pytest.raises(ValueError, match="buffer_size"):
            async with record_polled(session, rate_hz=1.0, buffer_size=0):
                pass


class BoardWithABadSecondPoll(SimulatedBoard):
    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        super().__init__(options, task)
        self._polls = 0

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        self._polls += 1
        if self._polls == 2:
            raise BoardError("test", "no answer")
        return super().read(timeout_s)


async def polled(policy: ErrorPolicy) -> list[Any]:
    options = COUNTER | {"pace": "max"}
    async with (
        await open_device(single(), board=BoardWithABadSecondPoll, options=options) as session,
        record_polled(session, rate_hz=200.0, error_policy=policy) as recording,
    ):
        readings = [await recording.stream.receive() for _ in range(4)]
        assert recording.summary.errors_observed == 1
        return readings


async def test_a_failed_poll_is_raised_returned_or_skipped() -> None:
    with pytest.raises(BoardError, match="no answer"):
        await polled(ErrorPolicy.RAISE)
    returned = await polled(ErrorPolicy.RETURN)
    assert [reading.error is not None for reading in returned] == [False, True, False, False]
    assert returned[1].values == {}
    skipped = await polled(ErrorPolicy.SKIP)
    assert [round(reading.values["ch0"] / VOLTS_A_CODE) for reading in skipped] == [-32768, -32767, -32766, -32765]


async def test_a_clock_that_is_set_takes_no_reading_of_an_error_before_another(monkeypatch: pytest.MonkeyPatch) -> None:
    began_ns, wall_clock = time.perf_counter_ns(), time.time_ns
    # Every instant that is read later is an hour before the one at which this began.
    monkeypatch.setattr(time, "time_ns", lambda: wall_clock() - (time.perf_counter_ns() - began_ns) * 3_600_000)
    returned = await polled(ErrorPolicy.RETURN)
    assert returned[1].error is not None
    times = [reading.t_utc for reading in returned]
    assert times == sorted(times)
    steady_s = [(reading.t_mono_ns - returned[0].t_mono_ns) / 1e9 for reading in returned]
    assert [(at - times[0]).total_seconds() for at in times] == pytest.approx(steady_s, abs=0.1)


@pytest.mark.parametrize("policy", list(OverflowPolicy))
async def test_leaving_a_polled_recording_never_hangs(policy: OverflowPolicy) -> None:
    with anyio.fail_after(20):
        async with (
            await open_device(single(), board="simulated") as session,
            record_polled(session, rate_hz=1000.0, overflow=policy, buffer_size=1) as recording,
        ):
            await recording.stream.receive()
            while not recording.stream.status().waiting:
                await anyio.sleep(0.01)
