"""A fleet on this machine: `python3 scripts/fleet_demo.py` makes an environment, then runs topologies/fleet/.

Three NATS servers that keep three copies, benches that publish to them, and elsewhere an archive and a database
(PostgreSQL) of each bench and the page of one. In the middle a server is killed, and comes back. In the end each
verdict is shown, and every file recounted. All of it is in `runs/fleet/`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from environment import ROOT, EnvironmentFailed, ensure, say, suitable_python

MARK = ".fleet-demo"
TOPOLOGIES = ROOT / "topologies" / "fleet"
HOST = "127.0.0.1"
_PATIENCE_S = 60.0
_LIST_EVERY_S = 4.0
# In the environment that has been made.
_INSIDE = "--inside"


def main(arguments: list[str]) -> int:
    """Returns 0 if every run of every machine ended GOOD and holds what it should."""
    if _INSIDE in arguments:
        return demonstrate(_options([each for each in arguments if each != _INSIDE]))
    _options(arguments)
    try:
        python = ensure(".venv", suitable_python(), {"nats", "parquet", "postgres", "servers", "web"})
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        return 1
    return subprocess.call([str(python), str(Path(__file__)), *arguments, _INSIDE], cwd=ROOT)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="how long the benches measure")
    parser.add_argument("--benches", type=int, default=3, metavar="N", help="each with a database and an archive")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "fleet", help="where everything is kept")
    return parser.parse_args(arguments)


class Fleet:
    """What runs: programs, each with a log file of its own; all of them are ended with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [_port(4222 + number) for number in range(3)]
        self.routes = [_port(6222 + number) for number in range(3)]
        self.page = f"{HOST}:{_port(8480)}"
        self.endpoint = ",".join(f"nats://{HOST}:{port}" for port in self.ports)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], **variables: str) -> None:
        """Begin a program; its output goes to `NAME.log`, JSON alone to `NAME.json`."""
        with (self.folder / f"{name}.log").open("ab") as log, (self.folder / f"{name}.json").open("wb") as out:
            self._running[name] = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=out, stderr=log
            )

    def kill(self, name: str) -> None:
        """As if its machine had lost its power, but for the disk."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def pid(self, name: str) -> int:
        """Of its process."""
        return self._running[name].pid

    def code(self, name: str) -> int | None:
        """With which it has ended; None while it runs."""
        return self._running[name].poll()

    def document(self, name: str) -> dict[str, Any]:
        """The record that a run has printed in the end. Raises RuntimeError with its last words where there is none."""
        try:
            found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            return found
        except ValueError:
            words = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise RuntimeError(f"{name}: {' / '.join(words[-3:]) or 'said nothing'}") from None

    def close(self) -> None:
        """End everything, runs in order first."""
        for process in reversed(self._running.values()):
            process.terminate()
        for process in reversed(self._running.values()):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def demonstrate(options: argparse.Namespace) -> int:
    """The fleet, from its first server to the last recount."""
    folder: Path = options.folder.absolute()
    if folder.exists() and not (folder / MARK).exists():
        print(f"{folder} is not of this demonstration: name another one with --folder", file=sys.stderr)
        return 2
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    fleet = Fleet(folder)
    try:
        with private_database() as dsn:
            return _demonstrated(fleet, options.benches, options.seconds, dsn)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("ended by Ctrl-C")
        return 130
    finally:
        fleet.close()


def _demonstrated(fleet: Fleet, n_benches: int, seconds: float, dsn: str) -> int:
    say(f"three servers: {fleet.endpoint}")
    for number in range(3):
        start_server(fleet, number)
    wait(lambda: "there is no stream" in asked("runs", "--on", fleet.endpoint).stderr, "the servers find each other")
    common = {"FLEET_SERVERS": fleet.endpoint, "FLEET_DSN": dsn, "FLEET_RUNS": "next"}
    common["FLEET_DURATION"] = f"{seconds:g}s"
    numbers = range(1, n_benches + 1)
    benches = [f"bench-{number}" for number in numbers]
    followers = [f"{role}-{number}" for role in ("archive", "database") for number in numbers]
    say("an archive and a database of each bench, and the page of bench-1, wait for them")
    for name in followers:
        up(fleet, name, name.split("-")[0], **common)
    up(fleet, "view", "view", "--web", fleet.page, **common, FLEET_BENCH=benches[0])
    say(f"{n_benches} benches measure, 100 kS/s each; look at http://{fleet.page}")
    for bench in benches:
        up(fleet, bench, "bench", **common, FLEET_BENCH=bench)
    names = [*benches, *followers, "view"]
    wait(lambda: all_publish(fleet, benches), "all benches publish")
    say("server n2 is killed")
    fleet.kill("n2")
    killed_at = listed_at = time.monotonic()
    is_back = False
    while any(fleet.code(name) is None for name in names):
        if not is_back and time.monotonic() - killed_at > seconds / 3:
            say("server n2 is back")
            start_server(fleet, 1)
            is_back = True
        if time.monotonic() - listed_at > _LIST_EVERY_S:
            print(asked("runs", "--on", fleet.endpoint).stdout, flush=True)
            listed_at = time.monotonic()
        if time.monotonic() - killed_at > seconds + 4 * _PATIENCE_S:
            raise RuntimeError(f"still running: {', '.join(name for name in names if fleet.code(name) is None)}")
        time.sleep(0.2)
    if not is_back:
        start_server(fleet, 1)
    wait(lambda: asked("runs", "--on", fleet.endpoint).returncode == 0, "the servers answer")
    return _judged(fleet, names, common)


def all_publish(fleet: Fleet, benches: list[str]) -> bool:
    """True once the servers have samples of every bench. Raises RuntimeError with the last words of one that ended."""
    for bench in benches:
        if fleet.code(bench):
            # It says why.
            fleet.document(bench)
    listed = asked("runs", "--on", fleet.endpoint, "--json")
    return listed.returncode == 0 and sum(run["samples"] > 0 for run in json.loads(listed.stdout)) == len(benches)


def _judged(fleet: Fleet, names: list[str], common: dict[str, str]) -> int:
    """Say how each ended; recount what is on disk."""
    is_good = True
    print(f"\n{'run':<12}{'verdict':<14}{'samples':>12}  recounted")
    for name in names:
        record = fleet.document(name)
        folder = next(iter(sorted((fleet.folder / name).glob("*/*/run.json")))).parent
        recount = asked("verify", str(folder), **common, FLEET_BENCH=name)
        is_good = is_good and record["verdict"]["state"] == "GOOD" and recount.returncode == 0
        told = "as recorded" if recount.returncode == 0 else recount.stdout.strip()
        print(f"{name:<12}{record['verdict']['state']:<14}{record['acquired']['samples']:>12,}  {told}")
    print(f"\nEvery file and log is below {fleet.folder}.")
    return 0 if is_good else 4


def start_server(fleet: Fleet, number: int) -> None:
    """Begin server n1, n2 or n3, or begin it again."""
    beside = Path(sys.executable).with_name("nats-server.exe" if os.name == "nt" else "nats-server")
    name = f"n{number + 1}"
    routes = {f"ROUTE_{at + 1}": f"nats://{HOST}:{port}" for at, port in enumerate(fleet.routes)}
    fleet.start(
        name, [str(beside), "-c", str(TOPOLOGIES / "nats.conf")],
        NAME=name, HOST=HOST, PORT=str(fleet.ports[number]), ROUTE_PORT=str(fleet.routes[number]),
        STORE=str(fleet.folder / name), **routes,
    )  # fmt: skip


def up(fleet: Fleet, name: str, topology: str, *words: str, **variables: str) -> None:
    """Begin a run of that topology of the fleet."""
    command = [
        sys.executable, "-m", "dtopipe", "up", str(TOPOLOGIES / f"{topology}.yaml"),
        "--run-dir", str(fleet.folder / name), "--json", *words,
    ]  # fmt: skip
    fleet.start(name, command, **{"FLEET_BENCH": name, **variables})


def _port(usual: int) -> int:
    """Give this one, or where somebody has it, one that nobody has."""
    for wanted in (usual, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, wanted))
            return int(probe.getsockname()[1])
    raise RuntimeError(f"there is no free port on {HOST}")


def asked(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What `dtopipe WORDS` says."""
    return subprocess.run(
        [sys.executable, "-m", "dtopipe", *words],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def wait(is_so: Any, what: str) -> None:
    """Until it is so. Raises RuntimeError."""
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {_PATIENCE_S:g} s in vain until {what}")
        time.sleep(0.2)


@contextlib.contextmanager
def private_database() -> Iterator[str]:
    """The DSN of a PostgreSQL server that goes with it."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "dev"))
    from private_postgres import private_server

    with private_server() as server:
        yield server.dsn


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
