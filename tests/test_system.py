"""Processes are killed, paused and asked to end alike on every system, and by nothing else in tests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from system import KILLED, NEW_GROUP, Process, ask_to_end, ctrl_c, go_on, kill, pause

from dtopipe.host.process_end import words_of_exit

TESTS = Path(__file__).parent
# Those that name signals themselves, and why.
ABOUT_SIGNALS = {
    "system.py": "does it for all others",
    "test_system.py": "looks for the names",
    "conftest.py": "takes back what nohup has the whole suite ignore",
    "ready_commands.py": "reaps, and ends as, the processes that it forks, which only Linux does",
    "integration/test_endings.py": "closes terminals, which is a signal of POSIX alone",
    "powercut/cut_mounts.py": "cuts a disk of FUSE, by a signal that its program waits for",
    "powercut/cut_file_system.py": "is that program",
    "records/strange_runs.py": "has the alarm clock end what hangs in its own process",
    "sinks/test_parquet.py": "ignores the signal of a file size limit, to be told by an error",
}
_NAMED = re.compile(r"\bos\.kill(pg)?\b|\bsignal\.(SIG|CTRL_)|\bfrom signal import\b|\bsend_signal\(")
# Says by its exit code what it was asked.
COUNTS = """
import itertools, signal, time

def told(number, frame):
    raise SystemExit(7 if number == signal.SIGTERM else 5)

for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), told)
for number in itertools.count():
    print(number, flush=True)
    time.sleep(0.01)
"""


def test_only_tests_about_signals_name_them() -> None:
    naming = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if _NAMED.search(path.read_text(encoding="utf-8"))
    }
    assert naming == set(ABOUT_SIGNALS)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """It counts."""
    with subprocess.Popen(
        [sys.executable, "-c", COUNTS], stdout=subprocess.PIPE, text=True, creationflags=NEW_GROUP
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        yield process
        process.kill()


@pytest.fixture(params=["pid", "popen", "psutil"])
def named(request: pytest.FixtureRequest, child: subprocess.Popen[str]) -> int | Process:
    """The child, in each of the ways that a process is named."""
    if request.param == "popen":
        return child
    return child.pid if request.param == "pid" else psutil.Process(child.pid)


def test_a_killed_process_is_gone_without_a_word(child: subprocess.Popen[str], named: int | Process) -> None:
    kill(named)
    assert words_of_exit(child.wait(60)).startswith(KILLED)


def test_a_paused_process_stands_still_until_it_goes_on(
    child: subprocess.Popen[str], named: int | Process, wait_for: Callable[..., None]
) -> None:
    pause(named)
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
    go_on(named)
    wait_for(lambda: psutil.Process(child.pid).status() != psutil.STATUS_STOPPED)
    assert child.stdout is not None
    assert [int(child.stdout.readline()) for _ in range(50)] == list(range(1, 51))
    kill(named)


def test_a_paused_process_can_be_killed(child: subprocess.Popen[str], named: int | Process) -> None:
    pause(named)
    kill(named)
    assert words_of_exit(child.wait(60)).startswith(KILLED)


def test_an_interrupted_process_hears_of_it(child: subprocess.Popen[str], named: int | Process) -> None:
    ctrl_c(named)
    assert child.wait(60) == 5


def test_a_process_that_is_asked_to_end_hears_of_it(child: subprocess.Popen[str], named: int | Process) -> None:
    ask_to_end(named)
    # Windows knows one way to ask.
    assert child.wait(60) == (5 if sys.platform == "win32" else 7)


def test_a_process_that_is_gone_is_not_there_to_be_killed(child: subprocess.Popen[str]) -> None:
    kill(child)
    child.wait(60)
    for act in (kill, pause, go_on, ctrl_c, ask_to_end):
        with pytest.raises(psutil.NoSuchProcess):
            act(child.pid)
