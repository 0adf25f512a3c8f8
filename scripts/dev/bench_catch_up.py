"""How fast a sink that was stopped catches up from the journal, while live data goes on.

    python scripts/dev/bench_catch_up.py
    python scripts/dev/bench_catch_up.py --sinks csv,parquet --stop 10 --json

For each kind of sink a run of its own: the counter in realtime, a ring of 2 s, a journal, and the sink, whose process
is stopped for --stop seconds. From its going on to the moment at which it is no further behind than half of the ring,
the samples that it commits are counted. Beside it stands the speed of that sink by itself, on the same codes, measured
as bench_sinks.py does, just before and just after: at least half of it is wanted, and no overrun. Speeds are samples
per second of all channels together. The ratio of samples per second of processor time, of the sink's process alone,
tells a sink that has more to do from one that others kept from the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from bench_sinks import BATCH_BLOCKS, N_BATCHES, N_CHANNELS, N_SAMPLES, Ours, Signal, Speed, measured
from private_postgres import private_server

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import DtopipeError
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot

SINKS = ("csv", "jsonl", "sqlite", "parquet", "postgres")
RING_S, FIFO_S = 2.0, 10.0
WANTED = 0.5
START_LIMIT_S, CATCH_UP_LIMIT_S = 60.0, 600.0
LOOK_EVERY_S = 0.02
SETTLE_S = 2.0


@dataclass(frozen=True)
class Result:
    """One kind of sink. `load_before`: of the machine, as its load average over a minute."""

    sink: str
    bench_samples_per_s: float
    catch_up_samples_per_s: float
    ratio: float
    ratio_of_cpu: float
    caught_up_in_s: float
    stopped_s: float
    live_samples_per_s: float
    overrun_samples: int
    verdict: str
    load_before: float
    reached: bool


class CounterCodes(Signal):
    """The codes that the run's board gives, for the sink by itself."""

    def __init__(self) -> None:
        super().__init__("int16")
        c, i = np.arange(N_CHANNELS)[:, None], np.arange(N_BATCHES * BATCH_BLOCKS * N_SAMPLES)[None, :]
        codes = (((i * (2 * c + 1) + 257 * c) % 65536) - 32768).astype(np.int16)
        blocks = [np.ascontiguousarray(part) for part in np.split(codes, N_BATCHES * BATCH_BLOCKS, 1)]
        self._codes = [blocks[at : at + BATCH_BLOCKS] for at in range(0, len(blocks), BATCH_BLOCKS)]


def bench_speed(sink: str, codes: CounterCodes, where: Path, dsn: str, seconds: float) -> Speed:
    """Of the sink's writer by itself."""
    with tempfile.TemporaryDirectory(dir=where) as folder:
        path = Path(folder) / f"out.{sink}"
        return measured(Ours(sink, path, codes, dsn), codes.blocks, path, seconds)


def topology(sink: str, rate_hz: float, dsn: str) -> dict[str, Any]:
    """A journal and the sink, on the counter."""
    # It is stopped on purpose, for as long as one likes.
    own: dict[str, Any] = {"type": sink, "hung_limit": "none"}
    own |= {"dsn": dsn, "schema": f"catch up {time.time_ns()}"} if sink == "postgres" else {"path": f"out.{sink}"}
    return {
        "name": f"catch-up-{sink}",
        "board": {"type": "simulated", "waveform": "counter"},
        "task": {
            "rate_hz": rate_hz,
            "samples_per_block": N_SAMPLES,
            # The FIFO of a board that can wait: a machine that is busy with other things is not what is measured.
            "driver_buffers": round(FIFO_S * rate_hz / N_SAMPLES),
            "channels": [{"name": f"ai{c}", "physical_channel": c} for c in range(N_CHANNELS)],
        },
        "ring": {"seconds": RING_S},
        "sinks": {"journal": {"type": "hbuf", "path": "journal.dt-raw"}, "sink": own},
    }


@contextlib.contextmanager
def running(document: dict[str, Any], where: Path) -> Iterator[tuple[subprocess.Popen[str], RunFolder]]:
    """A `dtopipe up`, once its samples come."""
    file = where / "catch-up.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "dtopipe", "up", str(file), "--json", "--run-dir", str(where / "runs")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not (found := list(where.glob("runs/*/*/run.json"))) or not status(RunFolder(found[0].parent))[0]:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the run did not begin: {process.communicate()[1] if process.poll() else ''}")
            time.sleep(LOOK_EVERY_S)
        yield process, RunFolder(found[0].parent)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate()


