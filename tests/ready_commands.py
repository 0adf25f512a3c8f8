"""Commands and workers of dtopipe that begin at once: forked from a process that has loaded them, once for all tests.

Each is a process of its own, with its own folder, environment, files, signals and exit code, and its own command line
for whoever looks at the system's processes. Spared is only the half second in which Python loads the same modules for
each of them anew. That they start from nothing is what the front page, the tests of bare environments and those of
other hosts show.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pytest

_CAN_FORK = sys.platform == "linux"
_LONGEST_CODE = 16
_LONGEST_REQUEST = 1 << 17
# What the files of a process that is asked for are, in this order; a command has a line to ask for workers besides.
_REPORT, _IN, _OUT, _ERR, _ASKING = range(5)
# What Python and the system's libraries read once, as they start.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG")
# What a command line and an environment of another length are written over.
_ROOM_FOR_WORDS, _ROOM_FOR_VARIABLES = 1000, 16000
_WORKERS = ("acquirer", "sink_worker", "limits", "gateway")


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
        # Whole messages, of as many as ask.
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno()), "." * _ROOM_FOR_WORDS],
                env={**os.environ, "ROOM": "." * _ROOM_FOR_VARIABLES},
                pass_fds=[theirs.fileno()],
            )

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Command:
        """`dtopipe WORDS` in that folder; where Python itself would begin otherwise, from nothing."""
        if _read_at_start(environment) != self._begun_with:
            return StartedCommands().start(words, folder, environment)
        return ReadyCommand(self._asking, words, folder, environment)

    def close(self) -> None:
        """Nothing more is started."""
        self._asking.close()
        self._process.wait()


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


class _Forked:
    """One process that was forked for who asked for it."""

    def __init__(self, asking: socket.socket, request: Mapping[str, Any], *files: int) -> None:
        self.args = request["args"]
        self.returncode: int | None = None
        self._report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(asking, [json.dumps(request).encode()], [theirs.fileno(), *files])
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
                self._report.close()
        return self.returncode


class ReadyCommand(_Forked):
    """One command. What it writes goes into files, which are a pipe that is never full."""

    def __init__(
        self, asking: socket.socket, words: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._told: tuple[str, str] | None = None
        # Closed once they were read.
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        request = {"args": ["-m", "dtopipe", *words], "folder": str(folder), "environment": dict(environment)}
        with Path(os.devnull).open("rb") as nothing:
            out, err = (file.fileno() for file in self._files)
            super().__init__(asking, request, nothing.fileno(), out, err, asking.fileno())

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]:
        """What it has written, once it has ended. Raises TimeoutExpired."""
        self.wait(timeout)
        if self._told is None:
            out, err = (_content(file) for file in self._files)
            self._told = out, err
        return self._told


class ReadyWorker(_Forked):
    """One worker of a command, as its supervisor has it."""

    def __init__(self, asking: socket.socket, module: str, log: BinaryIO) -> None:
        request = {"args": ["-P", "-m", module], "folder": str(Path.cwd()), "environment": dict(os.environ)}
        theirs, ours = os.pipe()
        self.stdin = open(ours, "wb", buffering=0)  # noqa: SIM115, PTH123
        try:
            super().__init__(asking, request, theirs, log.fileno(), log.fileno())
        finally:
            os.close(theirs)


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
    """Fork one process after the other, until nobody is there who could ask for more."""
    _load()
    # Those that keep the processes end by themselves.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        request, files, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, _ASKING + 1)
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(json.loads(request), files)
            return
        for file in files:
            os.close(file)


def _load() -> None:
    """What commands and workers load as they begin, and the sinks of ours as theirs do."""
    from dtopipe.cli.main import main
    from dtopipe.sinks.registry import OURS, load_writer

    for name in main.list_commands(None):  # type: ignore[arg-type]
        import_module(f"dtopipe.cli.{name}")
    for worker in _WORKERS:
        import_module(f"dtopipe.workers.{worker}")
    for name in OURS:
        load_writer(name)


def _keep(request: dict[str, Any], files: list[int]) -> None:
    """Fork the process, and say how it ends. Returns in that process alone, when it is at its end."""
    pid = os.fork()
    if pid == 0:
        _become(request, files)
        return
    # A pipe whose reader is gone must be known to have none.
    for file in files[_IN:]:
        os.close(file)
    report = files[_REPORT]
    os.write(report, str(pid).encode())
    _, status = os.waitpid(pid, 0)
    # Who asked may be gone.
    with contextlib.suppress(OSError):
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """As `python ARGS` is, once everything is loaded."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.close(files[_REPORT])
    for place, file in enumerate(files[_IN:_ASKING]):
        os.dup2(file, place)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    _show([sys.executable, *request["args"]], request["environment"])
    if files[_ASKING:]:
        asking = socket.socket(fileno=files[_ASKING])
        asking.set_inheritable(False)
        _run_command(request["args"][2:], asking)
    else:
        os.setsid()
        _run_worker(request["args"][2])


def _run_command(words: list[str], asking: socket.socket) -> None:
    from dtopipe.cli.main import main
    from dtopipe.supervisor import processes

    processes.started = lambda module, log: ReadyWorker(asking, module, log)  # type: ignore[assignment, return-value]
    sys.argv = ["dtopipe", *words]
    main(prog_name="dtopipe")


def _run_worker(module: str) -> None:
    # It is `__main__` now, as Python has it.
    sys.modules.pop(module, None)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _show(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Let the system show this process with these words and variables: both are read where they were at its start."""
    places = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[45:49]
    first_word, behind_words, first_variable, behind_variables = map(int, places)
    ours_first = sorted(environment.items(), key=lambda item: not item[0].startswith("DTOPIPE"))
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        for first, behind, texts in (
            (first_word, behind_words, words),
            (first_variable, behind_variables, [f"{name}={value}" for name, value in ours_first]),
        ):
            memory.seek(first)
            whole = b"".join(os.fsencode(text) + b"\0" for text in texts)[: behind - first - 1]
            memory.write(whole.ljust(behind - first, b"\0"))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
