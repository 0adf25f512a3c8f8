"""Writes the counter for ever, to be killed: `endless_writer.py TYPE PATH LAYOUT`; says after each commit how far.

LAYOUT `readings` writes readings of a polled stream.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recordings import blocks, gap, polled, readings, recorded

from dtopipe.model.errors import OutputLocked
from dtopipe.model.policy import Layout
from dtopipe.model.readings import Readings
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_writer

STREAM = recorded(("a", "b", "c"))
POLLED = polled(("a", "b", "c"))
# A row group every few commits, so that most kills meet one.
OPTIONS: dict[str, dict[str, Any]] = {
    "parquet": {"row_group_size": 3000, "compression": "none"}, "hdf5": {"chunk_rows": 700}, "sqlite": {},
}  # fmt: skip
ROUND = 1000
# Of each round of samples, this many at its end are a gap.
GAP = 30


def main(sink_type: str, path: str, layout: str) -> None:
    """Never ends by itself."""
    output = OutputOptions(Path(path)) if layout == "readings" else OutputOptions(Path(path), Layout(layout))
    options = json.loads(os.environ["POSTGRES_OPTIONS"]) if sink_type == "postgres" else OPTIONS.get(sink_type, {})
    writer = load_writer(sink_type)(output, **options)
    stream = POLLED if layout == "readings" else STREAM
    while True:
        try:
            at = writer.open(stream, 0, resume=True).committed
            break
        except OutputLocked:
            # A server needs a moment to see that a predecessor is dead.
            continue
    while True:
        stop = (at // ROUND + 1) * ROUND
        if stream.polled:
            starts = range(at, stop - GAP, 90)
            items: Sequence[Block | Readings] = [readings(stream, i, min(i + 90, stop - GAP)) for i in starts]
        else:
            items = blocks(stream, at, stop - GAP, 90)
        writer.append([*items, gap(STREAM, stop - GAP, stop)])
        at = writer.commit().committed
        if at % (5 * ROUND) == 0:
            writer.sync()
        sys.stdout.write(f"{at}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
