"""How fast one remote is served over loopback, under CURVE, beside a bare pyzmq stream of the same blocks.

    python scripts/dev/bench_link.py
    python scripts/dev/bench_link.py --block-bytes 65536 --rounds 5 --json
    python scripts/dev/bench_link.py --receiver pipeline

A run of the simulated board's counter is recorded first, and served by `dtopipe serve`. Then, in turns: a bare stream
(PUSH to PULL under CURVE, a message a block, from one process to another), and ours, BLOCK, from the earliest sample.

    link        the remote board alone: every block checked and in order, as an acquirer takes them
    pipeline    a whole `dtopipe up` with that board, a ring, and an hbuf sink that writes it all (without a sync)
    program     one that follows by `subscribe`, and is given values in their units as well

The clock runs at the receiver, from its first block to its last. The factor is the median over the rounds of ours by
theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
import zmq

CHANNELS = 8
ENDPOINT = "tcp://127.0.0.1:5799"
_LINK = """
import json, sys, time, uuid
from pathlib import Path
from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.boards.remote import RemoteBoard
from dtopipe.transport.source_link import SourceLink
class Quiet:
    def away(self, why): pass
    def back(self): pass
    def compared(self, pair): pass
    def is_wanted(self): return True
board = RemoteBoard({"endpoint": sys.argv[1]})
board.take_link(SourceLink(sys.argv[1], Path(sys.argv[2])), Quiet(), str(uuid.uuid4()), "")
board.start(board.open().first_sample_index)
began_s, n_bytes, gaps, total = None, 0, 0, 0
while not isinstance(event := board.read(0.05), Ended):
    if isinstance(event, Taken):
        if began_s is None:
            began_s = time.perf_counter()
        else:
            n_bytes += event.codes.nbytes
            total += int(event.codes[0, 0])
    elif isinstance(event, Overrun):
        gaps += len(event.span)
taken_s = time.perf_counter() - began_s
board.leave()
board.close()
print(json.dumps([n_bytes / taken_s, gaps]))
"""
_PROGRAM = """
import json, sys, time
from dtopipe import sync
with sync.subscribe(sys.argv[1], policy="block", start="earliest", server_key=sys.argv[2]) as recording:
    began_s, n_bytes = None, 0
    for block in recording.stream:
        if began_s is None:
            began_s = time.perf_counter()
        else:
            n_bytes += block.raw_codes.nbytes
    taken_s = time.perf_counter() - began_s
print(json.dumps([n_bytes / taken_s, recording.summary.gap_samples]))
"""


def main() -> int:
    """Measure, print; 1 if a sample was absent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--block-bytes", type=int, nargs="*", default=[16_000, 128_000, 1_600_000])
    parser.add_argument("--total-bytes", type=int, default=800_000_000, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--receiver", choices=("link", "pipeline", "program"), default="link")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(bare_receiver(*json.loads(options.bare)))
        return 0
    results = []
    for block_bytes in options.block_bytes:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measured(Path(folder), block_bytes, options))
        found = results[-1]
        print(
            f"{block_bytes:>9,} bytes a block: ours {found['ours_mb_s']:.0f} MB/s, "
            f"bare {found['bare_mb_s']:.0f} MB/s, factor {found['factor']:.2f} "
            f"({min(found['factors']):.2f} to {max(found['factors']):.2f})",
            file=sys.stderr,
        )
    if options.json:
        print(json.dumps(results, indent=2))
    return 0 if all(found["gap_samples"] == 0 for found in results) else 1


def measured(folder: Path, block_bytes: int, options: argparse.Namespace) -> dict[str, Any]:
    """The rounds of one block size."""
    n_blocks = max(200, options.total_bytes // block_bytes)
    os.environ["DTOPIPE_KEYS_DIR"] = str(folder / "keys")
    command("keys", "new", "--name", "bench", cwd=folder)
    own = folder / "keys" / "own" / "bench.pub"
    command("keys", "authorize", str(own), cwd=folder)
    command("up", str(topology(folder, block_bytes, n_blocks)), cwd=folder)
    ours, theirs, gaps = [], [], 0
    with serving(folder):
        for _ in range(options.rounds):
            theirs.append(bare(block_bytes, n_blocks))
            if options.receiver == "pipeline":
                speed, absent = pipeline(folder, own)
            else:
                speed, absent = received(folder, own, _LINK if options.receiver == "link" else _PROGRAM)
            ours.append(speed)
            gaps += absent
    factors = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "block_bytes": block_bytes,
        "ours_mb_s": statistics.median(ours) / 1e6,
        "bare_mb_s": statistics.median(theirs) / 1e6,
        "factor": statistics.median(factors),
        "factors": factors,
        "gap_samples": gaps,
    }


