"""Tasks for the tests of recordings, and what a counter shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe import AnalogInputVoltage, BufferPlan, DataFlow, TaskSpec, Timing

VOLTS_A_CODE = 20 / 65536


def clocked(rate_hz: float = 10_000.0, samples: int = 100, buffers: int = 100, end: int | None = None) -> TaskSpec:
    """Two channels; finite where `end` says so. The board is patient: a second on a machine that has other work."""
    return TaskSpec(
        name="run",
        channels=[AnalogInputVoltage(physical_channel=c, name=f"ch{c}") for c in range(2)],
        data_flow=DataFlow.CONTINUOUS if end is None else DataFlow.FINITE,
        timing=Timing(rate_hz=rate_hz, samples_per_channel=end),
        buffers=BufferPlan(buffers=buffers, samples_per_buffer=samples),
    )


def counter(channel: int, start: int, stop: int) -> NDArray[np.float64]:
    """What `waveform: counter` gives, in volts."""
    index = np.arange(start, stop, dtype=np.int64)
    codes = (index * (2 * channel + 1) + 257 * channel) % 65536 - 32768
    return codes.astype(np.float64) * VOLTS_A_CODE


COUNTER: dict[str, Any] = {"waveform": "counter"}
