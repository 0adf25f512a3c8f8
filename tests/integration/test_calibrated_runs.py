"""Runs whose channels are calibrated: every output, its repair, its replay, and programs that follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import thermocouple_its90
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide
from spreadsheet import opened

import dtopipe

CHANNELS = [
    {"name": "flux", "range": [-10, 10]},
    {"name": "tc1", "range": [-0.07, 0.07], "calibration": {"thermocouple": "K", "cjc": "cj", "id": "TC-17"}},
    {"name": "cj", "range": [0, 0.2], "calibration": {"rtd": "pt100", "excitation": 0.001}},
    {"name": "tc2", "range": [-0.07, 0.07], "calibration": {"thermocouple": "K", "cjc": 25}},
    {"name": "power", "formula": "flux * area", "with": {"area": 0.01}, "unit": "W"},
]
SINKS = {**EVERY_SINK, "alone": {"type": "csv", "path": "alone.csv", "channels": ["tc2", "power"]}}
N = 20_000


def topology(**board: Any) -> dict[str, Any]:
    found = counter_topology(1, 100, rate_hz=10_000.0, **board)
    found["task"]["channels"] = CHANNELS
    return found | {"sinks": SINKS, "ring": {"seconds": 1}}


def temperatures() -> np.ndarray:
    """(N,) of tc2, by the library itself, from the counter's codes; NaN beyond the type."""
    kind = thermocouple_its90.get("K")
    low, high = kind.emf_range
    found = np.full(N, np.nan)
    for index, code in enumerate(counter_codes(4, 0, N)[3].tolist()):
        emf_mv = code * (140 / 65536) + kind.emf(25.0)
        if low <= emf_mv <= high:
            found[index] = kind.temperature(emf_mv)
    return found


