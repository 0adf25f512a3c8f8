"""Commands and workers of dtopipe that begin at once: forked from a process that has loaded them, once for all tests.

Each is a process of its own, with its own folder, environment, files, signals and exit code, and its own command line
for whoever looks at the system's processes. Spared is only the half second in which Python loads the same modules for
each of them anew. That they start from nothing is what the front page, the tests of bare environments and those of
other hosts show.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

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
        # Not found by the process that forks, which starts none of these.
        from system import NEW_GROUP

        return subprocess.Popen(
            [*self._before, sys.executable, "-m", "dtopipe", *words],
            cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", creationflags=NEW_GROUP,
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
    """Fork one process after the other, and say how each ends, until nobody is there who could ask for more."""
    _load()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    somebody_ended, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    reports: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests.fileno(), somebody_ended], [], [])
        if somebody_ended in ready:
            os.read(somebody_ended, _LONGEST_CODE)
            _report_ended(reports)
        if requests.fileno() not in ready:
            continue
        request, files, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, _ASKING + 1)
        if not request:
            break
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for file in (somebody_ended, theirs, *reports.values()):
                os.close(file)
            requests.close()
            _ended_as(partial(_become, json.loads(request), files))
        # A pipe whose reader is gone must be known to have none.
        for file in files[_IN:]:
            os.close(file)
        reports[pid] = files[_REPORT]
        os.write(files[_REPORT], str(pid).encode())
    # Those that are left are waited for: nobody else could.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while reports:
        pid, status = os.waitpid(-1, 0)
        _report(reports, pid, status)


def _report_ended(reports: dict[int, int]) -> None:
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _report(reports, pid, status)


def _report(reports: dict[int, int], pid: int, status: int) -> None:
    report = reports.pop(pid)
    # Who asked may be gone.
    with contextlib.suppress(OSError):
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(report)


def _load() -> None:
    """What commands and workers load as they begin, and the sinks of ours as theirs do."""
    from dtopipe.boards.registry import OURS as BOARDS
    from dtopipe.boards.registry import board_type, load_board
    from dtopipe.cli.main import main
    from dtopipe.model.errors import DtopipeError
    from dtopipe.model.plug_in_names import plugged
    from dtopipe.model.references import referred
    from dtopipe.sinks.registry import ENTRY_POINTS, OURS, load_writer, sink_type

    for name in main.list_commands(None):  # type: ignore[arg-type]
        import_module(f"dtopipe.cli.{name}")
    for worker in _WORKERS:
        import_module(f"dtopipe.workers.{worker}")
    for name in OURS:
        load_writer(name)
    for options in (*(sink_type(name).options for name in OURS), *(board_type(name).options for name in BOARDS)):
        if options is not None:
            referred(options)
    for name in BOARDS:
        # The driver library is not everywhere.
        with contextlib.suppress(DtopipeError):
            load_board(name)
    plugged(ENTRY_POINTS)
    # What is loaded stays: no process need go through it, and copy it for that.
    gc.collect()
    gc.freeze()


def _ended_as(program: Callable[[], None]) -> NoReturn:
    """Run it, and end the process as Python would, but for clearing away all that was loaded: a tenth of a second."""
    code: object = 0
    try:
        program()
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    number = code if isinstance(code, int) else int(code is not None)
    if number < 0:
        signal.signal(-number, signal.SIG_DFL)
        os.kill(os.getpid(), -number)
    os._exit(number & 0xFF)


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
