"""How much of each sink's speed calibrations leave it: the same codes as volts, and with a calibration.

    python scripts/dev/bench_calibration.py
    python scripts/dev/bench_calibration.py --sinks csv,parquet --dtype int32 --rounds 5 --json

The signal, its blocks and how they are written are those of bench_sinks.py. `alone`: eight thermocouples whose cold
junction has a fixed temperature. `junction`: seven whose cold junction is the eighth channel, a platinum resistor.
`mixed`: one of these, the resistor, and six of volts. Each is held against the same channels without calibrations.
Rounds alternate in one process; ratios are the medians over the rounds, of processor time, so that who else uses the
machine counts less; of Postgres, which works beside its client, of time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench_sinks import CODES, Ours, Signal, Speed, measured, prepare, quiet, say
from private_postgres import Server, private_server

from dtopipe.model.calibration import Calibration
from dtopipe.model.columns import Columns
from dtopipe.model.stream import Block, Channel

TARGET = 0.8
SINKS = ("csv", "jsonl", "sqlite", "parquet", "hdf5", "postgres")
K_ALONE = Calibration({"thermocouple": "K", "cjc": 25.0}, "degC")
K_JUNCTION = Calibration({"thermocouple": "K", "cjc": "ai7"}, "degC")
PT100 = Calibration({"rtd": "pt100", "excitation": 0.001}, "degC")


@dataclass(frozen=True)
class Result:
    """One sink with one kind of calibration; seconds a million samples."""

    sink: str
    dtype: str
    case: str
    s_per_million: float
    plain_s_per_million: float
    ratio: float
    target: float
    reached: bool


class Calibrated(Signal):
    """The same codes, as a sink's worker hands them over with these calibrations, or without them as volts."""

    def __init__(self, dtype: str, calibrations: list[Calibration | None], *, is_plain: bool) -> None:
        super().__init__(dtype)
        full = CODES[dtype][0]
        channels = tuple(
            _channel(channel, full, calibration, is_plain=is_plain)
            for channel, calibration in zip(self.stream.channels, calibrations, strict=True)
        )
        self._columns = Columns(replace(self.stream, channels=channels), None, as_codes=False)
        self.stream = self._columns.stream

    def handed_over(self, blocks: list[Block]) -> list[Block]:
        """What the worker does with each block, which counts as the sink's."""
        return [self._columns.of(block) for block in blocks]


class Worker:
    """A writer behind its columns."""

    def __init__(self, writer: Ours, signal: Calibrated) -> None:
        self._writer = writer
        self._signal = signal
        self.commit = writer.commit
        self.close = writer.close

    def append(self, blocks: list[Block]) -> None:
        """As a worker does: each block as it goes into this output."""
        self._writer.append(self._signal.handed_over(blocks))


def _channel(channel: Channel, full: float, calibration: Calibration | None, *, is_plain: bool) -> Channel:
    """A room's temperature, and most of what type K is good for: every value is there."""
    low, high = (0.1, 0.112) if calibration is PT100 else (-5e-3, 45e-3)
    found = replace(channel, scale=(high - low) / (2.2 * full), offset=(high + low) / 2)
    return found if calibration is None or is_plain else replace(found, unit="degC", calibration=calibration)


CASES: dict[str, list[Calibration | None]] = {
    "alone": [K_ALONE] * 8,
    "junction": [*[K_JUNCTION] * 7, PT100],
    "mixed": [K_JUNCTION, None, None, None, None, None, None, PT100],
}


def rounds_of(sink: str, options: argparse.Namespace, server: Server | None) -> list[Result]:
    """Measure one sink, and say how it went."""
    found = []
    for case, calibrations in CASES.items():
        sides = {plain: Calibrated(options.dtype, calibrations, is_plain=plain) for plain in (True, False)}
        speeds: dict[bool, list[Speed]] = {plain: [] for plain in sides}
        for number in range(options.rounds + 1):
            for is_plain, signal in sides.items():
                prepare(server)
                with tempfile.TemporaryDirectory(dir=options.dir) as folder:
                    path = Path(folder) / f"out.{sink}"
                    worker = Worker(Ours(sink, path, signal, server.dsn if server else ""), signal)
                    speed = measured(worker, signal.blocks, path, options.seconds)
                if number:
                    speeds[is_plain].append(speed)
        costs = {plain: [_cost(sink, speed) for speed in of] for plain, of in speeds.items()}
        ratio = statistics.median(a / b for a, b in zip(costs[True], costs[False], strict=True))
        mine, plain = statistics.median(costs[False]), statistics.median(costs[True])
        say(f"{sink} {options.dtype} {case}: {ratio:.2f}")
        found.append(Result(sink, options.dtype, case, mine, plain, ratio, TARGET, ratio >= TARGET))
    return found


def _cost(sink: str, speed: Speed) -> float:
    # With a server most of the work is another process's, which goes on meanwhile.
    return (speed.seconds if sink == "postgres" else speed.cpu_s) / speed.samples * 1e6


def main() -> int:
    """Measure and print; 1 with --check where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sinks", default=",".join(SINKS), help="default: %(default)s")
    parser.add_argument("--dtype", choices=list(CODES), default="int16", help="what the board delivers")
    parser.add_argument("--rounds", type=int, default=3, help="besides a first one that is not counted")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each case in each round")
    parser.add_argument("--dir", type=Path, help="where the outputs are written; default: the system's temporary one")
    parser.add_argument("--check", action="store_true", help="exit code 1 where a target is missed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    os.fsync = lambda fd: None
    for sink in options.sinks.split(","):
        with contextlib.ExitStack() as opened:
            server = opened.enter_context(private_server()) if sink == "postgres" else None
            if server is not None:
                quiet(server)
            results += rounds_of(sink, options, server)
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        print(f"{'sink':<9}{'codes':<9}{'case':<10}{'s/M':>8}{'plain':>8}{'ratio':>8}{'target':>8}  reached")
        for one in results:
            print(
                f"{one.sink:<9}{one.dtype:<9}{one.case:<10}{one.s_per_million:>8.3f}"
                f"{one.plain_s_per_million:>8.3f}{one.ratio:>8.2f}{one.target:>8g}"
                f"  {'yes' if one.reached else 'NO'}"
            )
    return 1 if options.check and not all(one.reached for one in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
