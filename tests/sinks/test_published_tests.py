"""The tests that the driver library publishes for its sinks and its replay, run against ours.

They lie in tests/data/dtollib-0.1.0 as they were published (MIT, Grayson Bellamy); only the package's name is changed.
What is left out concerns the layout of rows, which is our own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PUBLISHED = Path(__file__).parents[1] / "data" / "dtollib-0.1.0"
OUR_LAYOUT = {
    "TestJsonlSink and test_one_json_per_line": "a channel is a column of a reading's row",
    "TestJsonlSink and test_accept_blocks_explodes_per_sample": "the wide layout has no column `channel`",
    "TestParquetSink and test_block_round_trip": "the wide layout has no column `value`",
}


@pytest.mark.parametrize("name", sorted(path.name for path in PUBLISHED.glob("*.py.txt")))
def test_the_published_tests_pass_with_the_imports_pointed_at_dtopipe(name: str, tmp_path: Path) -> None:
    text = (PUBLISHED / name).read_text(encoding="utf-8").replace("dtollib", "dtopipe")
    (tmp_path / name.removesuffix(".txt")).write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    # Some of these files leave the choice of an event loop to the project that they lie in.
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n", encoding="utf-8"
    )
    left_out = " or ".join(f"({place})" for place in OUR_LAYOUT)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({left_out})", "-ra"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
