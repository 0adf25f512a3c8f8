"""The machine is kept awake where it can be asked to; where it cannot, nothing comes of it but a word."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dtopipe.host.awake import Awake

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the programs in its place are those of Linux")
# In the place of the system's: there is no logind where tests run. It grants what it is told to, and then does as the
# real one: the command that it was given lives, and with it the lock.
_INHIBIT = """#!/bin/sh
what=$1
shift 4
case "$what" in {granted}) exec "$@";; esac
echo "Failed to inhibit: Access denied" >&2
exit 1
"""
_BESIDE_A_RUN = """
import sys, time
from dtopipe.host.awake import Awake
awake = Awake("a run")
awake.begin()
while not awake.by:
    time.sleep(0.01)
print(awake._process.pid, flush=True)
time.sleep(600)
"""


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def _install(folder: Path, granted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "systemd-inhibit"
    program.write_text(_INHIBIT.replace("{granted}", granted))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def _begun() -> Awake:
    awake = Awake("dtopipe records the run heat flux")
    awake.begin()
    _until(lambda: awake.by or awake.why_not)
    return awake


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_sleep_is_held_off_until_the_end_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "--what=sleep:idle", monkeypatch)
    before = _children()
    awake = _begun()
    assert (awake.by, awake.why_not) == ("systemd-inhibit (sleep:idle)", "")
    assert len(_children()) == len(before) + 1
    awake.end()
    awake.end()
    assert _children() == before


def test_who_may_not_ask_for_that_much_asks_for_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "--what=idle", monkeypatch)
    awake = _begun()
    assert awake.by == "systemd-inhibit (idle)"
    awake.end()


def test_a_refusal_is_told_and_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "--what=nothing", monkeypatch)
    before = _children()
    awake = _begun()
    assert awake.by == ""
    assert awake.why_not.count("Access denied") == 2
    awake.end()
    assert _children() == before


def test_without_the_program_nothing_comes_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    awake = _begun()
    assert "is not installed" in awake.why_not
    awake.end()


def test_an_end_before_any_answer_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "--what=sleep:idle", monkeypatch)
    before = _children()
    for _ in range(5):
        awake = Awake("a run")
        awake.begin()
        awake.end()
    _until(lambda: _children() == before)


def test_who_is_killed_keeps_nobody_awake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "--what=sleep:idle", monkeypatch)
    with subprocess.Popen([sys.executable, "-c", _BESIDE_A_RUN], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        holder = psutil.Process(int(run.stdout.readline()))
        run.kill()
    _until(lambda: not holder.is_running() or holder.status() == psutil.STATUS_ZOMBIE)
