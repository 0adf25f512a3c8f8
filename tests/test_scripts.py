"""The scripts of the developers start, from any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[1] / "scripts" / "dev"
# One runs in the environment of the library that it measures, which has nothing of ours; the other is a part of it.
_ELSEWHERE = {"bench_dtollib.py", "bench_peers.py"}


@pytest.mark.parametrize("script", sorted(path.name for path in _FOLDER.glob("*.py") if path.name not in _ELSEWHERE))
def test_a_script_says_what_it_does(script: str, tmp_path: Path) -> None:
    if sys.platform == "win32" and script in {"powercut_campaign.py", "fuzz_records.py", "link_campaign.py"}:
        pytest.skip("it needs a system with FUSE, named pipes or network namespaces")
    done = subprocess.run(
        [sys.executable, str(_FOLDER / script), "--help"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert script in done.stdout
