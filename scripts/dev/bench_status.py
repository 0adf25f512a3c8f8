#!/usr/bin/env python
"""What a long run costs its supervisor: the time of a status and of a record, and the memory, as pairs and gaps add up.

    python scripts/dev/bench_status.py [--pairs 1000000] [--gaps 100000] [--folder DIR]

The supervisor's own state of a run, in a run folder, is told what a month brings: clock pairs of a board that drifts,
gaps of the board, gaps, drops and restarts of four sinks, and events. Nothing is started. After each tenth a line says
what a snapshot for `dtopipe status` and the `clock` and `sinks` of `run.json` cost, the worst of twenty, and how much
memory Python and the process hold. Exits with 1 where one takes 50 ms, or where memory grows by more than 2 MiB from
the first tenth, by which every bound is reached, to the last.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from dtopipe.core.worker import Death
from dtopipe.model.board_events import Opened
from dtopipe.model.clock import Anchor
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel
from dtopipe.shm.layout import Layout
from dtopipe.shm.writer import RingWriter
from dtopipe.supervisor.progress import Phase
from dtopipe.supervisor.run import Run
from dtopipe.topology.load import load_plan
from dtopipe.wire.messages import BoardOpened

MOST_S = 0.05
MOST_GROWTH_BYTES = 2 * 2**20
SINKS = ("archive", "table", "view", "lines")
RATE_HZ = 1000.0
_TOPOLOGY = """
name: month
run_dir: runs
board: {type: simulated}
task: {rate_hz: 1000, samples_per_block: 250, channels: [{name: a}, {name: b}, {name: c}, {name: d}]}
sinks:
  archive: {type: hbuf, path: archive.dt-raw}
  table: {type: sqlite, path: table.db}
  view: {type: csv, path: view.csv, policy: drop}
  lines: {type: jsonl, path: lines.jsonl}
"""


@dataclass(frozen=True)
class Cost:
    """What the supervisor holds and takes at one moment of a run; times are the worst seen."""

    pairs: int
    gaps: int
    status_s: float
    record_s: float
    python_bytes: int
    process_bytes: int


class LongRun:
    """A run's state as its supervisor has it, to which time is told instead of passing."""

    def __init__(self, folder: Path) -> None:
        file = folder / "month.yaml"
        file.write_text(_TOPOLOGY, encoding="utf-8")
        self.run = Run(load_plan(file, run_dir=folder / "runs"))
        run, agent = self.run, self.run.acquirer
        channels = tuple(Channel(name, "V", range=(-10.0, 10.0)) for name in "abcd")
        board = Opened("simulated", channels, "int16", RATE_HZ, 250, clocked=True, resumable=False, simulated=True)
        agent.opened = BoardOpened(board, "", "")
        stream = agent.stream(run.progress.run_id, run.progress.started.isoformat())
        ring, _ = run.memory.make(stream, Layout(16, 4, 250, stream.dtype), 0)
        run.progress.phase = Phase.RUNNING
        self._anchor = Anchor(0, run.progress.started_ns, run.progress.times.utc_ns())
        self._writer = RingWriter(ring)
        self._writer.begin_epoch(self._anchor)
        self._status = run.status
        self.pairs = self.gaps = 0

    def tell_pair(self) -> None:
        """A second more, as the board's process saw it: at 50 ppm off the label, and late by up to a millisecond."""
        self.pairs += 1
        elapsed_ns = self.pairs * 1_000_050_000 + self.pairs * 7919 % 1_000_000
        index = int(self.pairs * RATE_HZ)
        self._writer.set_clock_pair(
            Anchor(index, self._anchor.t_mono_ns + elapsed_ns, self._anchor.t_utc_ns + elapsed_ns)
        )
        self.run.gather()

    def tell_gap(self) -> None:
        """The board has lost 10 samples, one sink 100 more; somebody died of it, and is back."""
        run, at = self.run, self.gaps * 10_000
        lost = Gap(Span(at, at + 10), Cause.BOARD_OVERRUN, self._anchor.t_utc_ns)
        self._writer.record_gap(lost)
        run.gather()
        for agent in run.sinks:
            name = agent.plan.name
            own = [lost]
            if name == SINKS[self.gaps % len(SINKS)]:
                own.append(Gap(Span(at + 100, at + 200), Cause.WORKER_FAILED, self._anchor.t_utc_ns))
                now_ns = run.progress.started_ns + at * 1_000_000
                agent.life.died(Death(now_ns, "killed", ready_ns=0))
                agent.life.succeeded()
                run.events.append("died", name, how=f"killed by SIGKILL at {at}")
                run.events.append("ready", name, committed=at)
            agent.absence.note(run.gaps.append(name, own))
            agent.position = Position(0, at + 200, at + 200, at - self.gaps * 10, self.gaps * 10)
        self.gaps += 1

    def cost(self) -> Cost:
        """Of now."""
        status_s = _worst_s(lambda: json.dumps(self._status.snapshot()))
        record_s = _worst_s(lambda: json.dumps(self.run.record.facts()))
        gc.collect()
        python_bytes = tracemalloc.get_traced_memory()[0]
        return Cost(self.pairs, self.gaps, status_s, record_s, python_bytes, psutil.Process().memory_info().rss)

    def end(self) -> None:
        """Nothing of it is left."""
        self.run.clear(keep_folder=False)


def _worst_s(asked: Callable[[], object]) -> float:
    """The longest of twenty, less the two that the machine spoilt most."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        asked()
        times.append(time.perf_counter() - began)
    return sorted(times)[-3]


def costs(folder: Path, pairs: int, gaps: int) -> list[Cost]:
    """After each tenth of so many pairs and gaps."""
    run = LongRun(folder)
    tracemalloc.start()
    try:
        found = []
        for tenth in range(1, 11):
            while run.pairs < pairs * tenth // 10 or run.gaps < gaps * tenth // 10:
                if run.pairs * gaps <= run.gaps * pairs:
                    run.tell_pair()
                else:
                    run.tell_gap()
            found.append(run.cost())
        return found
    finally:
        tracemalloc.stop()
        run.end()


def main() -> int:
    """Measure, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--gaps", type=int, default=100_000, help="of the board; sinks have their own besides")
    parser.add_argument("--folder", type=Path, help="where the run folder is made: default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dtopipe-bench-", dir=options.folder) as name:
        found = costs(Path(name), options.pairs, options.gaps)
    print(f"{'pairs':>10} {'gaps':>9} {'status ms':>10} {'record ms':>10} {'Python MiB':>11} {'process MiB':>12}")
    for each in found:
        print(
            f"{each.pairs:>10,} {each.gaps:>9,} {each.status_s * 1e3:>10.2f} {each.record_s * 1e3:>10.2f}"
            f" {each.python_bytes / 2**20:>11.2f} {each.process_bytes / 2**20:>12.1f}"
        )
    slowest_s = max(max(each.status_s, each.record_s) for each in found)
    growth = found[-1].python_bytes - found[0].python_bytes
    print(f"slowest {slowest_s * 1e3:.2f} ms; Python's memory grew by {growth / 2**20:+.2f} MiB behind the first tenth")
    return 0 if slowest_s < MOST_S and growth < MOST_GROWTH_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
