"""A run goes out by the sink, and comes in by the board of another run: needs the package installed."""

from __future__ import annotations

import csv
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lsl_sources import sent

from dtopipe.testing.commands import run_command
from dtopipe.topology.options import board_models

# Of nobody else in this network.
NAME = f"tried-{uuid.uuid4().hex[:8]}"
LIVE = {
    "name": "live",
    "board": {"type": "simulated", "waveform": "counter"},
    "task": {"rate_hz": 500, "samples_per_block": 25, "channels": [{"name": "a"}, {"name": "b", "unit": "mV"}]},
    "sinks": {
        "archive": {"type": "hbuf", "path": "archive.dt-raw"},
        "stream": {"type": "lsl", "path": "live.lsl", "stream": NAME, "flush_interval": "50ms"},
    },
}
COPY = {
    "name": "copy",
    "board": {"type": "lsl", "stream": NAME},
    "task": {"rate_hz": 500, "samples_per_block": 25, "channels": [{"name": "a"}, {"name": "b"}]},
    "sinks": {"table": {"type": "csv", "path": "table.csv"}},
}


pytestmark = pytest.mark.skipif("lsl" not in board_models(), reason="the package is not installed: pip install -e .")


def test_what_goes_out_of_one_run_comes_into_another(tmp_path: Path) -> None:
    for topology in (LIVE, COPY):
        (tmp_path / f"{topology['name']}.yaml").write_text(yaml.safe_dump(topology), encoding="utf-8")
    run_command(tmp_path, "up", "live.yaml", "--detach")
    try:
        told = run_command(tmp_path, "up", "copy.yaml", "--duration", "1s", "--json")
    finally:
        run_command(tmp_path, "stop", "live")
    assert json.loads(told.stdout)["acquired"]["samples"] == 500
    (table,) = (tmp_path / "runs" / "copy").rglob("table.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    codes = [round(float(row["a"]) * 65536 / 20) for row in rows]
    assert codes == list(range(codes[0], codes[0] + 500))
    assert [int(row["sample_index"]) for row in rows] == list(range(500))
    run_command(tmp_path, "verify", "copy/latest")
    # What went out is not kept, and no fault of the run that it went out of.
    run_command(tmp_path, "verify", "live/latest")


def status_of(folder: Path) -> dict[str, Any]:
    """Of the run in progress."""
    found: dict[str, Any] = json.loads(run_command(folder, "status", "away", "--json").stdout)
    return found


def wait_until(folder: Path, holds: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds(status := status_of(folder)):
        assert time.monotonic() < deadline, status
        time.sleep(0.05)


def test_a_stream_that_goes_and_comes_back_costs_a_gap_with_its_cause(tmp_path: Path) -> None:
    topology: dict[str, Any] = {
        "name": "away",
        "board": {"type": "lsl", "stream_type": f"tried-{uuid.uuid4().hex[:8]}", "look_for_s": 1},
        "task": {"rate_hz": 500, "samples_per_block": 25, "channels": [{"name": "a"}]},
        "sinks": {"table": {"type": "csv", "path": "table.csv", "flush_interval": "50ms"}},
    }
    kind = topology["board"]["stream_type"]
    (tmp_path / "away.yaml").write_text(yaml.safe_dump(topology), encoding="utf-8")
    with sent(stream_type=kind):
        run_command(tmp_path, "up", "away.yaml", "--detach")
        wait_until(tmp_path, lambda status: status["sinks"]["table"]["samples"] > 100)
    try:
        wait_until(tmp_path, lambda status: status["board"]["state"].startswith("away"))
        before = status_of(tmp_path)["sinks"]["table"]["samples"]
        with sent(stream_type=kind):
            wait_until(tmp_path, lambda status: status["sinks"]["table"]["samples"] > before + 100)
            ended = run_command(tmp_path, "stop", "away", "--json", codes=(3,))
    except BaseException:
        run_command(tmp_path, "stop", "away", "--now", codes=(0, 1, 2, 3, 4, 5))
        raise
    assert "the board lost" in json.loads(ended.stdout)["verdict"]["text"]
    (folder,) = [path.parent for path in (tmp_path / "runs" / "away").rglob("run.json")]
    gaps = [json.loads(line) for line in (folder / "gaps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {gap["cause"] for gap in gaps} == {"board_away"}
