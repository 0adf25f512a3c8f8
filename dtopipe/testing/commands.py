"""Real commands, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_command(folder: Path, *arguments: str, codes: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
    """That command in that folder; it must end with one of these exit codes."""
    done = subprocess.run(
        [sys.executable, "-m", "dtopipe", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode in codes, f"dtopipe {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done
