"""What a run of the counter has left in its outputs, read with the tools that a user would take.

Standard library for `.csv`, `.jsonl` and `.db`; the others take what the product needs as well.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

# Start, stop, cause.
Gap = tuple[int, int, str]


def gaps_of(folder: Path) -> list[Gap]:
    """What the board lost, as a run folder says it."""
    with (folder / "gaps.jsonl").open(encoding="utf-8") as file:
        gaps = [json.loads(line) for line in file]
    return sorted((gap["start"], gap["stop"], gap["cause"]) for gap in gaps if gap["sink"] is None)


def codes_are_exact(path: Path, gaps: Sequence[Gap] = (), *, start: int = 0) -> int:
    """The index behind an output's last sample: each from `start` is there once, in order, by the formula.

    `gaps`: what has to be absent, and counts as if it were there. Raises AssertionError.
    """
    behind = {first: stop for first, stop, _ in gaps}
    wanted = start
    for index, values in rows_of(path):
        while wanted in behind:
            wanted = behind[wanted]
        assert index == wanted, f"{path.name}: sample {index} where {wanted} was to come"
        formula = [((index * (2 * c + 1) + 257 * c) % 65536) - 32768 for c in range(len(values))]
        assert list(values) == formula, f"{path.name}: sample {index} is {values}, and not {formula}"
        wanted += 1
    while wanted in behind:
        wanted = behind[wanted]
    return wanted


def rows_of(path: Path) -> Iterator[tuple[int, Sequence[float]]]:
    """(sample_index, a value a channel) of a wide output, in the order in which they stand there."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows, None)
            for row in rows:
                yield int(row[0]), [float(value) for value in row[3:]]
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as file:
            for line in file:
                document = json.loads(line)
                yield document["sample_index"], list(document.values())[3:]
    elif path.suffix == ".db":
        with contextlib.closing(sqlite3.connect(path)) as base:
            for row in base.execute("SELECT * FROM samples ORDER BY rowid"):
                yield row[1], row[4:]
    elif path.suffix == ".parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as columns:
            for batch in columns.iter_batches():
                values = zip(*(column.to_pylist() for column in batch.columns[3:]), strict=True)
                yield from zip(batch.column(0).to_pylist(), values, strict=True)
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path) as arrays:
            codes = [rows[:] * rows.attrs["scale"] + rows.attrs["offset"] for rows in arrays["channels"].values()]
            values = zip(*(each.tolist() for each in codes), strict=True)
            yield from zip(arrays["sample_index"][:].tolist(), values, strict=True)
    else:
        from dtopipe.wire.dtraw import iter_chunks

        for chunk, block in iter_chunks(path):
            yield from enumerate(block.T.tolist(), chunk.first_sample_index)
