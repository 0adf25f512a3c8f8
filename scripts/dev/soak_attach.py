"""Sinks come and go, here and on another machine, all the while that a run goes on; each output is held to the formula.

    python scripts/dev/soak_attach.py --times 100
    python scripts/dev/soak_attach.py --times 300 --seed 4 --json

One realtime run (8 channels at 2 kHz, an hbuf journal and a CSV) is served over loopback under CURVE. In random order
sinks of every kind are attached to it, from latest, earliest or an index, BLOCK or DROP, and detached again; half by
`dtopipe attach` on the run itself, half by `dtopipe attach tcp://...`, which is ended by Ctrl-C. At most eight are
there at a time. In the end: no overrun; every BLOCK output whole from its `start` to its `stop`, once each; every DROP
output too, but for gaps that are on record; file descriptors, memory, segments and sockets as they were before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "integration"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "sinks"))

from free_ports import free_port
from laboratory import counter_codes, counter_topology, read_wide
from machines import Machine
from postgres_server import PostgresServer
from ready_commands import Command, StartedCommands

from dtopipe.host.runtime import entries
from dtopipe.shm.segment import names
from dtopipe.transport.key_folder import read_public_file

CHANNELS, RATE_HZ, AT_ONCE = 8, 2000.0, 8
# A database has no file.
ENDINGS = {"csv": "csv", "jsonl": "jsonl", "sqlite": "db", "parquet": "parquet", "hbuf": "dt-raw", "postgres": ""}
_MOST_GROWTH_BYTES = 60 * 2**20


@dataclass
class Attached:
    """One sink that came: its process, if it is another machine's, its output, and what the record says of it then."""

    name: str
    kind: str
    path: Path
    policy: str
    process: Command | None
    sink: dict[str, Any] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)


class Soak:
    """The source, the office, and who is attached."""

    def __init__(self, folder: Path, dice: random.Random, database: PostgresServer) -> None:
        self.dice = dice
        self.database = database
        commands = StartedCommands()
        self.daq = Machine(folder / "daq", "daq-pc", commands)
        self.office = Machine(folder / "office", "office", commands)
        self.daq.keys.authorize(read_public_file(self.office.public_file), "2026-11-25T00:00:00Z")
        self.office.keys.authorize(read_public_file(self.daq.public_file), "2026-11-25T00:00:00Z")
        topology = counter_topology(CHANNELS, 100, RATE_HZ)
        topology["listen"] = {"endpoint": f"tcp://127.0.0.1:{free_port()}"}
        topology["sinks"] = {
            "archive": {"type": "hbuf", "path": "archive.dt-raw"},
            "table": {"type": "csv", "path": "table.csv"},
        }
        self.endpoint = topology["listen"]["endpoint"]
        self.source = self.daq.start(topology)
        self.source.wait_for_samples("archive", 1000)
        self.here: list[Attached] = []
        self.done: list[Attached] = []
        self.segments: set[str] = set()

    def attach(self, number: int) -> None:
        """One more."""
        kind, policy = self.dice.choice(list(ENDINGS)), self.dice.choice(("block", "block", "drop"))
        since = self.dice.choice(("latest", "earliest", str(self.dice.randrange(1, 1000))))
        name = f"{kind}-{number}"
        is_remote = self.dice.random() < 0.5
        machine = self.office if is_remote else self.daq
        path = machine.folder / f"{name}.{ENDINGS[kind]}"
        if policy == "drop" and since.isdecimal():
            since = "latest"
        where = ["-o", "dsn=${LAB_DSN}", "-o", f"schema={name}"] if kind == "postgres" else ["--path", str(path)]
        words = ["attach", self.endpoint if is_remote else "lab", "--sink", kind, *where, "--name", name,
                 "--policy", policy, "--from", since, "--json"]  # fmt: skip
        if is_remote:
            self.here.append(Attached(name, kind, path, policy, machine.run(*words).process))
            return
        done = command(self.daq, *words)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        self.here.append(Attached(name, kind, path, policy, None))

    def detach(self, attached: Attached) -> None:
        """One less; what the record of its run says of it is kept."""
        self.here.remove(attached)
        self.segments |= {facts.segment for entry in entries() if (facts := entry.read())}
        process = attached.process
        if process is None:
            done = command(self.daq, "detach", attached.name, "lab", "--json")
            attached.sink = json.loads(done.stdout)
            folder = self.daq.run_folder
        else:
            # A Python that is only starting may swallow it.
            self.office.wait_for(lambda: self.has_output(attached) or process.poll() is not None, "output")
            process.send_signal(2)
            stdout, stderr = process.communicate(timeout=120)
            if not stdout:
                raise RuntimeError(f"{attached.name}: {stderr}")
            attached.sink = json.loads(stdout)["sinks"][attached.name]
            folder = Path(stderr.split("run folder: ")[1].split("\n")[0])
        lines = [json.loads(line) for line in (folder / "gaps.jsonl").read_text().splitlines()]
        attached.gaps = [(line["start"], line["stop"]) for line in lines if line["sink"] == attached.name]
        self.done.append(attached)

    def has_output(self, attached: Attached) -> bool:
        """True once there is something."""
        if attached.kind != "postgres":
            return attached.path.exists()
        return bool(self.database.sql("SELECT 1 FROM pg_namespace WHERE nspname = $1", attached.name))

    def read(self, attached: Attached) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(sample_index, values (n_channels, n)) of one output."""
        if attached.kind != "postgres":
            return read_wide(attached.path)
        columns = ", ".join(f"ch{c}" for c in range(CHANNELS))
        rows = self.database.sql(f'SELECT sample_index, {columns} FROM "{attached.name}".samples ORDER BY sample_index')
        table = np.array(rows, float).reshape(-1, 1 + CHANNELS)
        return table[:, 0].astype(np.int64), table[:, 1:].T

    def facts(self) -> dict[str, int]:
        """What must not grow."""
        supervisor = psutil.Process(self.source.process.pid)
        gateway = psutil.Process(self.source.pid("gateway"))
        return {
            "supervisor_fds": supervisor.num_fds(),
            "gateway_fds": gateway.num_fds(),
            "supervisor_bytes": supervisor.memory_info().rss,
            "gateway_bytes": gateway.memory_info().rss,
            "sockets": len(supervisor.net_connections()) + len(gateway.net_connections()),
        }


def main() -> int:
    """Attach and detach, check, report; 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, tempfile.TemporaryDirectory(prefix="dtp-") as runtime:
        os.environ["DTOPIPE_RUNTIME_DIR"] = runtime
        with closing(PostgresServer()) as database:
            os.environ["LAB_DSN"] = database.dsn
            soak = Soak(Path(folder), random.Random(options.seed), database)
            try:
                result = soaked(soak, options.times)
            finally:
                soak.office.close()
                soak.daq.close()
    print(json.dumps(result, indent=2) if options.json else summary(result))
    return 1 if result["broken"] else 0


