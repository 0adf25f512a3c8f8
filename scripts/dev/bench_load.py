#!/usr/bin/env python
"""How quickly `dtopipe.load` gives some channels and minutes of a long run, against the format's own library.

    python scripts/dev/bench_load.py [--seconds 3600] [--channels 16] [--rate 10000] [--rounds 3] [--folder DIR]

A run of noise is made by the writers themselves; then a frame of three channels over a sixth of it, from its middle, is
taken from each output, by dtopipe and by the library alone (pyarrow with a filter, h5py by rows, numpy at the bytes
that the chunks' headers name), in turns. The best time of each counts. Exits with 1 where a frame takes over a second.
`--folder` keeps the run, and takes one that is there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

import dtopipe
from dtopipe.model.clock import Anchor
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_writer
from dtopipe.wire.dtraw import iter_chunk_headers

OUTPUTS = {"hbuf": "archive.dt-raw", "hdf5": "arrays.h5", "parquet": "columns.parquet"}
NAMES = ("ch1", "ch7", "ch12")
LONGEST_S = 1.0


def main() -> int:
    """Make the run, measure, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dtopipe-bench-") as name:
        folder = options.folder or Path(name)
        stream = Stream(
            run_id="bench", task="bench", device="simulated", dtype="int16", rate_hz=float(options.rate),
            channels=tuple(Channel(f"ch{c}", "V", scale=20 / 65536) for c in range(options.channels)),
            samples_per_block=options.rate // 4, started_at="2026-11-23T09:00:00Z",
        )  # fmt: skip
        longest = max(measured(folder, stream, options.seconds, options.rounds))
    return 0 if longest <= LONGEST_S else 1


def measured(folder: Path, stream: Stream, seconds: int, rounds: int) -> Iterator[float]:
    """How long the frame of each output takes."""
    start, stop = (int(seconds * part * stream.rate_hz) for part in (5 / 12, 7 / 12))
    peers: dict[str, Callable[[Path], Any]] = {
        "hbuf": lambda path: by_numpy(path, stream, start, stop),
        "hdf5": lambda path: by_h5py(path, stream, start, stop),
        "parquet": lambda path: by_pyarrow(path, start, stop),
    }
    for sink, name in OUTPUTS.items():
        path = folder / name
        if not path.exists():
            write(path, sink, stream, int(seconds * stream.rate_hz))
        ours, theirs = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            frame = dtopipe.load(path).frame(list(NAMES), span=(start, stop))
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            other = peers[sink](path)
            theirs.append(time.perf_counter() - began)
            assert len(frame) == stop - start
            np.testing.assert_array_equal(frame["ch7"].to_numpy(), np.asarray(other["ch7"]))
        ratio = min(theirs) / min(ours)
        print(f"{sink:8} {path.stat().st_size / 1e9:5.2f} GB  frame {min(ours):.3f} s  "
              f"its library {min(theirs):.3f} s  ratio {ratio:.2f}")  # fmt: skip
        yield min(ours)


def write(path: Path, sink: str, stream: Stream, n_samples: int) -> None:
    """An output of noise, of so many samples of each channel."""
    writer = load_writer(sink)(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    random = np.random.default_rng(1)
    length = stream.samples_per_block
    codes = random.integers(-32768, 32768, (len(stream.channels), 64 * length), np.int16)
    anchor = Anchor(0, 1_000_000_000, 1_763_900_000_000_000_000)
    for number, at in enumerate(range(0, n_samples, length)):
        shift = number % 64 * length
        block = np.ascontiguousarray(codes[:, shift : shift + min(length, n_samples - at)])
        writer.append([Block(number, at, block, anchor)])
        if number % 20 == 19:
            writer.commit()
    writer.close()


def by_pyarrow(path: Path, start: int, stop: int) -> pd.DataFrame:
    """As somebody would who has pyarrow alone."""
    wanted = [("sample_index", ">=", start), ("sample_index", "<", stop)]
    return pq.read_table(path, columns=["t_utc", *NAMES], filters=wanted).to_pandas().set_index("t_utc")


def by_h5py(path: Path, stream: Stream, start: int, stop: int) -> pd.DataFrame:
    """The same with h5py; rows are samples in a run without gaps."""
    with h5py.File(path, "r") as file:
        index = pd.to_datetime(file["t_utc_ns"][start:stop], utc=True)
        scales = {channel.name: (channel.scale, channel.offset) for channel in stream.channels}
        columns = {name: file[f"channels/{name}"][start:stop] * scales[name][0] + scales[name][1] for name in NAMES}
    return pd.DataFrame(columns, index=index)


def by_numpy(path: Path, stream: Stream, start: int, stop: int) -> pd.DataFrame:
    """The same with a memory map, at the bytes where the chunks' payloads are."""
    data = np.memmap(path, np.uint8, "r")
    numbers = {name: [channel.name for channel in stream.channels].index(name) for name in NAMES}
    parts: dict[str, list[Any]] = {name: [] for name in NAMES}
    times = []
    for chunk, at in iter_chunk_headers(path):
        first, n = chunk.first_sample_index, chunk.valid_samples
        if first + n <= start or first >= stop:
            continue
        length = int(data[at : at + 4].view("<u4")[0])
        begin = at + 4 + length
        codes = data[begin : begin + 2 * n * len(stream.channels)].view("<i2").reshape(-1, n)
        low, high = max(0, start - first), min(n, stop - first)
        for name, number in numbers.items():
            channel = stream.channels[number]
            parts[name].append(codes[number, low:high] * channel.scale + channel.offset)
        times.append(chunk.t_utc_ns + stream.clock.offsets_ns(low, high - low))
    columns = {name: np.concatenate(found) for name, found in parts.items()}
    return pd.DataFrame(columns, index=pd.to_datetime(np.concatenate(times), utc=True))


if __name__ == "__main__":
    sys.exit(main())
