"""The fleet of topologies/fleet/ while its servers and writers die, and what became of every sample.

    python scripts/dev/fleet_campaign.py                          # five minutes, three benches at 100 kS/s each
    python scripts/dev/fleet_campaign.py --minutes 1 --seed 7 --folder runs/campaign

Three NATS servers keep three copies; an archive and a database of each bench write what comes from them. One after the
other a server is killed and comes back, two at once are, one is stopped as a partition stops it (SIGSTOP: nothing
comes from it, and nothing is refused), and a process of an archive or a database is killed. In the end every output is
recounted, every archive held to the counter's formula, and no board may have lost a sample.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from environment import ROOT, say
from fleet_demo import MARK, Fleet, all_publish, asked, private_database, start_server, up, wait

import dtopipe
from dtopipe.model.errors import DtopipeError

FOLDER = ROOT / "runs" / "fleet-campaign"
N_SERVERS = 3
# In volts, of topologies/fleet/bench.yaml.
RANGES = {"force": 10.0, "flux": 10.0, "tc1": 0.1, "tc2": 0.1}
SHORTEST_S, LONGEST_S = 1.0, 12.0
# Between two faults: a process has five restarts in a minute.
REST_S = 8.0
PATIENCE_S = 240.0


class Campaign:
    """A fleet that runs, and what is done to it."""

    def __init__(self, fleet: Fleet, n_benches: int, rng: random.Random) -> None:
        numbers = range(1, n_benches + 1)
        self.fleet = fleet
        self.benches = [f"bench-{number}" for number in numbers]
        self.writers = [f"{role}-{number}" for role in ("archive", "database") for number in numbers]
        self._rng = rng
        self._faults = self._in_turn()

    def fault(self) -> str:
        """Do the next one, mend it, and say what it was."""
        return next(self._faults)

    def _in_turn(self) -> Iterator[str]:
        while True:
            for number in range(N_SERVERS):
                yield self._servers_die([number])
            yield self._writer_dies()
            yield self._servers_die(self._rng.sample(range(N_SERVERS), 2))
            yield self._server_is_cut_off(self._rng.randrange(N_SERVERS))
            yield self._writer_dies()

    def _servers_die(self, numbers: list[int]) -> str:
        names = [f"n{number + 1}" for number in numbers]
        for name in names:
            self.fleet.kill(name)
        seconds = self._pause()
        for number in numbers:
            start_server(self.fleet, number)
        return f"{' and '.join(names)} killed for {seconds:.1f} s"

    def _server_is_cut_off(self, number: int) -> str:
        process = psutil.Process(self.fleet.pid(f"n{number + 1}"))
        process.suspend()
        seconds = self._pause()
        process.resume()
        return f"n{number + 1} stopped for {seconds:.1f} s"

    def _writer_dies(self) -> str:
        name = self._rng.choice(self.writers)
        status = json.loads(asked("status", str(folder_of(self.fleet, name)), "--json").stdout)
        processes = {"acquirer": status["board"]["pid"], **{key: each["pid"] for key, each in status["sinks"].items()}}
        victim = self._rng.choice([key for key, pid in processes.items() if pid])
        psutil.Process(processes[victim]).kill()
        return f"{victim} of {name} killed"

    def _pause(self) -> float:
        seconds = self._rng.uniform(SHORTEST_S, LONGEST_S)
        time.sleep(seconds)
        return seconds


def folder_of(fleet: Fleet, name: str) -> Path:
    """The newest run of that part of the fleet."""
    return max((fleet.folder / name).glob("*/*/run.json")).parent


def main() -> int:
    """0 if every output is whole and no board has lost a sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the benches measure")
    parser.add_argument("--benches", type=int, default=3, metavar="N", help="each with a database and an archive")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "runs" / "fleet-campaign", help="where everything is kept"
    )
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    if folder.exists() and not (folder / MARK).exists():
        print(f"{folder} is not of such a campaign: name another one with --folder", file=sys.stderr)
        return 2
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    fleet = Fleet(folder)
    campaign = Campaign(fleet, options.benches, random.Random(options.seed))
    say(f"seed {options.seed}; everything is kept in {folder}")
    try:
        with private_database() as dsn:
            return _run(campaign, options.minutes * 60, dsn)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        fleet.close()


