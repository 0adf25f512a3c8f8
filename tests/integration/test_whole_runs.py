"""From board to files: every sample of every output is right, in order, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide

DATA = Path(__file__).parents[1] / "data"


def test_the_ecg_recording_is_whole_and_equal_in_every_kind_of_output(lab: Any) -> None:
    topology = {
        "name": "ecg",
        "board": {"type": "replay", "path": str(DATA / "ecg.dt-raw"), "speed": "max"},
        "sinks": EVERY_SINK,
    }
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    assert ended.json["verdict"]["state"] == "GOOD"
    _, codes = read_wide(DATA / "ecg.dt-raw")
    expected = codes * 0.005 - 5.12
    for sink in ("table", "lines", "base", "columns"):
        index, values = read_wide(lab.run_folder / EVERY_SINK[sink]["path"])
        assert np.array_equal(index, np.arange(108_000)), sink
        assert np.array_equal(values, expected), sink
    _, raw = read_wide(lab.run_folder / "raw.dt-raw")
    assert np.array_equal(raw, codes)
    for sink in ended.json["sinks"].values():
        assert sink["samples"] == sink["committed"] == sink["durable"] == 108_000
    assert lab.dtopipe("verify", "ecg/latest").code == 0


@pytest.mark.parametrize(("n_channels", "samples_per_block"), [(3, 1), (16, 7), (5, 997)])
def test_every_sample_equals_the_formula_in_order_exactly_once(
    lab: Any, n_channels: int, samples_per_block: int
) -> None:
    n_samples = {1: 500, 7: 5000, 997: 60_000}[samples_per_block]
    topology = counter_topology(n_channels, samples_per_block, pace="max", max_samples=n_samples)
    topology |= {"ring": {"slots": 4}, "sinks": EVERY_SINK}
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    expected = counter_codes(n_channels, 0, n_samples)
    for sink in EVERY_SINK.values():
        index, values = read_wide(lab.run_folder / sink["path"])
        assert np.array_equal(index, np.arange(n_samples)), sink
        assert np.array_equal(values, expected), sink
    report = lab.dtopipe("verify", "lab", "--json")
    assert report.code == 0, report.stdout
    for output in report.json["outputs"]:
        assert output["samples"] == n_samples


def test_a_scripted_overrun_is_a_gap_in_every_output_and_times_after_it_are_right(lab: Any) -> None:
    topology = counter_topology(3, 100, pace="max", max_samples=3000, overruns=[{"at": 1050, "samples": 333}])
    topology["sinks"] = EVERY_SINK
    ended = lab.up(topology)
    assert ended.code == 3, ended.stderr
    record = ended.json
    assert record["verdict"]["state"] == "INCOMPLETE"
    assert record["acquired"] == {"blocks": 28, "samples": 2667, "overrun_samples": 333, "end_sample_index": 3000}
    lines = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    for sink in (None, *EVERY_SINK):
        mine = [line for line in lines if line["sink"] == sink]
        assert [(g["start"], g["stop"], g["cause"]) for g in mine] == [(1050, 1383, "board_overrun")], sink
    import pyarrow.parquet as pq

    table = pq.read_table(lab.run_folder / "columns.parquet")
    index, t_mono_ns = (np.array(table[name]) for name in ("sample_index", "t_mono_ns"))
    assert np.array_equal(t_mono_ns - t_mono_ns[0], index * 1_000_000)
    for sink in record["sinks"].values():
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == 3000
    assert lab.dtopipe("verify", "lab").code == 3


def test_a_duration_ends_at_the_exact_sample(lab: Any) -> None:
    topology = counter_topology(2, 64, rate_hz=333.0, pace="max") | {"duration": "1.001s", "sinks": EVERY_SINK}
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["end_sample_index"] == 334


def test_channel_names_come_out_unharmed_in_every_format(lab: Any) -> None:
    names = ['he said "hi"', "a,b", "two\nlines", "Тиск, μbar", "x'); DROP TABLE samples;--", "device", "π/2"]
    topology = counter_topology(len(names), 10, pace="max", max_samples=50) | {"sinks": EVERY_SINK}
    for channel, name in zip(topology["task"]["channels"], names, strict=True):
        channel["name"] = name
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    import csv
    import sqlite3

    import pyarrow.parquet as pq

    folder = lab.run_folder
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file))[3:] == names
    first = json.loads((folder / "lines.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert list(first)[3:] == names
    base = sqlite3.connect(folder / "base.db")
    assert [row[1] for row in base.execute("PRAGMA table_info(samples)")][4:] == names
    base.close()
    assert pq.read_schema(folder / "columns.parquet").names[3:] == names
    assert list(ended.json["channels"]) == names
    expected = counter_codes(len(names), 0, 50)
    for sink in EVERY_SINK.values():
        assert np.array_equal(read_wide(folder / sink["path"])[1], expected), sink
    assert lab.dtopipe("verify", "lab").code == 0


def test_long_and_wide_layouts_hold_the_same_samples(lab: Any) -> None:
    topology = counter_topology(3, 50, pace="max", max_samples=1000)
    topology["sinks"] = EVERY_SINK | {
        f"long_{name}": {**sink, "path": f"long_{sink['path']}", "layout": "long"}
        for name, sink in EVERY_SINK.items()
        if name != "raw"
    }
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    report = lab.dtopipe("verify", "lab", "--json")
    assert report.code == 0, report.stdout
    rows = {output["name"]: output["rows"] for output in report.json["outputs"]}
    assert rows["table"] == 1000
    assert rows["long_table"] == rows["long_lines"] == rows["long_base"] == rows["long_columns"] == 3000


def test_a_sink_may_take_some_channels_only(lab: Any) -> None:
    topology = counter_topology(4, 50, pace="max", max_samples=200)
    topology["sinks"] = {"some": {"type": "csv", "path": "some.csv", "channels": ["ch3", "ch1"]}}
    assert lab.up(topology).code == 0
    _, values = read_wide(lab.run_folder / "some.csv")
    assert np.array_equal(values, counter_codes(4, 0, 200)[[3, 1]])
