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


class SmallDisk:
    """A file system of its own on a folder, by real mounts."""

    def __init__(self, folder: Path, size: str) -> None:
        self.path = folder
        folder.mkdir(parents=True, exist_ok=True)
        if os.name == "nt" or os.geteuid() != 0:
            pytest.skip("only root can mount a small file system")
        if _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
            pytest.skip("a small file system cannot be mounted here")

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def fill(self, leaving_bytes: int = 0) -> Path:
        """Write a file that leaves so much free; its deletion gives the space back."""
        ballast = self.path / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while (room := self.free_bytes - leaving_bytes) > 0:
                file.write(bytes(min(room, 2**20)))
        return ballast

    def resize(self, size: str) -> None:
        assert not _mount("-o", f"remount,size={size}", str(self.path))

    def remount(self, how: str) -> bool:
        """`ro` or `rw`; False while somebody has a file open for writing."""
        return not _mount("-o", f"remount,{how}", str(self.path))

    def unmount(self) -> None:
        """As a share that goes: who has files open keeps them, the folder is empty."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def mount_at(self, folder: Path) -> SmallDisk:
        """The same file system in one more place."""
        other = object.__new__(SmallDisk)
        other.path = folder
        folder.mkdir(parents=True, exist_ok=True)
        assert not _mount("--bind", str(self.path), str(folder))
        return other


def _mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., SmallDisk]]:
    """`small_disk("8m")`: a file system of this size, unmounted in the end; skips where none can be mounted."""
    before = _mounts_below(tmp_path)

    def make(size: str, name: str = "disk") -> SmallDisk:
        return SmallDisk(tmp_path / name, size)

    yield make
    for folder in reversed(_mounts_below(tmp_path)):
        if folder not in before:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _mounts_below(folder: Path) -> list[str]:
    table = Path("/proc/self/mounts")
    places = [line.split()[1] for line in table.read_text().splitlines()] if table.exists() else []
    return [place for place in places if place.startswith(f"{folder}/")]


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
    for folder in Path(tempfile.gettempdir()).glob("dtp-*"):
        # A folder, or an entry, may be cleared away while it is looked at.
        with contextlib.suppress(OSError):
            for entry in folder.glob("*/entry.json") if folder != runtime else ():
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
    """What runs have left; the lock files of devices and of the folder stay, as lock files do."""
    return [path.name for path in runtime.iterdir() if not path.match("*.lock")]
