"""One of dtollib's own sinks at full speed, for `bench_sinks.py`: run by a Python 3.13 that has dtollib.

    python3.13 bench_dtollib.py SINK PATH_OR_DSN SECONDS

Prints one line of JSON: samples (all channels), seconds, CPU seconds. CSV, JSON Lines and Parquet are given blocks of
8 channels x 1000 samples; SQLite and Postgres, which keep no samples of blocks, 64 readings of 8 values at a time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from dtollib import sinks
from dtollib.tasks import models

CHANNELS = tuple(f"ai{number}" for number in range(8))
N_SAMPLES = 1000
READINGS_A_WRITE = 64
START = datetime(2025, 11, 23, tzinfo=UTC)


def block(number: int, data: np.ndarray) -> Any:
    """One block of 0.1 s."""
    t0 = START + timedelta(seconds=0.1 * number)
    return models.DaqBlock(
        device="bench", task="bench", channels=CHANNELS, data=data, block_index=number,
        first_sample_index=number * N_SAMPLES, samples_per_channel=N_SAMPLES, task_started_at=START, t0=t0,
        t_mono_ns=number * 100_000_000, t_utc=t0, read_started_at=t0, read_finished_at=t0, elapsed_s=0.1,
        sample_rate_hz=10_000.0, block_period_ns=100_000_000, units=dict.fromkeys(CHANNELS, "V"),
    )  # fmt: skip


def reading(number: int, values: list[float]) -> Any:
    """One reading of every channel."""
    at = START + timedelta(milliseconds=number)
    return models.DaqReading(
        device="bench", task="bench", requested_at=at, received_at=at, t_utc=at, t_mono_ns=number * 1_000_000,
        latency_s=0.001, values=dict(zip(CHANNELS, values, strict=True)), units=dict.fromkeys(CHANNELS, "V"),
    )  # fmt: skip


def opened(kind: str, where: str) -> Any:
    """The sink, not open yet."""
    if kind == "postgres":
        # Ours has a table of the name that is its default.
        return sinks.PostgresSink(
            sinks.PostgresConfig(dsn=where, table_readings="dtollib_readings", create_tables=True)
        )
    if kind == "csv":
        return sinks.CsvSink(where, accept_blocks=True)
    if kind == "jsonl":
        return sinks.JsonlSink(where, accept_blocks=True)
    return {"parquet": sinks.ParquetSink, "sqlite": sinks.SqliteSink}[kind](where)


async def measured(kind: str, where: str, seconds: float) -> dict[str, float]:
    """Write for so long."""
    noise = np.random.default_rng(1)
    t = np.arange(16 * N_SAMPLES) / 10_000
    data = np.sin(2 * np.pi * 9.7 * t) * 9 + noise.normal(0, 0.001, (8, len(t)))
    data = np.round(data * 3276.8) * (20 / 65536)
    blocks = np.split(data, 16, axis=1)
    rows = data.T.tolist()
    number = samples = 0
    async with opened(kind, where) as sink:
        began, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            if kind in ("sqlite", "postgres"):
                firsts = range(number, number + READINGS_A_WRITE)
                await sink.write_many([reading(first, rows[first % len(rows)]) for first in firsts])
                number += READINGS_A_WRITE
                samples += READINGS_A_WRITE * len(CHANNELS)
            else:
                await sink.write(block(number, blocks[number % 16].copy()))
                number += 1
                samples += N_SAMPLES * len(CHANNELS)
    return {"samples": samples, "seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measured(sys.argv[1], sys.argv[2], float(sys.argv[3])))))
