"""Blocks and readings as programs have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from dtopipe import DaqBlock, DaqReading

T0 = datetime(2026, 11, 22, 23, 41, tzinfo=UTC)
RATE_HZ = 1000.0


def block(first: int = 0, n: int = 4, channels: Sequence[str] = ("a", "b"), **fields: Any) -> DaqBlock:
    """`data[c, i]` is `first + i + 1000 * c`."""
    data = np.arange(first, first + n, dtype=np.float64) + 1000.0 * np.arange(len(channels))[:, None]
    t_utc = T0 + timedelta(seconds=first / RATE_HZ)
    given = {
        "device": "dev", "task": "task", "channels": tuple(channels), "data": data,
        "raw_codes": np.arange(data.size, dtype=np.int16).reshape(data.shape),
        "block_index": first // n if n else 0, "first_sample_index": first, "samples_per_channel": n,
        "sample_rate_hz": RATE_HZ, "task_started_at": T0, "t0": t_utc, "t_mono_ns": 10**9 + first * 10**6,
        "t_utc": t_utc, "read_started_at": t_utc, "read_finished_at": t_utc, "elapsed_s": 0.0,
        "units": dict.fromkeys(channels, "V"),
    }  # fmt: skip
    return DaqBlock(**{**given, **fields})


def error_block(first: int = 0, n: int = 4) -> DaqBlock:
    """As the driver library makes them: zeros, no codes, and the error beside them."""
    return block(first, n, data=np.zeros((2, n)), raw_codes=None, error=OSError("buffers overrun"))


def reading(number: int = 0, values: Mapping[str, Any] | None = None, **fields: Any) -> DaqReading:
    """One reading a second."""
    at = T0 + timedelta(seconds=number)
    named = {"ch0": float(number)} if values is None else values
    given = {
        "device": "dev", "task": "task", "values": named, "units": dict.fromkeys(named, "V"), "requested_at": at,
        "received_at": at, "t_utc": at, "t_mono_ns": 10**9 * number, "latency_s": 0.0,
    }  # fmt: skip
    return DaqReading(**{**given, **fields})
