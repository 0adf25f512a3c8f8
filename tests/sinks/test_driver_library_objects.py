"""Our sinks take the driver library's own blocks and readings, as its recordings give them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_program_sinks import KINDS, Kind, is_null, kind_name, kind_of

from dtopipe.sinks import RawCountsSink, pipe, pipe_blocks
from dtopipe.tools.replay_raw import iter_blocks

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.python313,
    pytest.mark.skipif(sys.version_info < (3, 13), reason="the driver library needs Python 3.13"),
]
SAMPLES = 50


@pytest.fixture(params=KINDS, ids=kind_name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request)


def continuous() -> Any:
    from dtollib import AnalogInputVoltage, BufferPlan, DataFlow, TaskSpec, Timing

    return TaskSpec(
        name="heat",
        channels=[AnalogInputVoltage(physical_channel=c, name=f"ch{c}", unit="V") for c in range(2)],
        data_flow=DataFlow.CONTINUOUS,
        timing=Timing(rate_hz=1000.0),
        buffers=BufferPlan(buffers=4, samples_per_buffer=SAMPLES),
    )


async def recorded_blocks(*, overrun_first: bool = False) -> list[Any]:
    """Blocks out of the library's `record()`, of offset-binary codes 32768 + i + 1000 c; an overrun among them."""
    from dtollib import SdkEventKind, open_device, record
    from dtollib.streaming import ErrorPolicy
    from dtollib.testing import make_fake_backend

    backend = make_fake_backend(include_dt9805=True)
    blocks = []
    async with (
        await open_device(continuous(), backend=backend, autostart=False) as session,
        record(session, error_policy=ErrorPolicy.RETURN) as recording,
    ):
        handle = session.raw_hdass
        for number in range(3):
            if overrun_first == (number == 0):
                backend.fire_event(handle, SdkEventKind.OVERRUN_ERROR)
                blocks.append(await recording.stream.receive())
            index = np.arange(number * SAMPLES, (number + 1) * SAMPLES)
            codes = (32768 + index[:, None] + 1000 * np.arange(2)).astype(np.uint16)
            backend.fire_buffer_done(handle, fill=codes.ravel())
            blocks.append(await recording.stream.receive())
    return blocks


def volts(channel: int, start: int, stop: int) -> np.ndarray[Any, Any]:
    return (np.arange(start, stop) + 1000 * channel) * 20 / 65536


async def stream_of(items: list[Any]) -> Any:
    for item in items:
        yield item


@pytest.mark.parametrize("overrun_first", [False, True])
async def test_its_blocks_are_stored_sample_by_sample(kind: Kind, overrun_first: bool, tmp_path: Path) -> None:
    blocks = await recorded_blocks(overrun_first=overrun_first)
    assert any(block.error is not None for block in blocks)
    async with kind.sink(tmp_path / "output") as sink:
        await pipe_blocks(stream_of(blocks), sink)
    rows = kind.samples(tmp_path / "output")
    assert [row["sample_index"] for row in rows] == list(range(3 * SAMPLES))
    for channel in range(2):
        stored = [row[f"ch{channel}"] for row in rows]
        np.testing.assert_allclose(stored, volts(channel, 0, 3 * SAMPLES), rtol=0, atol=1e-9)


async def test_its_codes_are_stored_as_they_are_and_it_reads_them_back(tmp_path: Path) -> None:
    from dtollib.tools.replay_raw import iter_blocks as its_blocks

    path = tmp_path / "raw"
    blocks = await recorded_blocks()
    async with RawCountsSink(path, file_metadata={"operator": "me"}) as sink:
        for block in blocks:
            await sink.write_raw(block)
    codes = np.concatenate([block.raw_codes for block in blocks if block.error is None], axis=1)
    for read in (iter_blocks, its_blocks):
        found = list(read(path))
        assert len(found) == len(blocks)
        np.testing.assert_array_equal(np.concatenate([block.raw_codes for block in found], axis=1), codes)


async def test_its_readings_are_stored_with_its_sentinels_as_nulls(kind: Kind, tmp_path: Path) -> None:
    from dtollib import TaskSpec, ThermocoupleInput, ThermocoupleType, open_device
    from dtollib.testing import make_fake_backend

    spec = TaskSpec(
        name="poll",
        channels=[
            ThermocoupleInput(
                physical_channel=c, name=f"tc{c}", thermocouple_type=ThermocoupleType.K, min_val_degc=-50.0,
                max_val_degc=200.0,
            )
            for c in range(1, 3)
        ],
    )  # fmt: skip
    backend = make_fake_backend(include_dt9805=True)
    async with await open_device(spec, backend=backend) as session:
        # The cold junction's sensor, 10 mV a degree: 25 degrees of offset-binary codes over 20 V.
        backend.scalar_values[(session.raw_hdass, 0)] = 32768 + round(0.25 / 20 * 65536)
        backend.thermocouple_sentinels[(session.raw_hdass, 2)] = "sensor_open"
        readings = [await session.poll() for _ in range(3)]
    async with kind.sink(tmp_path / "output") as sink:
        assert await pipe(stream_of(readings), sink) == 3
    rows = kind.readings(tmp_path / "output")
    assert [row["t_mono_ns"] for row in rows] == [reading.t_mono_ns for reading in readings]
    for row, reading in zip(rows, readings, strict=True):
        for name, value in reading.values.items():
            assert is_null(row[name]) if np.isnan(value) else row[name] == value
