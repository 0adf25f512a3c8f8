"""The plug-in that is the guide's example: a package of its own, whose tests run in it, as its author runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lsl_network import need_lsl
from plug_in_packages import path_with

ROOT = Path(__file__).resolve().parents[2]


def test_the_tests_of_the_lsl_package_pass(tmp_path: Path) -> None:
    need_lsl()
    package = tmp_path / "lsl"
    shutil.copytree(ROOT / "tests" / "plug_ins" / "lsl", package, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs"],
        cwd=package, env={**os.environ, "PYTHONPATH": path_with(package, ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "not installed" not in done.stdout
    assert "no installed package" not in done.stdout
