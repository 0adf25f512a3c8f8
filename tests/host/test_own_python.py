"""This program starts itself without a launcher in between, so that numbers of processes are what they seem."""

from __future__ import annotations

import os
import sys

import pytest

from dtopipe.host import own_python
from dtopipe.host.own_python import own_command, own_environment


def test_it_is_the_python_that_runs_us() -> None:
    assert own_command("dtopipe", "runs")[1:] == ["-P", "-m", "dtopipe", "runs"]
    assert own_environment({"A": "b"}) == {**os.environ, "A": "b"}


def test_behind_a_launcher_the_real_one_is_started_and_told_where_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_python, "_IS_LAUNCHED", True)
    monkeypatch.setattr(own_python, "_REAL", "C:/Python311/python.exe")
    assert own_command("dtopipe")[0] == "C:/Python311/python.exe"
    assert own_environment()["__PYVENV_LAUNCHER__"] == sys.executable
