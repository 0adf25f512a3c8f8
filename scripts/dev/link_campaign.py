"""One long run across hosts whose links are cut and whose processes are killed, and what became of every sample.

    python scripts/dev/link_campaign.py                              # twenty cuts, two hosts, a journal at the source
    python scripts/dev/link_campaign.py --cuts 100 --hosts 3 --seed 7 --json
    python scripts/dev/link_campaign.py --no-journal

The hosts are network namespaces (tests/integration/network.py), which only root on Linux can make. One has a clocked
board, the counter at 200 kS/s in total; the others follow it into Parquet, SQLite and CSV. A link is cut for 0.1 to
20 s (log-uniform), with or without its carrier; now and then a remote's acquirer, one of its sinks or the source's
gateway is killed before, during or after that. In the end every output on every host is held to the counter's formula:

    with a journal       nothing is absent anywhere, and nothing is there twice
    --no-journal         what is absent on a remote is a range in gaps.jsonl there and at the source, with a cause; the
                         source's own outputs lack nothing

The board may lose nothing either way. A line a fault, then the sums; the folder of a run that failed is kept (--keep).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "integration"))

from laboratory import counter_topology
from network import Host, HostRun, Network, NoNamespaces, Way

from dtopipe.model.errors import DtopipeError
from dtopipe.wire.dtraw import iter_chunks

N_CHANNELS, RATE_HZ = 8, 25_000
PORT = 5700
PATHS = {"archive": "archive.dt-raw", "columns": "columns.parquet", "base": "base.db", "table": "table.csv"}
REMOTE_SINKS = {"columns": "parquet", "base": "sqlite", "table": "csv"}
SHORTEST_S, LONGEST_S = 0.1, 20.0
# A process has five restarts in 60 s, and an early death counts double: it is how links break that is tested.
BETWEEN_KILLS_S = 31.0
PATIENCE_S = 300.0
# Rows that are held in memory at once.
BATCH = 65_536


@dataclass
class Fault:
    """One cut, as the dice had it, and what it was. `behind`: samples per channel that the remote lacked at its end."""

    host: str
    way: Way
    lasts_s: float
    kill: str = ""
    moment: str = ""
    # Of the cut, until a kill during it.
    part: float = 0.0
    at_s: float = 0.0
    behind: int = 0
    caught_up_s: float | None = None

    @classmethod
    def drawn(cls, dice: random.Random, hosts: list[str]) -> Fault:
        """The same again from the same dice, whatever the machine does meanwhile."""
        host, way = dice.choice(hosts), dice.choice(get_args(Way))
        lasts_s = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** dice.random()
        # The gateway as often as all the rest.
        kill = dice.choice(["gateway", dice.choice(["acquirer", *REMOTE_SINKS]), ""])
        return cls(host, way, round(lasts_s, 2), kill, dice.choice(["before", "during", "after"]), dice.random())


@dataclass
class Held:
    """What one output has, and lacks: ranges of samples per channel."""

    samples: int = 0
    absent: list[tuple[int, int]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Campaign:
    """One run on all hosts, from its start to the end of every command."""

    def __init__(self, network: Network, options: argparse.Namespace) -> None:
        self._network = network
        self._dice = random.Random(options.seed)
        self.daq = network.host("daq-pc")
        self.offices = [network.host(f"office{number}") for number in range(1, options.hosts)]
        self._source = self.daq.start(served(journal=not options.no_journal))
        self._source.wait_until("running")
        self._remotes = {host.name: host.start(following(self.daq)) for host in self.offices}
        for remote in self._remotes.values():
            wait_for(remote, RATE_HZ)
        self._began = time.monotonic()
        self._killed_at: dict[tuple[int, str], float] = {}
        self.faults: list[Fault] = []

    def one_fault(self) -> Fault:
        """Cut, perhaps kill, mend, and mostly let everybody catch up."""
        fault = Fault.drawn(self._dice, list(self._remotes))
        waits, pause_s = self._dice.random() < 0.7, 2 * self._dice.random()
        host = self._network.hosts[fault.host]
        fault.at_s = round(time.monotonic() - self._began, 1)
        self.faults.append(fault)
        self._kill(fault, "before")
        self._network.cut(host, fault.way)
        cut_at = time.monotonic()
        if fault.kill and fault.moment == "during":
            time.sleep(fault.lasts_s * fault.part)
            self._kill(fault, "during")
        time.sleep(max(0.0, cut_at + fault.lasts_s - time.monotonic()))
        reached = committed(self._source, "table")
        fault.behind = max(0, reached - committed(self._remotes[fault.host]))
        self._network.mend(host)
        mended_at = time.monotonic()
        self._kill(fault, "after")
        if not waits:
            time.sleep(pause_s)
            return fault
        for remote in self._remotes.values():
            wait_for(remote, reached)
        fault.caught_up_s = round(time.monotonic() - mended_at, 2)
        return fault

    def end(self) -> dict[str, Any]:
        """Ctrl-C at the source, and what every command says then: exit code, stderr, record."""
        self._source.interrupt()
        ended = {}
        for name, run in {"daq-pc": self._source, **self._remotes}.items():
            done = run.finish(PATIENCE_S)
            ended[name] = {"code": done.code, "stderr": done.stderr, "record": json.loads(done.stdout or "{}")}
        return ended

    def _kill(self, fault: Fault, moment: str) -> None:
        """If this is when, and who, and nobody of that name was killed lately."""
        if not fault.kill or fault.moment != moment:
            return
        run = self._source if fault.kill == "gateway" else self._remotes[fault.host]
        place = (id(run), fault.kill)
        if time.monotonic() - self._killed_at.get(place, -math.inf) < BETWEEN_KILLS_S:
            fault.kill = ""
            return
        self._killed_at[place] = time.monotonic()
        starts = sum(event["event"] == "started" and event.get("process") == fault.kill for event in run.events())
        run.kill(fault.kill)
        run.wait_until("started", fault.kill, times=starts + 1)


def wait_for(run: HostRun, reached: int) -> None:
    """Until every output of this run has so much."""
    deadline = time.monotonic() + PATIENCE_S
    while (has := committed(run)) < reached:
        if run.process.poll() is not None:
            raise AssertionError(f"a remote has ended: {run.process.communicate()[1]}")
        if time.monotonic() > deadline:
            raise AssertionError(f"{run.folder} has {has} samples, and not {reached}, after {PATIENCE_S:g} s")
        time.sleep(0.05)


def served(*, journal: bool) -> dict[str, Any]:
    """A board that loses what nobody reads for 4 s, served to everybody whose key is known."""
    topology = counter_topology(N_CHANNELS, samples_per_block=1000, rate_hz=RATE_HZ)
    topology |= {"name": "campaign", "listen": {"endpoint": f"tcp://0.0.0.0:{PORT}"}, "drain_limit": "300s"}
    topology["sinks"] = {
        "archive": {"type": "hbuf", "path": PATHS["archive"], **({} if journal else {"journal": False})},
        "table": {"type": "csv", "path": PATHS["table"]},
    }
    return topology


def following(daq: Host) -> dict[str, Any]:
    """Everything of that host's run, into every kind of file."""
    return {
        "name": "campaign",
        "drain_limit": "300s",
        "board": {"type": "remote", "endpoint": f"tcp://{daq.name}:{PORT}", "server_key": str(daq.public_file)},
        "sinks": {name: {"type": kind, "path": PATHS[name]} for name, kind in REMOTE_SINKS.items()},
    }


