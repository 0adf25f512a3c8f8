"""The sinks guide: its programs run from its text, with `dtopipe` in place of the package that they name."""

from __future__ import annotations

import inspect
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from system import NEW_GROUP, ctrl_c

import dtopipe.sinks as sinks

GUIDE = (Path(__file__).parent / "data" / "sinks-guide.txt").read_text(encoding="utf-8").replace("dtollib", "dtopipe")
# Indented lines, and lines of Python at the left margin, between two titles.
STREAM_BLOCKS = GUIDE.partition("Example — stream blocks to SQLite\n")[2].partition("\nSwap ")[0]
SWAPS = re.findall(
    r"CsvSink\(.*?\)|ParquetSink\(.*?\)|JsonlSink\(.*?\)", GUIDE.partition("\nSwap ")[2].partition("loop")[0]
)
KNOBS = GUIDE.partition("Constructor knobs\n")[2].partition("\nSee ")[0]
PIPED = (
    "from dtopipe.sinks import SqliteSink, pipe_blocks\n"
    + GUIDE.partition("from dtopipe.sinks import SqliteSink, pipe_blocks\n")[2].partition("\nFor loss-proof")[0]
)


def rows_of(path: Path) -> int:
    """How many samples somebody else finds in the output now."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM samples").fetchone()[0])
    if path.suffix == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    text = path.read_text(encoding="utf-8")
    return text.count("\n") - (path.suffix == ".csv")


def run_until(program: str, folder: Path, enough: Callable[[], bool]) -> str:
    """Run it in `folder` until `enough`, interrupt it, and say what it wrote on stderr."""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, creationflags=NEW_GROUP,
    ) as process:  # fmt: skip
        try:
            give_up = time.monotonic() + 60
            while not enough():
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < give_up, "it wrote nothing"
                time.sleep(0.05)
            ctrl_c(process)
            stderr = process.communicate(timeout=30)[1]
        finally:
            process.kill()
    assert "KeyboardInterrupt" in stderr
    return str(stderr)


def test_the_guide_was_understood() -> None:
    assert STREAM_BLOCKS.strip().startswith("import anyio")
    assert STREAM_BLOCKS.strip().endswith("anyio.run(main)")
    assert len(SWAPS) == 3
    assert "written = await pipe_blocks(recording.stream, sink)" in PIPED


@pytest.mark.skipif(os.name == "nt", reason="interrupts with a signal")
@pytest.mark.parametrize("sink", ['SqliteSink("run.db")', *SWAPS])
def test_the_example_streams_blocks_into_every_sink_until_it_is_interrupted(sink: str, tmp_path: Path) -> None:
    name = sink.partition("(")[0]
    program = STREAM_BLOCKS.replace('SqliteSink("run.db")', sink).replace("import SqliteSink", f"import {name}")
    path = tmp_path / sink.split('"')[1]
    # A Parquet file has its rows in its tail until a group is full, or the sink is closed.
    growing = path.with_name(path.name + ".tail") if name == "ParquetSink" else path
    least = 2 * 1000 * 8 if name == "ParquetSink" else 2000

    def enough() -> bool:
        if not growing.exists():
            return False
        try:
            return (growing.stat().st_size if name == "ParquetSink" else rows_of(path)) >= least
        except sqlite3.OperationalError:
            return False

    stderr = run_until(program, tmp_path, enough)
    assert stderr.count("opens the simulated one") == 1
    rows = rows_of(path)
    assert rows >= 2000
    assert rows % 1000 == 0


def signature_of(text: str) -> dict[str, Any]:
    """Name and default of each keyword-only argument in a call as the guide writes it."""
    found: dict[str, Any] = {}
    exec(f"def call({text}): pass", found)
    return {name: each.default for name, each in inspect.signature(found["call"]).parameters.items()}


def test_every_constructor_has_the_guides_knobs_with_the_guides_defaults() -> None:
    calls = dict(re.findall(r"^(\w+)\((.*?)\)$", KNOBS, re.MULTILINE | re.DOTALL))
    assert set(calls) == {"CsvSink", "JsonlSink", "SqliteSink", "ParquetSink", "PostgresSink", "RawCountsSink"}
    del calls["PostgresSink"]
    for name, text in calls.items():
        ours = {key: each.default for key, each in inspect.signature(getattr(sinks, name)).parameters.items()}
        for knob, default in signature_of(text).items():
            assert (knob, ours.get(knob, "absent")) == (knob, default), name
        assert list(ours)[: len(signature_of(text))] == list(signature_of(text))


@pytest.mark.parametrize("name", ["pipe", "pipe_blocks"])
def test_the_pipes_have_the_guides_arguments(name: str) -> None:
    (text,) = re.findall(rf"• {name}\((.*?)\)", GUIDE)
    ours = inspect.signature(getattr(sinks, name)).parameters
    assert {key: each.default for key, each in ours.items()} == signature_of(text)


@pytest.mark.anyio
async def test_the_snippet_pipes_blocks_into_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    setting = (
        "import warnings\nfrom dtopipe import *\n"
        "spec = TaskSpec(name='run', channels=[AnalogInputVoltage(physical_channel=0, name='ch0')],"
        " data_flow=DataFlow.FINITE, timing=Timing(rate_hz=10000.0, samples_per_channel=2500),"
        " buffers=BufferPlan(buffers=4, samples_per_buffer=1000))\n"
    )
    body = "\n".join("    " + line for line in PIPED.splitlines() if not line.startswith("from"))
    whole = (
        f"{setting}from dtopipe.sinks import SqliteSink, pipe_blocks\nasync def main():\n{body}\n    return written\n"
    )
    exec(whole, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dtopipe.streaming.session._said_once.is_set", lambda: True)
        assert await found["main"]() == 3
    assert rows_of(tmp_path / "run.db") == 2500


PROGRAMS = (Path(__file__).parents[1] / "dtopipe" / "guide" / "python.md").read_text(encoding="utf-8")


def test_the_program_of_the_page_on_python_runs_as_it_stands(tmp_path: Path) -> None:
    # The others follow a run.
    program = re.findall(r"```python\n(.*?)```", PROGRAMS, re.DOTALL)[0]
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, check=True, timeout=60)
    assert pq.read_table(tmp_path / "run.parquet")["sample_index"].to_pylist() == list(range(2000))
