"""Writes a journal and retires it for ever, to be killed: `retiring_writer.py PATH`; says after each turn how far."""

from __future__ import annotations

import sys
from pathlib import Path

from recordings import blocks, gap, recorded

from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.hbuf.writer import HbufWriter

STREAM = recorded()
ROUND = 1000
# Of each round of samples, this many at its end are a gap.
GAP = 30
# So many samples behind the newest are still needed.
NEEDED = 2500


def journal(path: Path) -> HbufWriter:
    """About one segment a round."""
    return HbufWriter(OutputOptions(path), segment=4000, journal=True, retention={"until": "durable"})


def main(path: str) -> None:
    """Never ends by itself."""
    writer = journal(Path(path))
    at = writer.open(STREAM, 0, resume=True).committed
    while True:
        stop = at + ROUND
        writer.append([*blocks(STREAM, at, stop - GAP, 97), gap(STREAM, stop - GAP, stop)])
        at = writer.commit().committed
        retained_from = writer.retire_before(at - NEEDED).retained_from
        sys.stdout.write(f"{at} {retained_from}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