def committed(run: HostRun, *sinks: str) -> int:
    """In each of these sinks, or in all; -1 if nobody answers."""
    with contextlib.suppress(DtopipeError):
        status = run.status()
        if status:
            return min(int(sink["committed"]) for name, sink in status["sinks"].items() if not sinks or name in sinks)
    return -1


def batches(path: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """(sample_index, values (n, n_channels)) as a user's own tools read them, never much at once."""
    if path.suffix == ".dt-raw":
        for chunk, codes in iter_chunks(path):
            yield np.arange(chunk.first_sample_index, chunk.first_sample_index + codes.shape[1]), codes.T
    elif path.suffix == ".db":
        with contextlib.closing(sqlite3.connect(path)) as base:
            rows = base.execute("SELECT * FROM samples ORDER BY rowid")
            while some := rows.fetchmany(BATCH):
                yield np.array([row[1] for row in some]), np.array([row[4:] for row in some], dtype=float)
    else:
        is_csv = path.suffix == ".csv"
        for part in pyarrow.csv.open_csv(path) if is_csv else pyarrow.parquet.ParquetFile(path).iter_batches(BATCH):
            # A value that is absent becomes NaN, which is no code.
            columns = [column.to_numpy(zero_copy_only=False).astype(float) for column in part.columns[3:]]
            yield part.column(0).to_numpy(), np.array(columns).T


def held_to_the_formula(path: Path, start: int, end: int) -> Held:
    """Every sample of an output against the counter; what is absent of `[start, end)`."""
    held, following_index, channel = Held(), start, np.arange(N_CHANNELS)
    try:
        for index, values in batches(path):
            if not len(index):
                continue
            steps = np.diff(index, prepend=following_index - 1)
            if (steps <= 0).any():
                held.broken.append(f"twice, or not in order, at {int(index[np.argmax(steps <= 0)])}")
            jumps = np.flatnonzero(steps > 1)
            held.absent += [(int(index[at] - steps[at] + 1), int(index[at])) for at in jumps]
            codes = (index[:, None] * (2 * channel + 1) + 257 * channel) % 65536 - 32768
            if (is_wrong := (codes != values).any(axis=1)).any():
                held.broken.append(f"{int(is_wrong.sum())} wrong samples from {int(index[np.argmax(is_wrong)])}")
            held.samples += len(index)
            following_index = int(index[-1]) + 1
    except Exception as error:
        held.broken.append(f"cannot be read: {error!r}")
    if following_index > end:
        held.broken.append(f"has samples up to {following_index}, and the run ended at {end}")
    if following_index < end:
        held.absent.append((following_index, end))
    held.broken = held.broken[:5]
    return held


def gaps_of(host: Host, sink: str | None) -> list[tuple[int, int, str]]:
    """Start, stop and cause, as this host's gaps.jsonl has them of a sink, of a remote, or of the board (None)."""
    lines = [json.loads(line) for line in (host.run_folder / "gaps.jsonl").read_text().splitlines()]
    return sorted((gap["start"], gap["stop"], gap["cause"]) for gap in lines if gap["sink"] == sink)


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbours as one."""
    found: list[tuple[int, int]] = []
    for start, stop in spans:
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, stop))
    return found


def judged(campaign: Campaign, ended: dict[str, Any], *, journal: bool) -> dict[str, Any]:
    """The sums, with every promise that was not kept under `broken`."""
    broken: list[str] = []
    acquired = ended["daq-pc"]["record"].get("acquired", {"end_sample_index": 0, "overrun_samples": 0})
    end = acquired["end_sample_index"]
    if acquired["overrun_samples"]:
        broken.append(f"the board lost {acquired['overrun_samples']} samples")
    outputs: dict[str, int] = {}
    absent: dict[str, Counter[str]] = {}
    for host in (campaign.daq, *campaign.offices):
        gaps = gaps_of(host, None)
        may_lack = host is not campaign.daq and not journal
        record, code = ended[host.name]["record"], ended[host.name]["code"]
        if code != (3 if may_lack and gaps else 0):
            broken.append(f"{host.name} ended with exit code {code}: {ended[host.name]['stderr'][-1000:].strip()}")
        absent[host.name] = Counter()
        for start, stop, cause in gaps:
            absent[host.name][cause or "nobody says why"] += stop - start
        named = joined([(start, stop) for start, stop, cause in gaps if cause]) if may_lack else []
        told = joined([(start, stop) for start, stop, _ in gaps_of(campaign.daq, f"remote:{host.name}")])
        if host is not campaign.daq and told != named:
            broken.append(f"{host.name} lacks {named[:9]}, of which the source says {told[:9]}")
        # A ring does not go back to the first sample for who comes late.
        first = record.get("acquired", {}).get("first_sample_index", 0) if may_lack else 0
        for sink in ("archive", "table") if host is campaign.daq else REMOTE_SINKS:
            held = held_to_the_formula(host.run_folder / PATHS[sink], first, end)
            outputs[f"{host.name} {sink}"] = held.samples
            broken += [f"{host.name} {sink}: {sentence}" for sentence in held.broken]
            said = record.get("sinks", {}).get(sink, {"samples": -1, "gaps": -1})
            if (said["samples"], said["gaps"]) != (held.samples, sum(stop - start for start, stop in held.absent)):
                broken.append(f"{host.name} {sink}: its record says {said}")
            if joined(held.absent) != named:
                broken.append(f"{host.name} {sink}: absent {held.absent[:5]}, named {named[:5]}")
    faults = campaign.faults
    return {
        "journal": journal,
        "cuts": dict(Counter(fault.way for fault in faults)),
        "cut_s": round(sum(fault.lasts_s for fault in faults), 1),
        "kills": dict(Counter(f"{f.kill} {f.moment}" for f in faults if f.kill)),
        "run_s": round(end / RATE_HZ, 1),
        "samples": end,
        "most_behind": max((fault.behind for fault in faults), default=0),
        "slowest_catch_up_s": max((fault.caught_up_s or 0.0 for fault in faults), default=0.0),
        "exit_codes": {name: done["code"] for name, done in ended.items()},
        "overrun_samples": acquired["overrun_samples"],
        "absent_by_cause": {name: dict(causes) for name, causes in absent.items()},
        "outputs": outputs,
        "broken": broken,
        "faults": [asdict(fault) for fault in faults],
    }


def one_campaign(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """From an empty folder to the judgement; raises NoNamespaces."""
    with contextlib.closing(Network(folder)) as network:
        campaign = Campaign(network, options)
        for number in range(1, options.cuts + 1):
            fault = campaign.one_fault()
            kill = f", {fault.kill} killed {fault.moment} that" if fault.kill else ""
            caught = "" if fault.caught_up_s is None else f", caught up in {fault.caught_up_s:.2f} s"
            line = f"{fault.host} cut ({fault.way}) for {fault.lasts_s:.2f} s{kill}; {fault.behind:,} behind{caught}"
            print(f"{number:3} at {fault.at_s:.1f} s: {line}", file=sys.stderr, flush=True)
        return judged(campaign, campaign.end(), journal=not options.no_journal)


def show(found: dict[str, Any]) -> None:
    """For people."""
    print(f"{found['run_s']} s, {found['samples']:,} samples per channel; cut for {found['cut_s']} s: {found['cuts']}")
    print(f"killed: {found['kills'] or 'nobody'}")
    print(f"most behind: {found['most_behind']:,} samples; slowest catch-up {found['slowest_catch_up_s']} s")
    print(f"lost by the board: {found['overrun_samples']}; absent by cause: {found['absent_by_cause']}")
    print(f"exit codes: {found['exit_codes']}; samples per channel: {found['outputs']}")
    for sentence in found["broken"]:
        print(f"BROKEN  {sentence}")
    if not found["broken"]:
        print("every promise was kept")


def main() -> int:
    """Run, sum up; 1 if anything that is promised did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hosts", type=int, choices=(2, 3), default=2, help="the source and one or two that follow")
    parser.add_argument("--no-journal", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path("link-failures"), help="where a failure is kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    variant = "no-journal" if options.no_journal else "journal"
    folder = (options.keep / f"{variant}-{options.hosts}-{options.seed}").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found: dict[str, Any] = {"broken": []}
    try:
        found = one_campaign(folder, options)
    except NoNamespaces as reason:
        parser.error(str(reason))
    except (AssertionError, subprocess.TimeoutExpired) as error:
        found["broken"].append(str(error))
        print(f"BROKEN  {error}", file=sys.stderr)
    finally:
        if found["broken"]:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
            with contextlib.suppress(OSError):
                options.keep.rmdir()
    if options.json:
        print(json.dumps(found, indent=2))
    elif "faults" in found:
        show(found)
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
