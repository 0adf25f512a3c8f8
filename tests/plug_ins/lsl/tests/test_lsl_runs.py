"""A run goes out by the sink, and comes in by the board of another run: needs the package installed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from dtopipe.testing.commands import run_command
from dtopipe.topology.options import board_models

LIVE = {
    "name": "live",
    "board": {"type": "simulated", "waveform": "counter"},
    "task": {"rate_hz": 500, "samples_per_block": 25, "channels": [{"name": "a"}, {"name": "b", "unit": "mV"}]},
    "sinks": {
        "archive": {"type": "hbuf", "path": "archive.dt-raw"},
        "stream": {"type": "lsl", "path": "live.lsl", "flush_interval": "50ms"},
    },
}
COPY = {
    "name": "copy",
    "board": {"type": "lsl", "stream": "live"},
    "task": {"rate_hz": 500, "samples_per_block": 25, "channels": [{"name": "a"}, {"name": "b"}]},
    "sinks": {"table": {"type": "csv", "path": "table.csv"}},
}


@pytest.mark.skipif("lsl" not in board_models(), reason="the package is not installed: pip install -e .")
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
