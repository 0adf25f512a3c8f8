"""Views and parts of whole runs: killed, lost and repaired, they are what the formula says."""

from __future__ import annotations

import csv
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from laboratory import Lab, counter_codes, counter_topology

import dtopipe

_LOST = (5_000, 5_800)
_STOP = 12_000


def _topology() -> dict[str, Any]:
    topology = counter_topology(2, 100, 2000.0, overruns=[{"at": _LOST[0], "samples": _LOST[1] - _LOST[0]}])
    often = {"restart": {"max": 100}, "flush_interval": "50ms"}
    topology["duration"] = f"{_STOP / 2000}s"
    topology["sinks"] = {
        "raw": {"type": "hbuf", "path": "raw.dt-raw"},
        "live": {"type": "csv", "path": "live-{part}.csv", "split": "1s", **often},
        "lines": {"type": "jsonl", "path": "lines.jsonl", "split": "60KiB", **often},
        "ends": {"type": "csv", "path": "ends.csv", "every": "200ms", "reduce": "minmax", **often},
        "means": {"type": "parquet", "path": "means.parquet", "every": "100ms", "split": "2s", **often},
        "firsts": {"type": "sqlite", "path": "firsts.db", "every": "60ms", "reduce": "first", **often},
        "dense": {"type": "hdf5", "path": "dense.h5", "every": "500ms", "layout": "long", **often},
    }
    return topology


def test_views_and_parts_of_a_run_whose_sinks_were_killed(lab: Lab) -> None:
    running = lab.start(_topology())
    for sink, committed in (("live", 1500), ("means", 2000), ("ends", 3000), ("lines", 4500), ("firsts", 6500)):
        running.wait_for_samples(sink, committed)
        running.kill(sink)
    assert running.finish().code == 3
    folder = running.folder
    record = json.loads((folder / "run.json").read_text())
    _assert_rows_are_counted(record["sinks"])
    _assert_views_are_what_the_formula_says(folder)
    _assert_parts_have_what_their_numbers_say(folder)
    _assert_lost_parts_are_made_again_byte_for_byte(lab, folder)


def _windows(every: int) -> list[tuple[int, int]]:
    """Where each row of a view begins and ends."""
    edges = sorted({0, *_LOST, _STOP, *range(0, _STOP, every)})
    return [(a, b) for a, b in pairwise(edges) if not _LOST[0] <= a < _LOST[1]]


def _assert_rows_are_counted(sinks: dict[str, Any]) -> None:
    rows = {name: (sink["samples"], sink["rows"]) for name, sink in sinks.items()}
    n = _STOP - _LOST[1] + _LOST[0]
    assert rows == {
        "raw": (n, n), "live": (n, n), "lines": (n, n), "ends": (n, len(_windows(400))),
        "means": (n, len(_windows(200))), "firsts": (n, len(_windows(120))), "dense": (n, 2 * len(_windows(1000))),
    }  # fmt: skip
    assert sinks["live"]["part_samples"] == 2000


def _assert_views_are_what_the_formula_says(folder: Path) -> None:
    codes = counter_codes(2, 0, _STOP).astype(float)
    with (folder / "ends.csv").open() as file:
        rows = [
            (int(row["sample_index"]), float(row["ch1_min"]), float(row["ch1_max"])) for row in csv.DictReader(file)
        ]
    assert rows == [(a, codes[1, a:b].min(), codes[1, a:b].max()) for a, b in _windows(400)]
    found = dtopipe.load(folder).samples(["ch0"], sink="means")
    assert found.sample_index.tolist() == [a for a, _ in _windows(200)]
    assert np.allclose(found.values[0], [codes[0, a:b].mean() for a, b in _windows(200)], rtol=1e-12)
    found = dtopipe.load(folder).samples(["ch1"], sink="firsts")
    assert found.values[0].tolist() == [codes[1, a] for a, _ in _windows(120)]
    assert ((found.t_mono_ns - found.t_mono_ns[0]) == found.sample_index * 500_000).all()


def _assert_parts_have_what_their_numbers_say(folder: Path) -> None:
    lines = {file.name: len(file.read_text().splitlines()) - 1 for file in folder.glob("live-*.csv")}
    assert lines == {
        "live-0001.csv": 2000, "live-0002.csv": 2000, "live-0003.csv": 1200, "live-0004.csv": 2000,
        "live-0005.csv": 2000, "live-0006.csv": 2000,
    }  # fmt: skip
    assert [pq.read_table(file).num_rows for file in sorted(folder.glob("means-*.parquet"))] == [20, 16, 20]
    assert len(list(folder.glob("lines-*.jsonl"))) > 10
    run = dtopipe.load(folder)
    span = run.frame(["ch0"], span=(1900, 2100), sink="live")
    assert span["ch0"].tolist() == counter_codes(1, 1900, 2100)[0].tolist()


def _assert_lost_parts_are_made_again_byte_for_byte(lab: Lab, folder: Path) -> None:
    assert _found(lab, folder) == {}
    copy = lab.folder / "copy"
    shutil.copytree(folder, copy)
    lost = ["live-0003.csv", "live-0005.csv", "means-0002.parquet", "lines-0004.jsonl", "ends.csv"]
    for name in lost:
        (copy / name).unlink()
    (copy / "lines-0004.jsonl.dtopipe").unlink()
    with (copy / "live-0001.csv").open("r+b") as file:
        file.seek(3000)
        file.write(b"\0\0\0\0\0\0\0\0")
    assert set(_found(lab, copy)) == {"live", "means", "lines", "ends"}
    repaired = lab.dtopipe("repair", str(copy), "--json")
    assert repaired.code == 3, repaired.stderr
    assert _found(lab, copy) == {}
    for name in [*lost, "live-0001.csv"]:
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), name
    assert (copy / "live-0001.damaged.csv").exists()


def _found(lab: Lab, folder: Path) -> dict[str, list[str]]:
    """What verify finds wrong with each output."""
    document = lab.dtopipe("verify", str(folder), "--json").json
    sound = [output for output in document["outputs"] if output["name"] != "raw" and not output["problems"]]
    assert all(output["compared_with"] for output in sound)
    return {output["name"]: output["problems"] for output in document["outputs"] if output["problems"]}
