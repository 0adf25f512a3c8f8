"""The layers of the package: who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_no_package_imports_what_stands_above_or_beside_it() -> None:
    pytest.importorskip("importlinter", reason="the import rule needs the extra lint")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
