#!/usr/bin/env python
"""How quickly `verify` is through with each type of output, against the format's usual library that only reads it.

    python scripts/dev/bench_verify.py [--samples 1000000] [--channels 8] [--rounds 5] [--memory]

A run of noise is recorded with `dtopipe up`; then every output is verified and read by its library in turns, in one
process, and the best time of each counts. `verify` compares every value and time with the raw file besides. Exits with
1 where it is less than half as quick as the library. `--memory` (Linux) also shows how much memory a verification
takes at most, of a run and of one eight times as long.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

LEAST_RATIO = 0.5
SINKS = {
    "archive": {"type": "hbuf", "path": "archive.dt-raw"},
    "view": {"type": "csv", "path": "view.csv"},
    "lines": {"type": "jsonl", "path": "lines.jsonl"},
    "table": {"type": "sqlite", "path": "run.db"},
    "columns": {"type": "parquet", "path": "columns.parquet"},
}
_PEAK = """
import sys
from dtopipe.host.run_folder import find_run
from dtopipe.verify.verify import verify_run
from pathlib import Path
folder = find_run(sys.argv[1], Path("runs"))
found = verify_run(folder, folder.read_record())
assert found.verdict.state.exit_code == 0, found.verdict
# Not getrusage: that has what the process was before it became this program.
status = Path("/proc/self/status").read_text().split()
print(int(status[status.index("VmHWM:") + 1]) // 1024)
"""


def main() -> int:
    """Measure, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1_000_000, help="per channel")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dtopipe-bench-") as name:
        folder = Path(name)
        run = recorded(folder, options.samples, options.channels)
        ratios = list(measured(run, options.rounds))
        if options.memory:
            longer = recorded(folder, 8 * options.samples, options.channels)
            for each, samples in ((run, options.samples), (longer, 8 * options.samples)):
                print(f"{samples * options.channels:>12,} samples: at most {peak_mib(each)} MiB")
    return 0 if min(ratios) >= LEAST_RATIO else 1


def recorded(folder: Path, samples: int, channels: int) -> Path:
    """The folder of a run of so many samples of each channel."""
    topology = {
        "name": "bench",
        "run_dir": str(folder / f"runs-{samples}"),
        "board": {"type": "simulated", "pace": "max", "waveform": "noise", "max_samples": samples},
        "task": {
            "rate_hz": 100_000, "samples_per_block": 10_000,
            "channels": [{"name": f"ch{c}", "physical_channel": c, "unit": "V"} for c in range(channels)],
        },
        "sinks": SINKS,
    }  # fmt: skip
    path = folder / "bench.yaml"
    path.write_text(json.dumps(topology))
    subprocess.run([sys.executable, "-P", "-m", "dtopipe", "up", str(path), "--json"], check=True, capture_output=True)
    return next((folder / f"runs-{samples}").glob("bench/*/run.json")).parent


def measured(run: Path, rounds: int) -> Iterator[float]:
    """How many times as quick as its library `verify` is, of each output and of all."""
    from dtopipe.host.run_folder import RunFolder
    from dtopipe.verify.verify import verify_run

    folder = RunFolder(run)
    record = folder.read_record()
    ours: dict[str, list[float]] = {name: [] for name in SINKS}
    theirs: dict[str, list[float]] = {name: [] for name in SINKS}
    for _ in range(rounds):
        begins: list[tuple[str, float]] = []

        def note(name: str, rows: int, _: int, begins: list[tuple[str, float]] = begins) -> None:
            if not rows and (not begins or begins[-1][0] != name):
                begins.append((name, time.perf_counter()))

        found = verify_run(folder, record, note)
        if found.verdict.state.exit_code:
            raise SystemExit(f"{found.verdict.state}: {found.verdict.text}")
        ends = [*(begin for _, begin in begins[1:]), time.perf_counter()]
        for (name, begin), end in zip(begins, ends, strict=True):
            ours[name].append(end - begin)
        for name, read in PEERS.items():
            begin = time.perf_counter()
            held = read(run / SINKS[name]["path"], record)
            theirs[name].append(time.perf_counter() - begin)
            del held
    print(f"{'output':10}{'verify':>10}{'library':>10}{'ratio':>8}")
    for name in SINKS:
        yield _shown(f"{SINKS[name]['type']}", min(ours[name]), min(theirs[name]))
    yield _shown("together", sum(map(min, ours.values())), sum(map(min, theirs.values())))


def _shown(name: str, ours: float, theirs: float) -> float:
    print(f"{name:10}{ours:9.3f}s{theirs:9.3f}s{theirs / ours:8.2f}")
    return theirs / ours


def read_raw(path: Path, record: dict[str, Any]) -> Any:
    """A plain reader of the format: its headers as JSON, its codes scaled to volts."""
    channels = record["stream"]["channels"]
    scale = np.array([channel["scale"] for channel in channels])[:, None]
    offset = np.array([channel["offset"] for channel in channels])[:, None]
    data = path.read_bytes()
    at = 4 + int.from_bytes(data[:4], "little")
    found = []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        header = json.loads(data[at + 4 : at + 4 + length])
        at += 4 + length
        n = header["valid_samples"] * len(channels)
        found.append(np.frombuffer(data, "<i2", n, at).reshape(len(channels), -1) * scale + offset)
        at += 2 * n
    return found


def read_csv(path: Path, _: dict[str, Any]) -> Any:
    """Polars."""
    import polars as pl

    return pl.read_csv(path)


def read_lines(path: Path, _: dict[str, Any]) -> Any:
    """Polars."""
    import polars as pl

    return pl.read_ndjson(path)


def read_sqlite(path: Path, _: dict[str, Any]) -> Any:
    """The standard library's module."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT * FROM samples").fetchall()
    finally:
        connection.close()


def read_parquet(path: Path, _: dict[str, Any]) -> Any:
    """Pyarrow."""
    import pyarrow.parquet as pq

    return pq.read_table(path)


PEERS: dict[str, Callable[[Path, dict[str, Any]], Any]] = {
    "archive": read_raw,
    "view": read_csv,
    "lines": read_lines,
    "table": read_sqlite,
    "columns": read_parquet,
}


def peak_mib(run: Path) -> int:
    """The most memory that a verification of this run takes, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", _PEAK, str(run)], check=True, capture_output=True, text=True)
    return int(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