def topology(folder: Path, block_bytes: int, n_blocks: int) -> Path:
    """The run that is served."""
    samples = block_bytes // (2 * CHANNELS)
    document = {
        "name": "link",
        "board": {"type": "simulated", "waveform": "counter", "pace": "max", "max_samples": samples * n_blocks},
        "task": {
            "rate_hz": 1_000_000,
            "samples_per_block": samples,
            "channels": [{"name": f"ch{c}", "kind": "raw"} for c in range(CHANNELS)],
        },
        "ring": {"bytes": "64MiB"},
        "sinks": {"archive": {"type": "hbuf", "path": "archive.dt-raw"}},
    }
    file = folder / "link.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """A gateway that serves the run."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "dtopipe", "serve", "link/latest", "--endpoint", ENDPOINT],
        cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def received(folder: Path, key: Path, program: str) -> tuple[float, int]:
    """(bytes a second, samples in gaps) as a program has received them."""
    done = subprocess.run(
        [sys.executable, "-c", program, ENDPOINT, str(key)], cwd=folder, capture_output=True, text=True, check=True
    )
    speed, gaps = json.loads(done.stdout)
    return speed, gaps


def pipeline(folder: Path, key: Path) -> tuple[float, int]:
    """The same of a whole run that follows, from its start until everything is in its file."""
    document = {
        "name": "follower",
        "board": {"type": "remote", "endpoint": ENDPOINT, "server_key": str(key)},
        "ring": {"bytes": "64MiB"},
        "sinks": {"copy": {"type": "hbuf", "path": "copy.dt-raw", "sync": "none"}},
    }
    file = folder / "follower.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dtopipe", "up", str(file), "--json"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    record = json.loads(done.stdout)
    run_folder = max((folder / "runs" / "follower").glob("2*"))
    times = {}
    for line in (run_folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        times[event["event"]] = datetime.fromisoformat(event["t_utc"][:26] + "+00:00")
    taken_s = (times["done"] - times["running"]).total_seconds()
    shutil.rmtree(run_folder)
    return record["acquired"]["samples"] * CHANNELS * 2 / taken_s, record["sinks"]["copy"]["gaps"]


def bare(block_bytes: int, n_blocks: int) -> float:
    """Bytes a second of a bare stream."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PUSH)
    public, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_publickey, socket.curve_server = public, True
    socket.bind("tcp://127.0.0.1:*")
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    receiver = subprocess.Popen(
        [sys.executable, __file__, "--bare", json.dumps([endpoint, public.decode(), n_blocks, block_bytes])],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    # The same memory that the codes would lie in, not one block that stays in the cache.
    blocks = [os.urandom(block_bytes) for _ in range(max(2, min(n_blocks, 64_000_000 // block_bytes)))]
    for number in range(n_blocks):
        socket.send(blocks[number % len(blocks)], 0, copy=block_bytes < 65536)
    speed = float(receiver.communicate()[0])
    socket.close()
    context.term()
    return speed


def bare_receiver(endpoint: str, server: str, n_blocks: int, block_bytes: int) -> float:
    """The receiving process: every message is taken and its first byte looked at."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PULL)
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_serverkey = server.encode()
    socket.connect(endpoint)
    socket.recv()
    began_s, total = time.perf_counter(), 0
    for _ in range(n_blocks - 1):
        total += socket.recv(copy=False).buffer[0]
    return (n_blocks - 1) * block_bytes / (time.perf_counter() - began_s)


def command(*words: str, cwd: Path) -> None:
    """A dtopipe command to its end."""
    subprocess.run([sys.executable, "-P", "-m", "dtopipe", *words], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
