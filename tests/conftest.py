"""What every test gets: a runtime folder of its own, and the certainty that nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from leftovers import SHORT, Leftovers
from marked_mounts import unmount_below
from ready_commands import Commands, ready_commands
from small_disks import SmallDisk

__all__ = ["ready_commands"]

# A machine that does something else besides is slow, and no reason to fail.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@dataclass(frozen=True)
class CommandEnded:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.stdout)


def pytest_configure() -> None:
    """Let processes of tests hear what nohup, or a script's `&`, has the suite itself ignore."""
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            # It stays without effect here; who is started begins with the default.
            signal.signal(number, lambda *_: None)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a process, a shared-memory segment or a runtime entry; clears away what it names."""
    # Unix sockets live in there, and their paths have 107 bytes: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="dtp-", dir=SHORT))
    left = Leftovers(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in left.environment.items():
            patch.setenv(name, value)
        yield
    try:
        left.assert_none()
    except BaseException:
        left.clear_away()
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def anyio_backend() -> str:
    """Tests of coroutines run in asyncio."""
    return "asyncio"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., SmallDisk]]:
    """`small_disk("8m")`: a file system of this size, unmounted in the end; skips where none can be mounted."""

    def make(size: str, name: str = "disk") -> SmallDisk:
        return SmallDisk(tmp_path / name, size)

    yield make
    unmount_below(tmp_path)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A real PostgreSQL server for the tests of this session."""
    from postgres_server import running_server

    yield from running_server()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Any]:
    """A real NATS server with JetStream for the tests of this session."""
    from nats_server import running_server

    yield from running_server()


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three real NATS servers of a cluster, which the test may kill."""
    from nats_server import cluster_of_three

    servers = cluster_of_three()
    yield servers
    for server in servers:
        server.close()


@pytest.fixture
def run_cli(tmp_path: Path, ready_commands: Commands) -> Callable[..., CommandEnded]:
    """`run_cli("check", "file.yaml")`: a real `dtopipe` command in the test's folder, to its end."""

    def run(*arguments: str | Path, timeout: float = 60.0, cwd: Path | None = None, **env: str) -> CommandEnded:
        process = ready_commands.start([*map(str, arguments)], cwd or tmp_path, {**os.environ, **env})
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return CommandEnded(process.wait(), stdout, stderr)

    return run


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """`wait_for(condition, timeout, message)`: until the condition holds; fails with the message if it never does."""

    def wait(condition: Callable[[], Any], timeout: float = 30.0, message: str = "the condition never held") -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"{message} (waited {timeout:g} s)")
            time.sleep(0.01)

    return wait
