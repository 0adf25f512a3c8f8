"""Whole runs in a row on the counter, into every kind of file through a ring of four slots, each file checked.

    python scripts/dev/soak.py --runs 50
    python scripts/dev/soak.py --runs 5 --block 7 --samples 140000 --json

Every sample of every output is compared with the formula of the simulated board's counter, by the tools that a user
would take. Prints a line a run, with the blocks a second from the board's start to the last sink's end.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from dtopipe.wire.dtraw import iter_chunks

SINKS = {"hbuf": "dt-raw", "csv": "csv", "jsonl": "jsonl", "sqlite": "db", "parquet": "parquet"}


def main() -> int:
    """Run, check, report; 1 if any output of any run was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--block", type=int, choices=(1, 7, 997), help="samples in a block; default: each in turn")
    parser.add_argument("--channels", type=int, help="default: 3 to 16, at random")
    parser.add_argument("--samples", type=int, help="per channel; default: 1000 blocks of 1 and 7, 60 of 997")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    results = []
    for number in range(options.runs):
        block = options.block or (1, 7, 997)[number % 3]
        channels = options.channels or chance.randint(3, 16)
        samples = options.samples or block * (1000 if block < 100 else 60)
        with tempfile.TemporaryDirectory() as folder:
            result = one_run(Path(folder), block, channels, samples)
        results.append(result)
        print(
            f"run {number + 1}: {channels} channels, blocks of {block}: {result['verdict']}, "
            f"{result['blocks_per_s']:.0f} blocks/s{', WRONG: ' + str(result['wrong']) if result['wrong'] else ''}",
            file=sys.stderr,
        )
    good = sum(1 for result in results if result["verdict"] == "GOOD" and not result["wrong"])
    if options.json:
        print(json.dumps(results, indent=2))
    print(f"{good} of {len(results)} runs: every sample right, in order, once", file=sys.stderr)
    return 0 if good == len(results) else 1


def one_run(folder: Path, block: int, channels: int, samples: int) -> dict[str, Any]:
    """One run in its own process; what its verdict was, which outputs were wrong, how fast it went."""
    topology = {
        "name": "soak",
        "board": {"type": "simulated", "waveform": "counter", "pace": "max", "max_samples": samples},
        "task": {
            "rate_hz": 1000,
            "samples_per_block": block,
            "channels": [{"name": f"ch{c}", "kind": "raw"} for c in range(channels)],
        },
        "ring": {"slots": 4},
        "sinks": {kind: {"type": kind, "path": f"out.{ending}"} for kind, ending in SINKS.items()},
    }
    (folder / "soak.yaml").write_text(yaml.safe_dump(topology))
    command = [sys.executable, "-P", "-m", "dtopipe", "up", "soak.yaml", "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    record = json.loads(done.stdout) if done.stdout else {"verdict": {"state": done.stderr}}
    wrong = []
    run_folder = next(folder.glob("runs/soak/2*"), folder)
    for kind, ending in SINKS.items():
        with contextlib.suppress(OSError):
            index, codes = read(run_folder / f"out.{ending}")
            if np.array_equal(index, np.arange(samples)) and np.array_equal(codes, formula(channels, samples)):
                continue
        wrong.append(kind)
    return {
        "verdict": record["verdict"]["state"],
        "wrong": wrong,
        "channels": channels,
        "samples_per_block": block,
        "blocks_per_s": samples / block / streaming_s(run_folder),
        "whole_command_s": time.perf_counter() - began,
    }


def formula(channels: int, samples: int) -> np.ndarray:
    """(channels, samples) codes of the counter."""
    c, i = np.arange(channels)[:, None], np.arange(samples)[None, :]
    return ((i * (2 * c + 1) + 257 * c) % 65536) - 32768


def streaming_s(run_folder: Path) -> float:
    """From the board's start to the last sink's end."""
    events = [json.loads(line) for line in (run_folder / "events.jsonl").read_text().splitlines()]
    times = {event["event"]: datetime.fromisoformat(event["t_utc"][:26] + "+00:00") for event in events}
    return max((times["done"] - times["running"]).total_seconds(), 1e-3)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(sample_index, codes (channels, n)) of an output."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            table = np.array([[row[0], *row[3:]] for row in list(csv.reader(file))[1:]], dtype=float)
    elif path.suffix == ".jsonl":
        rows = [list(json.loads(line).values()) for line in path.read_text().splitlines()]
        table = np.array([[row[0], *row[3:]] for row in rows])
    elif path.suffix == ".db":
        with contextlib.closing(sqlite3.connect(path)) as base:
            rows = base.execute("SELECT * FROM samples ORDER BY rowid").fetchall()
        table = np.array([[row[1], *row[4:]] for row in rows])
    elif path.suffix == ".parquet":
        columns = pq.read_table(path)
        table = np.array([columns[n].to_numpy() for n in (0, *range(3, columns.num_columns))]).T
    else:
        chunks = [(chunk.first_sample_index, codes) for chunk, codes in iter_chunks(path)]
        index = np.concatenate([np.arange(first, first + codes.shape[1]) for first, codes in chunks])
        return index, np.concatenate([codes for _, codes in chunks], axis=1)
    return table[:, 0], table[:, 1:].T


if __name__ == "__main__":
    sys.exit(main())