def _run(campaign: Campaign, seconds: float, dsn: str) -> int:
    fleet = campaign.fleet
    for number in range(N_SERVERS):
        start_server(fleet, number)
    wait(lambda: "there is no stream" in asked("runs", "--on", fleet.endpoint).stderr, "the servers find each other")
    common = {"FLEET_SERVERS": fleet.endpoint, "FLEET_DSN": dsn, "FLEET_RUNS": "next"}
    common["FLEET_DURATION"] = f"{seconds:g}s"
    for name in campaign.writers:
        up(fleet, name, name.split("-")[0], **common)
    for bench in campaign.benches:
        up(fleet, bench, "bench", **common, FLEET_BENCH=bench)
    wait(lambda: all_publish(fleet, campaign.benches), "all benches publish")
    began = time.monotonic()
    while time.monotonic() - began < seconds - LONGEST_S - REST_S:
        said = campaign.fault()
        print(f"{time.monotonic() - began:6.1f} s  {said}", flush=True)
        time.sleep(REST_S)
    names = [*campaign.benches, *campaign.writers]
    deadline = time.monotonic() + LONGEST_S + REST_S + PATIENCE_S
    while under_way := [name for name in names if fleet.code(name) is None]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"still running: {', '.join(under_way)}")
        time.sleep(0.2)
    return _judged(campaign, names, common)


def _judged(campaign: Campaign, names: list[str], common: dict[str, str]) -> int:
    """Say how each ended; recount what is on disk, and hold the archives to the formula."""
    faults = []
    print(f"\n{'run':<12}{'verdict':<14}{'samples':>12}{'overruns':>10}{'restarts':>10}  recounted")
    for name in names:
        record = campaign.fleet.document(name)
        folder = folder_of(campaign.fleet, name)
        recount = asked("verify", str(folder), **common, FLEET_BENCH=name)
        found = [] if recount.returncode == 0 else [recount.stdout.strip()]
        if name.startswith("archive"):
            found += [f"{path.name}: {text}" for path in _outputs(folder) if (text := unlike_the_formula(path))]
        acquired, state = record["acquired"], record["verdict"]["state"]
        restarts = sum(sink["restarts"] for sink in record["sinks"].values())
        print(
            f"{name:<12}{state:<14}{acquired['samples']:>12,}{acquired['overrun_samples']:>10,}{restarts:>10}  "
            f"{'; '.join(found) or 'as recorded'}"
        )
        if found or state != "GOOD" or acquired["overrun_samples"]:
            faults.append(name)
    print(f"\n{'FAILED: ' + ', '.join(faults) if faults else 'every sample is there once, in order'}")
    return 4 if faults else 0


def _outputs(folder: Path) -> list[Path]:
    return [folder / "raw.dt-raw", folder / "samples.parquet"]


def unlike_the_formula(path: Path) -> str:
    """What an archive of the counter has that it should not have; empty if every sample is there once, in order."""
    at = 0
    try:
        for piece in dtopipe.load(path).pieces(list(RANGES)):
            index = np.arange(at, at + len(piece.sample_index))
            if not np.array_equal(piece.sample_index, index):
                return f"behind sample {at - 1} not every sample is there once"
            for number, (channel, volts) in enumerate(RANGES.items()):
                codes = np.rint(piece.values[number] * (32768 / volts))
                if not np.array_equal(codes, ((index * (2 * number + 1) + 257 * number) % 65536) - 32768):
                    return f"{channel} is not the counter behind sample {at - 1}"
            at += len(index)
    except DtopipeError as error:
        return error.headline
    return "" if at else "it is empty"


if __name__ == "__main__":
    sys.exit(main())
