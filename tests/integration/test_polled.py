"""A polled task: readings, each with its own times, in the `readings` of every sink that has them."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import counter_codes, counter_topology

SINKS = {
    "table": {"type": "csv", "path": "table.csv"},
    "lines": {"type": "jsonl", "path": "lines.jsonl"},
    "base": {"type": "sqlite", "path": "base.db"},
    "columns": {"type": "parquet", "path": "columns.parquet"},
    "sheet": {"type": "csv", "path": "sheet.csv", "dialect": "excel", "decimal": ","},
}


def _polled(rate_hz: float, **board: Any) -> dict[str, Any]:
    topology = counter_topology(2, 1, rate_hz=rate_hz, **board)
    topology["task"]["mode"] = "polled"
    del topology["task"]["samples_per_block"]
    return topology | {"sinks": SINKS, "ring": {"seconds": 4}}


def _number(cell: str) -> float:
    return float(cell.replace(",", "."))


def _rows(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Index and values of each reading, by sink, as the format's own library reads them."""
    import pyarrow.parquet as pq

    with (folder / "table.csv").open(newline="") as file:
        table = [(int(row["sample_index"]), float(row["ch0"]), float(row["ch1"])) for row in csv.DictReader(file)]
    with (folder / "sheet.csv").open(newline="", encoding="utf-8-sig") as file:
        cells = list(csv.DictReader(file, delimiter=";"))
    sheet = [(int(row["sample_index"]), _number(row["ch0"]), _number(row["ch1"])) for row in cells]
    lines = [json.loads(line) for line in (folder / "lines.jsonl").read_text().splitlines()]
    connection = sqlite3.connect(folder / "base.db")
    base = connection.execute("SELECT sample_index, ch0, ch1 FROM readings ORDER BY sample_index").fetchall()
    connection.close()
    columns = pq.read_table(folder / "columns.parquet").to_pylist()
    return {
        "table": table,
        "sheet": sheet,
        "lines": [(row["sample_index"], row["ch0"], row["ch1"]) for row in lines],
        "base": base,
        "columns": [(row["sample_index"], row["ch0"], row["ch1"]) for row in columns],
    }


def test_readings_of_a_polled_task_are_whole_in_every_sink_and_their_times_are_their_own(lab: Any) -> None:
    ended = lab.up(_polled(100.0) | {"duration": "1s"})
    assert ended.code in (0, 3), ended.stderr
    record = ended.json
    acquired = record["acquired"]
    assert acquired["end_sample_index"] == acquired["samples"] + acquired["overrun_samples"] == 100
    expected = counter_codes(2, 0, 100)
    for sink, rows in _rows(lab.run_folder).items():
        index = np.array([row[0] for row in rows])
        assert len(rows) == acquired["samples"], sink
        assert (np.diff(index) > 0).all(), sink
        assert np.array_equal(np.array([row[1:] for row in rows]).T, expected[:, index]), sink
    connection = sqlite3.connect(lab.run_folder / "base.db")
    times = connection.execute(
        "SELECT t_mono_ns, requested_at_ns, t_utc_ns, received_at_ns, latency_s FROM readings ORDER BY sample_index"
    ).fetchall()
    connection.close()
    t_mono_ns = [row[0] for row in times]
    assert t_mono_ns == sorted(set(t_mono_ns))
    for _, requested, middle, received, latency_s in times:
        assert requested <= middle <= received
        assert received - requested == round(latency_s * 1e9)
    assert lab.dtopipe("verify", "lab").code == ended.code


@pytest.mark.parametrize("victim", list(SINKS))
def test_a_killed_sink_of_readings_goes_on_behind_its_last_commit(lab: Any, victim: str) -> None:
    running = lab.start(_polled(200.0, pace="max", max_samples=4000) | {"ring": {"slots": 8}})
    running.wait_until("ready", victim)
    running.kill(victim)
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    expected = counter_codes(2, 0, 4000)
    for sink, rows in _rows(lab.run_folder).items():
        assert [row[0] for row in rows] == list(range(4000)), sink
        assert np.array_equal(np.array([row[1:] for row in rows]).T, expected), sink
    assert lab.dtopipe("verify", "lab").code == 0


def test_ticks_at_which_nobody_asked_are_gaps_with_a_cause(lab: Any) -> None:
    running = lab.start(_polled(100.0) | {"duration": "2s"})
    running.wait_for_samples("table", 20)
    running.pause("acquirer")
    lab.let_pass(0.2)
    stopped_at = lab.dtopipe("status", str(running.folder), "--json").json["sinks"]["table"]["committed"]
    running.go_on("acquirer")
    ended = running.finish()
    assert ended.code == 3, ended.stderr
    acquired = ended.json["acquired"]
    assert acquired["overrun_samples"] > 0
    assert acquired["end_sample_index"] == 200
    gaps = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    assert {gap["cause"] for gap in gaps} == {"board_overrun"}
    assert any(gap["stop"] > stopped_at for gap in gaps)
    expected = counter_codes(2, 0, 200)
    for sink, rows in _rows(lab.run_folder).items():
        index = np.array([row[0] for row in rows])
        assert np.array_equal(np.array([row[1:] for row in rows]).T, expected[:, index]), sink
        told = ended.json["sinks"][sink]
        assert told["samples"] == len(rows), sink
        assert told["start"] + told["samples"] + told["gaps"] == told["stop"] == 200, sink


def test_a_raw_file_is_refused_for_readings(lab: Any) -> None:
    topology = _polled(100.0) | {"sinks": {"raw": {"type": "hbuf", "path": "raw.dt-raw"}}}
    ended = lab.up(topology)
    assert ended.code == 2
    assert "hbuf refuses polled readings" in ended.stderr
