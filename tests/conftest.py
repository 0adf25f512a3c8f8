"""What every test gets: a runtime folder of its own, and the certainty that nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

SHARED_MEMORY = Path("/dev/shm")
# What ends in order may take a moment to be gone.
GRACE_S = 10.0


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


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a process, a shared-memory segment or a runtime entry; clears away what it names."""
    # Unix sockets live in there, and their paths have 107 bytes: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="dtp-"))
    segments = _segments()
    processes = _processes(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DTOPIPE_RUNTIME_DIR", str(folder))
        yield
    try:
        _assert_gone("processes", lambda: _named(_processes(folder) - processes))
        _assert_gone("shared-memory segments", lambda: _orphaned(_segments() - segments, folder))
        _assert_gone("runtime entries", lambda: _entries(folder))
    finally:
        for process in _processes(folder) - processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A real PostgreSQL server for the tests of this session."""
    from postgres_server import running_server

    yield from running_server()


@pytest.fixture
def run_cli(tmp_path: Path) -> Callable[..., CommandEnded]:
    """`run_cli("check", "file.yaml")`: a real `dtopipe` command in the test's folder, to its end."""

    def run(*arguments: str | Path, timeout: float = 60.0, cwd: Path | None = None, **env: str) -> CommandEnded:
        done = subprocess.run(
            [sys.executable, "-m", "dtopipe", *map(str, arguments)],
            cwd=cwd or tmp_path, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, encoding="utf-8", timeout=timeout, check=False,
        )  # fmt: skip
        return CommandEnded(done.returncode, done.stdout, done.stderr)

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


def _assert_gone(what: str, left: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + GRACE_S
    while names := left():
        if time.monotonic() > deadline:
            pytest.fail(f"the test left {what} behind: {', '.join(names)}")
        time.sleep(0.05)


def _processes(runtime: Path) -> set[psutil.Process]:
    """Our descendants, and ours that lost their parent: those have the runtime folder in their environment."""
    found = set(psutil.Process().children(recursive=True))
    for process in psutil.process_iter(["cmdline"]):
        if process not in found and any("dtopipe" in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.Error):
                if process.environ().get("DTOPIPE_RUNTIME_DIR") == str(runtime):
                    found.add(process)
    return found


def _named(processes: set[psutil.Process]) -> list[str]:
    """Those that run, with their command lines; Python's own resource tracker stays as long as we do."""
    names = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in command:
                names.append(f"{process.pid} ({command or process.name()})")
    return names


def _segments() -> set[Path]:
    return set(SHARED_MEMORY.glob("dtopipe-*"))


def _orphaned(segments: set[Path], runtime: Path) -> list[str]:
    """Those that nobody uses, and no test beside this one will clear away."""
    return [
        str(path) for path in segments if path.exists() and not _in_use(path) and not _of_another(path.name, runtime)
    ]


def _of_another(segment: str, runtime: Path) -> bool:
    """True if a run of another test, in whose runtime folder it is named, has it."""
    for entry in Path(tempfile.gettempdir()).glob("dtp-*/*/entry.json"):
        if runtime not in entry.parents:
            with contextlib.suppress(OSError):
                if segment in entry.read_text(encoding="utf-8"):
                    return True
    return False


def _in_use(segment: Path) -> bool:
    for process in psutil.process_iter():
        if process.pid != os.getpid():
            with contextlib.suppress(OSError):
                if str(segment) in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace"):
                    return True
    return False


def _entries(runtime: Path) -> list[str]:
    """What runs have left; the empty lock files of devices stay, as lock files do."""
    return [path.name for path in runtime.iterdir() if not path.match("board-*.lock")]
