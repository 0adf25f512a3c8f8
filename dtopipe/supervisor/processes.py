"""Worker processes: started as modules, told their orders through a pipe that is their life line."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dtopipe.host.own_python import own_command, own_environment
from dtopipe.host.process_end import words_of_exit
from dtopipe.host.run_folder import RunFolder
from dtopipe.supervisor.ports import Events, Process
from dtopipe.wire.control import write_frame
from dtopipe.wire.messages import EXIT_AFTER_FAILED
from dtopipe.wire.orders import WorkerOrders

_KILL_WAIT_S = 5.0
# What a session of its own is on POSIX: no Ctrl-C from our console, and no console window.
_WINDOWS_FLAGS = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)


def _log(path: Path) -> BinaryIO:
    """Its log; nowhere while the run folder is away or full, which must not keep a process from its work."""
    try:
        return path.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


class ProcessStarter:
    """Starts the processes of one run. `common` says what every one of them must know, as it is then."""

    def __init__(self, folder: RunFolder, events: Events, common: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = folder
        self._events = events
        self._common = common

    def start(self, name: str, module: str, orders: Callable[[Mapping[str, Any]], WorkerOrders]) -> Process:
        """As Starter has it."""
        process = WorkerProcess(module, orders(self._common()), self._folder.log_path(name))
        self._events.append("started", name, pid=process.pid)
        return process


def started(module: str, log: BinaryIO) -> subprocess.Popen[bytes]:
    """A Python of its own that runs this module; it reads from a pipe, and what it says goes into the log."""
    return subprocess.Popen(
        own_command(module),
        env=own_environment(),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        # The terminal's Ctrl-C goes to the supervisor alone.
        start_new_session=True,
        creationflags=_WINDOWS_FLAGS,
    )


class WorkerProcess:
    """One process of the run. Closing the pipe, which our death does, tells it to end in order."""

    def __init__(self, module: str, orders: WorkerOrders, log_path: Path) -> None:
        with _log(log_path) as log:
            self._process = started(module, log)
        self.pid = self._process.pid
        # A process that died at once is found by `exit_text`.
        with contextlib.suppress(OSError):
            if self._process.stdin:
                write_frame(self._process.stdin, orders)

    @property
    def is_alive(self) -> bool:
        """False once it has been reaped."""
        return self._process.poll() is None

    @property
    def has_ended_in_order(self) -> bool:
        """True of one that has ended, and by its own word had nothing to complain of."""
        return self._process.poll() == 0

    @property
    def has_said_why(self) -> bool:
        """True of one that has ended, and sent its last words before."""
        return self._process.poll() == EXIT_AFTER_FAILED

    @property
    def exit_text(self) -> str:
        """How it ended, in words; empty while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        return f"its process {words_of_exit(code) or 'ended with exit code 0'}"

    def kill(self) -> None:
        """End it at once and reap it; harmless when it is dead."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_WAIT_S)
        self.release()

    def release(self) -> None:
        """Close the pipe of a process that has ended."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
