"""Commands of dtopipe that begin at once: forked from a process that has loaded them, once for all tests.

Each is a process of its own, with its own folder, environment, files, signals and exit code, and starts its workers as
ever. Spared is only the half second in which Python loads the same modules for each command anew. That a command starts
from nothing is what the front page and the tests of bare environments show.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

_CAN_FORK = hasattr(os, "fork") and hasattr(socket, "send_fds")
_LONGEST_CODE = 16
# Tests start commands side by side: one request is whole before the next begins.
_ASKING = threading.Lock()
# What Python and the system's libraries read once, as they start.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG")


class Command(Protocol):
    """What tests ask of a command's process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    @property
    def args(self) -> Any: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]: ...

    def send_signal(self, sig: int, /) -> None: ...

    def kill(self) -> None: ...


class Commands(Protocol):
    """Who starts them."""

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Command:
        """`dtopipe WORDS` in that folder."""

    def close(self) -> None:
        """Nothing more is started."""


class ReadyCommands:
    """Forks them from a process that has them loaded."""

    def __init__(self) -> None:
        self._begun_with = _read_at_start(os.environ)
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Command:
        """`dtopipe WORDS` in that folder; where Python itself would begin otherwise, from nothing."""
        if _read_at_start(environment) != self._begun_with:
            return StartedCommands().start(words, folder, environment)
        return ReadyCommand(self._socket, words, folder, environment)

    def close(self) -> None:
        """Nothing more is started."""
        self._socket.close()
        self._process.wait()


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


class ReadyCommand:
    """One command that was forked. What it writes goes into files, which are a pipe that is never full."""

    def __init__(
        self, server: socket.socket, words: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.args = ["dtopipe", *words]
        self.returncode: int | None = None
        self._told: tuple[str, str] | None = None
        # Closed once they were read.
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        self._report, theirs = socket.socketpair()
        request = json.dumps({"words": list(words), "folder": str(folder), "environment": dict(environment)}).encode()
        with theirs, _ASKING:
            descriptors = [theirs.fileno(), *(file.fileno() for file in self._files)]
            socket.send_fds(server, [len(request).to_bytes(4, "big")], descriptors)
            server.sendall(request)
        self.pid = int(self._report.recv(_LONGEST_CODE))

    def poll(self) -> int | None:
        """Its exit code, negative if it was killed; None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]:
        """What it has written, once it has ended. Raises TimeoutExpired."""
        self.wait(timeout)
        if self._told is None:
            out, err = (_content(file) for file in self._files)
            self._told = out, err
            self._report.close()
        return self._told

    def send_signal(self, sig: int, /) -> None:
        """It gets a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """It ends at once."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._report.settimeout(timeout)
            with contextlib.suppress(TimeoutError, BlockingIOError):
                self.returncode = int(self._report.recv(_LONGEST_CODE))
        return self.returncode


def _content(file: Any) -> str:
    with file:
        file.seek(0)
        return str(file.read().decode())


class StartedCommands:
    """Starts each from nothing: where nothing can be forked, or behind words that it begins with."""

    def __init__(self, *before: str) -> None:
        self._before = before

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Command:
        """`dtopipe WORDS` in that folder."""
        return subprocess.Popen(
            [*self._before, sys.executable, "-m", "dtopipe", *words],
            cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(scope="session")
def ready_commands() -> Iterator[Commands]:
    """`ready_commands.start(["up", "file.yaml"], folder, os.environ)`: a command in a process of its own, at once."""
    commands: Commands = ReadyCommands() if _CAN_FORK else StartedCommands()
    yield commands
    commands.close()


def _serve(requests: socket.socket) -> None:
    """Fork one command after the other, until nobody is there who could ask for more."""
    from importlib import import_module

    from dtopipe.cli.main import main

    for name in main.list_commands(None):  # type: ignore[arg-type]
        import_module(f"dtopipe.cli.{name}")
    # Those that keep the commands end by themselves.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        length, descriptors, _, _ = socket.recv_fds(requests, 4, 3)
        if not length:
            return
        request = _received(requests, int.from_bytes(length, "big"))
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(json.loads(request), *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _received(requests: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        piece = requests.recv(length - len(parts))
        if not piece:
            # Whoever asked is gone.
            sys.exit(1)
        parts += piece
    return bytes(parts)


def _keep(request: dict[str, Any], report: int, out: int, err: int) -> None:
    """Fork the command, and say how it ends. Returns in the keeper, never in the command."""
    pid = os.fork()
    if pid == 0:
        os.close(report)
        _become(request, out, err)
    os.write(report, str(pid).encode())
    _, status = os.waitpid(pid, 0)
    os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any], out: int, err: int) -> None:
    """As `python -m dtopipe WORDS` is, once everything is loaded."""
    from dtopipe.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["dtopipe", *request["words"]]
    main(prog_name="dtopipe")


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
