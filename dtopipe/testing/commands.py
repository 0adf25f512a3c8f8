"""Real commands: those that start processes in one of their own, those that only read and write files in this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from dtopipe.cli.main import main

_IN_THIS_PROCESS = ("repair", "status", "verify")


def run_command(folder: Path, *arguments: str, codes: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
    """That command in that folder; it must end with one of these exit codes."""
    done = _typed_here(folder, arguments) if arguments[0] in _IN_THIS_PROCESS else _started(folder, arguments)
    assert done.returncode in codes, f"dtopipe {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done


def _started(folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dtopipe", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120,
    )  # fmt: skip


def _typed_here(folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    with contextlib.chdir(folder):
        ended = CliRunner().invoke(main, list(arguments), prog_name="dtopipe")
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)