def test_every_table_of_a_run_has_temperatures_and_the_archive_has_codes(lab: Any) -> None:
    ended = lab.up(topology(pace="max", max_samples=N))
    assert (ended.code, ended.json["verdict"]["state"]) == (0, "GOOD"), ended.stderr
    folder: Path = lab.run_folder
    _, codes = read_wide(folder / "raw.dt-raw")
    assert np.array_equal(codes, counter_codes(4, 0, N))
    tables = [read_wide(folder / EVERY_SINK[name]["path"])[1] for name in ("table", "lines", "base", "columns")]
    for values in tables:
        assert np.array_equal(values, tables[0], equal_nan=True)
    flux, tc1, cj, tc2, power = tables[0]
    assert np.nanmax(np.abs(tc2 - temperatures())) < 0.01
    assert np.array_equal(np.isnan(tc2), np.isnan(temperatures()))
    assert np.array_equal(power, flux * 0.01)
    assert np.isfinite(tc1).sum() > 1000
    # What is beyond the junction has no value, and nothing that is made of it.
    assert np.isnan(tc1[np.isnan(cj)]).all()
    _, alone = read_wide(folder / "alone.csv")
    assert np.array_equal(alone, [tc2, power], equal_nan=True)
    record = ended.json
    assert record["topology"]["task"]["channels"] == CHANNELS
    assert (record["channels"]["tc1"]["min"], record["channels"]["tc1"]["input_unit"]) == (None, "V")
    verified = lab.dtopipe("verify", "lab/latest", "--json")
    assert verified.code == 0, verified.stdout

    # Loaded from any of them, also the archive, they are the same.
    run = dtopipe.load(folder)
    assert run.channels == ("flux", "tc1", "cj", "tc2", "power")
    assert run.units["tc1"] == "degC"
    for sink in EVERY_SINK:
        samples = run.samples(["power", "tc1", "cj"], sink=sink)
        assert np.array_equal(np.stack(samples.values), [power, tc1, cj], equal_nan=True), sink

    # What is gone or cut is made again of the codes.
    table = (folder / "table.csv").read_bytes()
    (folder / "alone.csv").unlink()
    (folder / "base.db").unlink()
    (folder / "table.csv").write_bytes(table[: len(table) // 2])
    assert lab.dtopipe("repair", "lab/latest").code == 0
    assert (folder / "table.csv").read_bytes() == table
    assert lab.dtopipe("verify", "lab/latest").code == 0
    # The archive carries what its codes mean.
    again = lab.up(
        {"name": "again", "board": {"type": "replay", "path": str(folder / "raw.dt-raw"), "speed": "max"}}
        | {"sinks": {name: SINKS[name] for name in ("raw", "table", "alone")}}
    )
    assert (again.code, again.json["verdict"]["state"]) == (0, "GOOD"), again.stderr
    replayed = next(path for path in lab.run_folders() if path.parent.name == "again")
    assert np.array_equal(read_wide(replayed / "table.csv")[1], tables[0], equal_nan=True)
    assert lab.dtopipe("verify", "again/latest").code == 0


def test_a_spreadsheet_in_a_language_with_a_decimal_comma_has_the_temperatures_of_each_hour(
    lab: Any, tmp_path: Path
) -> None:
    n_samples = 2 * 3600 + 400
    found = topology(pace="max", max_samples=n_samples)
    found["task"] |= {"rate_hz": 1.0, "samples_per_block": 50}
    hours = {"type": "csv", "path": "hour-{part}.csv", "split": "1h", "channels": ["tc2", "power"]}
    found["sinks"] = {"raw": EVERY_SINK["raw"], "sheet": {**hours, "dialect": "excel", "locale": "de_DE"}}
    ended = lab.up(found)
    assert (ended.code, ended.json["verdict"]["state"]) == (0, "GOOD"), ended.stderr
    parts = sorted(lab.run_folder.glob("hour-*.csv"))
    assert [part.read_bytes().count(b"\n") for part in parts] == [3601, 3601, 401]
    sheets = opened(parts, tmp_path, "de_DE", finds_dates=True)
    rows = [row for sheet in sheets.values() for row in sheet[1:] if row and row[0].kind is not None]
    flux = counter_codes(4, 0, n_samples)[0] * (20 / 65536)
    for number, (row, tc2, watts) in enumerate(zip(rows, temperatures(), flux * 0.01, strict=False)):
        index, seconds, utc, temperature, power = row[:5]
        assert (index.kind, index.value, seconds.kind, float(seconds.value)) == ("float", str(number), "float", number)
        assert utc.kind == "date"
        assert temperature.kind == (None if np.isnan(tc2) else "float")
        assert temperature.kind is None or abs(float(temperature.value) - tc2) < 0.01
        assert power.kind == "float"
        assert abs(float(power.value) - watts) < 1e-6
    assert len(rows) == n_samples
    lost = parts[1].read_bytes()
    parts[1].unlink()
    assert lab.dtopipe("repair", "lab/latest").code == 0
    assert parts[1].read_bytes() == lost
    assert lab.dtopipe("verify", "lab/latest").code == 0


def test_an_archive_is_refilled_from_values_that_need_no_other_channel(lab: Any) -> None:
    found = topology(pace="max", max_samples=5000)
    found["task"]["channels"] = [
        {"name": "p", "range": [-5, 5], "calibration": {"points": [[-5, 100], [0, 30], [5, -7]], "unit": "bar"}},
        {"name": "rpm", "kind": "raw", "calibration": {"linear": {"scale": 0.25, "offset": 3}, "unit": "rpm"}},
    ]
    found["sinks"] = {name: EVERY_SINK[name] for name in ("raw", "base")}
    assert lab.up(found).code == 0
    archive = (lab.run_folder / "raw.dt-raw").read_bytes()
    (lab.run_folder / "raw.dt-raw").unlink()
    assert lab.dtopipe("repair", "lab/latest").code == 0
    assert read_wide(lab.run_folder / "raw.dt-raw")[1].tolist() == counter_codes(2, 0, 5000).tolist()
    assert len((lab.run_folder / "raw.dt-raw").read_bytes()) == len(archive)
    assert lab.dtopipe("verify", "lab/latest").code == 0


def test_a_sink_that_is_attached_has_the_same_values(lab: Any) -> None:
    found = topology() | {"duration": "3s"}
    found["sinks"] = {name: EVERY_SINK[name] for name in ("raw", "table")}
    running = lab.start(found)
    running.wait_for_samples("raw", 100)
    sink = {"type": "jsonl", "path": "late.jsonl", "channels": ["power", "tc1"]}
    late = lab.write({"sinks": {"late": sink}}, "a.yaml")
    attached = lab.dtopipe("attach", "lab/latest", str(late), "--from", "earliest")
    assert attached.code == 0, attached.stderr
    wrong = lab.write({"sinks": {"other": {"type": "csv", "path": "b.csv", "channels": ["powr"]}}}, "b.yaml")
    assert "did you mean power?" in lab.dtopipe("attach", "lab/latest", str(wrong)).stderr
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    index, values = read_wide(lab.run_folder / "late.jsonl")
    _, table = read_wide(lab.run_folder / "table.csv")
    assert np.array_equal(values, table[[4, 1]][:, index], equal_nan=True)
    assert lab.dtopipe("verify", "lab/latest").code == 0


def test_readings_are_calibrated_too(lab: Any) -> None:
    found = topology(pace="max", max_samples=40)
    found["task"] |= {"mode": "polled", "rate_hz": 100.0}
    found["task"].pop("samples_per_block")
    found["board"]["waveform"] = "sine"
    found["sinks"] = {name: EVERY_SINK[name] for name in ("table", "base", "columns", "arrays")}
    ended = lab.up(found)
    assert (ended.code, ended.json["acquired"]["samples"]) == (0, 40), ended.stderr
    lines = (lab.run_folder / "table.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    assert {row["tc2_unit"] for row in rows} == {"degC"}
    assert all(float(row["power"]) == float(row["flux"]) * 0.01 for row in rows)
    assert any(row["tc1"] for row in rows)
    assert lab.dtopipe("verify", "lab/latest").code == 0


def test_another_calibration_afterwards(lab: Any) -> None:
    assert lab.up(topology(pace="max", max_samples=N)).code == 0
    (lab.folder / "new.yaml").write_text("tc2: {thermocouple: J, cjc: 20, id: TC-18}\n")
    done = lab.dtopipe(
        "convert", "lab/latest", "--to", "jsonl", "--path", "fixed.jsonl", "--calibration", "new.yaml", "--json"
    )
    assert done.code == 0, done.stderr
    first = json.loads((lab.folder / "fixed.jsonl").read_text().splitlines()[0])
    assert list(first)[3:] == ["flux", "tc1", "cj", "tc2", "power"]
    _, fixed = read_wide(lab.folder / "fixed.jsonl")
    _, table = read_wide(lab.run_folder / "table.csv")
    assert np.array_equal(fixed[[0, 1, 2, 4]], table[[0, 1, 2, 4]], equal_nan=True)
    assert not np.array_equal(fixed[3], table[3], equal_nan=True)