def soaked(soak: Soak, times: int) -> dict[str, Any]:
    """The whole of it."""
    before: dict[str, int] = {}
    for number in range(times):
        while len(soak.here) >= soak.dice.randint(1, AT_ONCE):
            soak.detach(soak.dice.choice(soak.here))
        soak.attach(number)
        if number == times // 10:
            before = soak.facts()
        if number % 10 == 9:
            print(f"{number + 1} attached, {len(soak.done)} detached", file=sys.stderr)
    while soak.here:
        soak.detach(soak.here[0])
    soak.daq.wait_for(lambda: not (soak.source.status() or {})["listen"]["remotes"], "end of the remotes")
    # Connections that were cut are closed once their heartbeats are missed.
    time.sleep(8)
    after = soak.facts()
    soak.source.interrupt()
    ended = soak.source.finish()
    broken = [f"{each.name}: {why}" for each in soak.done if (why := wrong(soak, each))]
    if ended.code or ended.json["acquired"]["overrun_samples"]:
        broken.append(f"the source: {ended.json['verdict']} {ended.json['acquired']}")
    for key, was in before.items():
        # ZeroMQ has some more of its own from the first large message on.
        slack = _MOST_GROWTH_BYTES if key.endswith("bytes") else 10
        if after[key] > was + slack:
            broken.append(f"{key}: {was} before, {after[key]} after")
    broken += [f"segment {name} was left" for name in soak.segments & set(names())]
    return {
        "outputs": len(soak.done),
        "remote": sum(each.process is not None for each in soak.done),
        "block": sum(each.policy == "block" for each in soak.done),
        "overrun_samples": ended.json["acquired"]["overrun_samples"],
        "end_sample_index": ended.json["acquired"]["end_sample_index"],
        "before": before,
        "after": after,
        "broken": broken,
    }


def wrong(soak: Soak, attached: Attached) -> str:
    """What does not hold of one output."""
    sink = attached.sink
    start, stop = sink.get("start", 0), sink.get("stop", sink["committed"])
    index, values = soak.read(attached)
    if "start" not in sink:
        start = int(index[0]) if len(index) else stop
    expected = np.arange(start, stop)
    for gap_start, gap_stop in attached.gaps:
        expected = expected[(expected < gap_start) | (expected >= gap_stop)]
    if attached.policy == "block" and attached.gaps:
        return f"gaps {attached.gaps}"
    if not np.array_equal(index, expected):
        return f"{len(index)} rows, {len(expected)} expected of [{start}, {stop})"
    right = counter_codes(CHANNELS, start, stop)[:, expected - start] if len(expected) else values
    return "" if np.array_equal(values, right) else "values differ"


def command(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    env = {**os.environ, "DTOPIPE_KEYS_DIR": str(machine.keys.path)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "dtopipe", *words],
        cwd=machine.folder, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


def summary(result: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{key}: {value}" for key, value in result.items() if key != "broken"]
    return "\n".join([*lines, *(f"WRONG {each}" for each in result["broken"]), f"{len(result['broken'])} bad"])


if __name__ == "__main__":
    sys.exit(main())
