"""Blocks into a stream of a real NATS server: the sink beside a bare nats-py publisher with the same window.

python scripts/dev/bench_jetstream.py [--mb 200] [--channels 8] [--samples 1000 4000 16000]
python scripts/dev/bench_jetstream.py --devices 1 2 4 8 16 32      # what each of them costs, at 100 kS/s
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
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
import psutil

from dtopipe.model.clock import Anchor
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.jetstream.writer import JetStreamWriter

STARTED_AT = "2026-11-23T09:00:00Z"
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
        name = f"bench {number} {turn}"
        stream = Stream(run_id, name, "a", channels, "int16", 1e6, n_samples, STARTED_AT)
        bare_s.append(asyncio.run(bare(endpoint, codes.tobytes(), n)))
        sink_s.append(by_sink(endpoint, stream, blocks))
    ours, theirs = min(sink_s), min(bare_s)
    size = codes.nbytes
    print(
        f"{size / 1e3:9.0f} kB  {n:6d} blocks   sink {n / ours:8.0f} blocks/s {n * size / ours / 1e6:7.1f} MB/s"
        f"   bare {n / theirs:8.0f} blocks/s {n * size / theirs / 1e6:7.1f} MB/s   {theirs / ours:.2f}x"
    )


def one_device(endpoint: str, number: int, seconds: float, spent: Any) -> None:
    """A process of its own that publishes 100 kS/s; says how much processor time it took, and how far it was late."""
    codes = np.random.default_rng(number).integers(-32768, 32767, (4, 2500), np.int16)
    channels = tuple(Channel(f"ch{c}") for c in range(4))
    writer = JetStreamWriter(OutputOptions(None), endpoint=endpoint)
    stream = Stream(f"bench-{number}-{seconds}", f"bench {number}", "a", channels, "int16", 25e3, 2500, STARTED_AT)
    writer.open(stream, 0, resume=False)
    before, began = sum(os.times()[:2]), time.perf_counter()
    late = 0.0
    n = round(seconds / 0.1)
    for k in range(n):
        due = began + (k + 1) * 0.1
        late = max(late, time.perf_counter() - due)
        time.sleep(max(0.0, due - time.perf_counter()))
        writer.append([Block(k, k * 2500, codes, Anchor(0, 1, 1))])
        # As a worker does, each half second.
        if k % 5 == 4:
            writer.commit()
    spent.put((sum(os.times()[:2]) - before, late))
    writer.close()


def measure_devices(endpoint: str, server: psutil.Process, n_devices: int, seconds: float) -> None:
    """One line: processor time a second, of each device and of the server for each of them."""
    context = multiprocessing.get_context("spawn")
    spent = context.Queue()
    devices = [
        context.Process(target=one_device, args=(endpoint, 100 * n_devices + number, seconds, spent))
        for number in range(n_devices)
    ]
    before, began = sum(server.cpu_times()[:2]), time.perf_counter()
    for each in devices:
        each.start()
    found = [spent.get() for _ in devices]
    for each in devices:
        each.join()
    of_server = (sum(server.cpu_times()[:2]) - before) / seconds / n_devices
    of_device = sum(cpu for cpu, _ in found) / seconds / n_devices
    busy = (of_device + of_server) * n_devices / (os.cpu_count() or 1)
    print(
        f"{n_devices:3d} devices   {1e3 * of_device:6.2f} ms/s each   server {1e3 * of_server:6.2f} ms/s for each"
        f"   {busy:5.1%} of the machine   late by {max(late for _, late in found):.2f} s"
        f"   {time.perf_counter() - began:.0f} s"
    )


def main() -> None:
    """Start a server of our own, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=float, default=200, help="of codes, for each line")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 1000, 4000, 16000], help="per block")
    parser.add_argument(
        "--devices", type=int, nargs="+", metavar="N", help="so many at once, instead of one at full speed"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="for each number of devices")
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
        for n_devices in asked.devices or ():
            measure_devices(endpoint, psutil.Process(server.pid), n_devices, asked.seconds)
        for number, n_samples in enumerate(() if asked.devices else asked.samples):
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
