"""What a test's own processes have left: told by a mark in their environment, never by how they are called.

Paths say nothing: a checkout, a home or a data folder may be called as anything that dtopipe starts. Other suites, of
other users too, may run on the same machine.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil
import pytest

from dtopipe.shm.segment import names, prefix_of, unlink

# Where a path stays short enough for a socket, whatever TMPDIR says.
SHORT = "/tmp" if os.name != "nt" and os.access("/tmp", os.W_OK) else None
# Inherited by all that a test starts, also where it gives them another runtime folder.
MARK = "DTOPIPE_TEST_MARK"
# What ends in order may take a moment to be gone.
GRACE_S = 10.0


class Leftovers:
    """Of one test, since this was made."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        # Of some hundred that others have only those are looked at that came since: this is behind every test.
        self._before = set(psutil.pids())

    @property
    def environment(self) -> dict[str, str]:
        """What the test's processes have to inherit."""
        return {"DTOPIPE_RUNTIME_DIR": str(self._runtime), MARK: str(self._runtime)}

    def assert_none(self) -> None:
        """Fails for what is still there after a moment."""
        _assert_gone("processes", lambda: _described(self._processes()))
        _assert_gone("shared-memory segments", lambda: unused_segments(self._runtime))
        _assert_gone("runtime entries", lambda: _entries(self._runtime))

    def clear_away(self) -> None:
        """Kill the processes that are still there, and take the names of their segments away."""
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for name in names():
            if name.startswith(prefix_of(str(self._runtime))):
                unlink(name)

    def _processes(self) -> set[psutil.Process]:
        """Descendants, and those with our mark that lost their parent."""
        came = [pid for pid in psutil.pids() if pid not in self._before]
        return {found for pid in came if (found := _descendant(pid))} | set(
            processes_with(MARK, str(self._runtime), came)
        )


def processes_with(variable: str, value: str, among: Iterable[int] | None = None) -> list[psutil.Process]:
    """Those that were started with this in their environment, as far as we may look."""
    found = []
    for pid in psutil.pids() if among is None else among:
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.environ().get(variable) == value:
                found.append(process)
    return found


def _descendant(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if os.getpid() in (parent.pid for parent in process.parents()):
            return process
    return None


def module_of(command: Sequence[str]) -> str:
    """The module that a Python with this command line runs (`python -P -m dtopipe.workers.sink`); empty if none."""
    options = list(command[1:])
    while options and options[0].startswith("-") and options[0] not in ("-m", "-c"):
        # These two have a word of their own behind them.
        del options[: 2 if options[0] in ("-W", "-X") else 1]
    return options[1] if options[:1] == ["-m"] and len(options) > 1 else ""


def unused_segments(runtime: Path) -> list[str]:
    """Those that were made under this runtime folder, and that no process has mapped."""
    return [name for name in names() if name.startswith(prefix_of(str(runtime))) and not _is_mapped(name)]


def _assert_gone(what: str, left: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + GRACE_S
    while found := left():
        if time.monotonic() > deadline:
            pytest.fail(f"the test left {what} behind: {', '.join(found)}")
        time.sleep(0.05)


def _described(processes: set[psutil.Process]) -> list[str]:
    """Those that run, with their command lines; Python's own resource tracker stays as long as we do."""
    described = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            is_tracker = command[1:] and "multiprocessing.resource_tracker" in " ".join(command[1:])
            if process.status() != psutil.STATUS_ZOMBIE and not is_tracker:
                described.append(f"{process.pid} ({' '.join(command) or process.name()})")
    return described


def _is_mapped(segment: str) -> bool:
    for process in psutil.process_iter():
        if process.pid != os.getpid():
            with contextlib.suppress(OSError):
                if f"/{segment}" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace"):
                    return True
    return False


def _entries(runtime: Path) -> list[str]:
    """What runs have left; the lock files of devices and of the folder stay, as lock files do."""
    return [path.name for path in runtime.iterdir() if not path.match("*.lock")]
