"""Blocks into a stream of a real NATS server: the sink beside a bare nats-py publisher with the same window.

python scripts/dev/bench_jetstream.py [--mb 200] [--channels 8] [--samples 1000 4000 16000]
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import nats
import numpy as np

from dtopipe.model.clock import Anchor
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.jetstream.writer import JetStreamWriter

# As the sink has it by default, and what the worker commits at once.
WINDOW_MESSAGES, WINDOW_BYTES, COMMIT_BYTES = 256, 16 * 2**20, 16 * 2**20


async def bare(endpoint: str, payload: bytes, n: int) -> float:
    """Seconds for so many messages, a window of them unacknowledged."""
    client = await nats.connect(endpoint)
    js = client.jetstream(publish_async_max_pending=WINDOW_MESSAGES)
    waiting: deque[tuple[Any, int]] = deque()
    n_bytes = 0
    began = time.perf_counter()
    for number in range(n):
        while waiting and (len(waiting) >= WINDOW_MESSAGES or n_bytes + len(payload) > WINDOW_BYTES):
            future, size = waiting.popleft()
            await future
            n_bytes -= size
        headers = {"Nats-Msg-Id": f"{began}-{number}"}
        waiting.append((await js.publish_async("bare.a", payload, headers=headers), len(payload)))
        n_bytes += len(payload)
    for future, _ in waiting:
        await future
    took = time.perf_counter() - began
    await client.close()
    return took


def by_sink(endpoint: str, stream: Stream, blocks: list[Block]) -> float:
    """Seconds for these blocks, committed as a worker does."""
    writer = JetStreamWriter(OutputOptions(None), endpoint=endpoint)
    writer.open(stream, 0, resume=False)
    n_bytes = 0
    began = time.perf_counter()
    for block in blocks:
        writer.append([block])
        n_bytes += block.codes.nbytes
        if n_bytes >= COMMIT_BYTES:
            writer.commit()
            n_bytes = 0
    writer.commit()
    took = time.perf_counter() - began
    writer.close()
    return took


def measure(endpoint: str, n_channels: int, n_samples: int, mb: float, number: int) -> None:
    """One line of the table; the two take turns, and the best of three counts."""
    codes = np.random.default_rng(1).integers(-32768, 32767, (n_channels, n_samples), np.int16)
    n = max(10, round(mb * 1e6 / codes.nbytes))
    channels = tuple(Channel(f"ch{c}") for c in range(n_channels))
    anchor = Anchor(0, 1, 1)
    blocks = [Block(k, k * n_samples, codes, anchor) for k in range(n)]
    bare_s, sink_s = [], []
    for turn in range(3):
        run_id = f"bench-{number}-{turn}"
        name, began_at = f"bench {number} {turn}", "2026-11-23T09:00:00Z"
        stream = Stream(run_id, name, "a", channels, "int16", 1e6, n_samples, began_at)
        bare_s.append(asyncio.run(bare(endpoint, codes.tobytes(), n)))
        sink_s.append(by_sink(endpoint, stream, blocks))
    ours, theirs = min(sink_s), min(bare_s)
    size = codes.nbytes
    print(
        f"{size / 1e3:9.0f} kB  {n:6d} blocks   sink {n / ours:8.0f} blocks/s {n * size / ours / 1e6:7.1f} MB/s"
        f"   bare {n / theirs:8.0f} blocks/s {n * size / theirs / 1e6:7.1f} MB/s   {theirs / ours:.2f}x"
    )


def main() -> None:
    """Start a server of our own, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=float, default=200, help="of codes, for each line")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 1000, 4000, 16000], help="per block")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-nats-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("nats-server")
    server = subprocess.Popen(
        [program, "-js", "-sd", folder, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    endpoint = f"nats://127.0.0.1:{port}"
    try:
        asyncio.run(made(endpoint))
        for number, n_samples in enumerate(asked.samples):
            measure(endpoint, asked.channels, n_samples, asked.mb, number)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def made(endpoint: str) -> None:
    """The peer's stream; the sink makes its own."""

    async def not_there_yet(error: Exception) -> None:
        pass

    client = await nats.connect(endpoint, max_reconnect_attempts=50, reconnect_time_wait=0.1, error_cb=not_there_yet)
    await client.jetstream().add_stream(name="bare", subjects=["bare.>"])
    await client.close()


if __name__ == "__main__":
    main()
