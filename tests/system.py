"""What tests do to processes, which ends and stops them on POSIX as on Windows.

Each takes a process id, or a process as `subprocess` or psutil has it, and raises psutil.NoSuchProcess where there is
none; only one that `subprocess` has already waited for is left alone.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Protocol

import psutil

if sys.platform == "win32":
    # Ctrl-C goes to all of a console there, the test with them; dtopipe takes Ctrl-Break as the same.
    _CTRL_C = _END = signal.CTRL_BREAK_EVENT
    # creationflags of a process that is to hear `ctrl_c` or `ask_to_end`, and nobody besides.
    NEW_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP
    # How dtopipe begins to say that a process was killed.
    KILLED = "was killed"
else:
    _CTRL_C, _END = signal.SIGINT, signal.SIGTERM
    NEW_GROUP = 0
    KILLED = "was killed by SIGKILL"


class Process(Protocol):
    """As `subprocess.Popen` and `psutil.Process` are."""

    @property
    def pid(self) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...

    def kill(self) -> None: ...


def kill(process: int | Process) -> None:
    """It ends at once: nothing that it would still do is done."""
    _process(process).kill()


def pause(process: int | Process) -> None:
    """It stands still, until `go_on` or `kill`."""
    psutil.Process(_process(process).pid).suspend()


def go_on(process: int | Process) -> None:
    """It goes on where it was paused."""
    psutil.Process(_process(process).pid).resume()


def ctrl_c(process: int | Process) -> None:
    """It is interrupted as by somebody at its terminal; on Windows it has a `NEW_GROUP`."""
    _process(process).send_signal(_CTRL_C)


def ask_to_end(process: int | Process) -> None:
    """It is told to end in order, as a system does that shuts down; on Windows it has a `NEW_GROUP`."""
    _process(process).send_signal(_END)


def _process(process: int | Process) -> Process:
    return psutil.Process(process) if isinstance(process, int) else process