def status(folder: RunFolder) -> tuple[int, int, int]:
    """(end of what was acquired, what the sink has committed, its pid); zeros while nobody answers."""
    with contextlib.suppress(DtopipeError):
        answer = ask_run(folder, AskStatus(), StatusSnapshot)
        if answer is not None:
            sink = answer.snapshot["sinks"]["sink"]
            return answer.snapshot["board"]["end_sample_index"], sink["committed"], sink["pid"] or 0
    return 0, 0, 0


def caught_up(folder: RunFolder, pid: int, stop_s: float, rate_hz: float) -> Speed:
    """What the sink commits from its going on until it is back in the ring."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(stop_s)
        _, before, _ = status(folder)
    finally:
        os.kill(pid, signal.SIGCONT)
    began, cpu_s = time.perf_counter(), cpu_s_of(pid)
    end, committed, _ = status(folder)
    while end - committed > RING_S / 2 * rate_hz or not end:
        if time.perf_counter() - began > CATCH_UP_LIMIT_S:
            raise SystemExit(f"not caught up within {CATCH_UP_LIMIT_S:g} s: {end - committed} samples behind")
        time.sleep(LOOK_EVERY_S)
        end, committed, _ = status(folder)
    return Speed((committed - before) * N_CHANNELS, time.perf_counter() - began, cpu_s_of(pid) - cpu_s)


def cpu_s_of(pid: int) -> float:
    """Processor time that a process has had."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def one_sink(sink: str, options: argparse.Namespace, dsn: str) -> Result:
    """Bench, run, bench."""
    rate_hz = options.rate / N_CHANNELS
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        where = Path(folder)
        codes = CounterCodes()
        # The first one imports, and is not counted.
        benches = [bench_speed(sink, codes, where, dsn, options.seconds) for _ in range(3)][1:]
        with running(topology(sink, rate_hz, dsn), where) as (process, run):
            time.sleep(SETTLE_S)
            caught = caught_up(run, status(run)[2], options.stop, rate_hz)
            time.sleep(SETTLE_S)
            process.send_signal(signal.SIGINT)
            record = json.loads(process.communicate()[0])
        benches += [bench_speed(sink, codes, where, dsn, options.seconds) for _ in range(2)]
    bench = statistics.median(speed.samples_per_s for speed in benches)
    bench_of_cpu = statistics.median(speed.samples / speed.cpu_s for speed in benches)
    ratio = caught.samples_per_s / bench
    overruns = record["acquired"]["overrun_samples"]
    return Result(
        sink=sink,
        bench_samples_per_s=bench,
        catch_up_samples_per_s=caught.samples_per_s,
        ratio=ratio,
        ratio_of_cpu=caught.samples / caught.cpu_s / bench_of_cpu,
        caught_up_in_s=caught.seconds,
        stopped_s=options.stop,
        live_samples_per_s=options.rate,
        overrun_samples=overruns,
        verdict=record["verdict"]["state"],
        load_before=load,
        reached=ratio >= WANTED and not overruns,
    )


def line(one: Result) -> str:
    """For people."""
    return (
        f"{one.sink:<9} by itself {one.bench_samples_per_s / 1e6:6.2f} M/s, catching up "
        f"{one.catch_up_samples_per_s / 1e6:6.2f} M/s in {one.caught_up_in_s:5.1f} s after {one.stopped_s:g} s, ratio "
        f"{one.ratio:5.2f} (of processor time {one.ratio_of_cpu:4.2f}), {one.overrun_samples} overrun, {one.verdict}, "
        f"load {one.load_before:.1f}: {'reached' if one.reached else 'NOT reached'}"
    )


def main() -> int:
    """Measure and print; 1 with --check where it is less than wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sinks", default=",".join(SINKS), help="default: %(default)s")
    parser.add_argument("--stop", type=float, default=60.0, help="seconds; default: %(default)s")
    parser.add_argument("--rate", type=float, default=1e6, help="samples per second in total; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement of the sink by itself")
    parser.add_argument("--dir", type=Path, help="where the outputs are written; default: the system's temporary one")
    parser.add_argument("--check", action="store_true", help="exit code 1 where it is less than wanted")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = options.sinks.split(",")
    if unknown := set(chosen) - set(SINKS):
        parser.error(f"there is no sink {', '.join(sorted(unknown))} to be measured; there are {', '.join(SINKS)}")
    results = []
    with contextlib.ExitStack() as opened:
        dsn = opened.enter_context(private_server()).dsn if "postgres" in chosen else ""
        for sink in chosen:
            results.append(one_sink(sink, options, dsn))
            print(line(results[-1]), file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps([asdict(one) for one in results], indent=2))
    return 1 if options.check and not all(one.reached for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
