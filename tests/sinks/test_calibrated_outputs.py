"""Outputs of calibrated channels: values in their unit, null beyond the calibration, and what was done to the codes."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from dtopipe.model.calibration_part import calibration_from
from dtopipe.model.clock import Anchor
from dtopipe.model.columns import Columns
from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.policy import Layout
from dtopipe.model.stream import VIRTUAL, Block, Channel, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import OURS, load_reader, load_writer, sink_type
from dtopipe.wire.dtraw import read_file_header

N, STEP = 500, 100
OF_TC1 = {"thermocouple": "K", "cjc": "cj", "unit": "degC", "id": "TC-17", "date": "2026-01-05", "input_unit": "V"}
OF_TC2 = {"thermocouple": "T", "cjc": 25.0, "unit": "K", "valid_until": "2030-01-05", "input_unit": "V"}
OF_CJ = {"rtd": "pt1000", "excitation": 0.0001, "unit": "degC", "input_unit": "V"}
OF_RPM = {"linear": {"scale": 0.5, "offset": 3.0}, "unit": "rpm", "input_unit": ""}


def calibrated(name: str, facts: dict[str, Any], **scaling: Any) -> Channel:
    return Channel(name, str(facts["unit"]), calibration=calibration_from(facts, name), **scaling)


CHANNELS = (
    Channel("flux", "V", scale=20 / 65536),
    calibrated("tc1", OF_TC1, scale=1e-6, offset=0.02),
    calibrated("tc2", OF_TC2, scale=1e-6, offset=0.01),
    calibrated("cj", OF_CJ, scale=1e-7, offset=0.109),
    calibrated("rpm", OF_RPM, kind="raw"),
    Channel("count", "", "raw"),
)
POWER = Channel("power", "W", VIRTUAL, formula="flux * area + rpm", constants={"area": 0.01})
WHOLE = Stream("run-1", "heat", "simulated", CHANNELS, "int16", 1000.0, STEP, "2026-11-23T09:00:00Z", virtual=(POWER,))
ANCHOR = Anchor(0, 5_000_000_123, 1_763_900_000_000_000_456)
CHOICES = {
    "all": None,
    "alone": ("tc2", "flux", "rpm", "count"),
    "some": ("power", "tc1", "count"),
}
FILES = [name for name in OURS if sink_type(name).server is None and not sink_type(name).is_raw]


def blocks() -> list[Block]:
    """Codes over all of their range, so that much is beyond the calibrations; one sensor is open for a while."""
    codes = np.random.default_rng(5).integers(-32768, 32768, (len(CHANNELS), N)).astype(np.int16)
    codes[3] //= 8
    status = np.zeros((len(CHANNELS), N), np.int8)
    status[0, 120:140] = 1
    found = [Block(at // STEP, at, codes[:, at : at + STEP], ANCHOR) for at in range(0, N, STEP)]
    found[1] = Block(1, STEP, codes[:, STEP : 2 * STEP], ANCHOR, status[:, STEP : 2 * STEP])
    return found


def written(sink: str, path: Path, chosen: Sequence[str] | None, layout: Layout = Layout.WIDE) -> Columns:
    """An output with these channels, as its worker writes it."""
    columns = Columns(WHOLE, chosen, as_codes=sink_type(sink).is_raw)
    writer = load_writer(sink)(OutputOptions(path, layout), **({"values": True} if sink == "hdf5" else {}))
    writer.open(columns.stream, 0, resume=False)
    for block in blocks():
        writer.append([columns.of(block)])
        writer.commit()
    writer.close()
    return columns


def wanted(columns: Columns) -> np.ndarray:
    """(n_channels, N) values."""
    found = [columns.of(block) for block in blocks()]
    values_of = EngineeringValues(columns.stream.channels)
    return np.concatenate([values_of(block.codes, block.sensor_status) for block in found], axis=1)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("sink", FILES)
def test_every_table_reads_back_the_calibrated_values(sink: str, layout: Layout, choice: str, tmp_path: Path) -> None:
    columns = written(sink, tmp_path / "out", CHOICES[choice], layout)
    found = np.full((len(columns.stream.channels), N), -1.0)
    reader: Any = load_reader(sink)(tmp_path / "out", run_id="run-1")
    for rows in reader.batches():
        numbers = range(len(rows.values)) if rows.channel is None else [rows.channel]
        for number, values in zip(numbers, rows.values, strict=True):
            found[number, rows.sample_index] = values
    values = wanted(columns)
    assert np.array_equal(found, values, equal_nan=True)
    assert np.isnan(values).any()
    assert np.isfinite(values).any(axis=1).all()
    causes = {each.cause for each in reader.nulls()}
    assert causes == ({"out_of_range", "sensor_open"})


@pytest.mark.parametrize("layout", Layout)
def test_the_same_values_in_a_database_server(layout: Layout, postgres: Any) -> None:
    options = {**postgres.options, "schema": postgres.new_schema()}
    columns = Columns(WHOLE, None, as_codes=False)
    writer = load_writer("postgres")(OutputOptions(None, layout), **options)
    writer.open(columns.stream, 0, resume=False)
    for block in blocks():
        writer.append([columns.of(block)])
    writer.close()
    found = np.full((len(columns.stream.channels), N), -1.0)
    reader = load_reader("postgres")(None, run_id="run-1", **options)
    for rows in reader.batches():
        for place, values in enumerate(rows.values):
            found[place if rows.channel is None else rows.channel, rows.sample_index] = values
    assert np.array_equal(found, wanted(columns), equal_nan=True)
    rows_of_channels = postgres.sql(f'SELECT name, unit, calibration FROM "{options["schema"]}".channels')
    told = {name: (unit, json.loads(meaning) if meaning else None) for name, unit, meaning in rows_of_channels}
    assert told["tc1"] == ("degC", {**OF_TC1, "is_applied": True})
    assert told["power"][1] == {"formula": POWER.formula, "with": {"area": 0.01}}


def test_an_archive_keeps_codes_and_every_description(tmp_path: Path) -> None:
    written("hbuf", tmp_path / "out", None)
    text = (tmp_path / "out").read_bytes()[4:].split(b"}]}", 1)[0] + b"}]}"
    document = json.loads(text)
    named = {channel["name"]: channel for channel in document["channels"]}
    # As any reader of the format takes them: code * scale + offset is in this unit.
    assert (named["tc1"]["unit"], named["tc1"]["scale"], named["tc1"]["offset"]) == ("V", 1e-6, 0.02)
    assert named["tc1"]["calibration"] == OF_TC1
    assert "calibration" not in named["flux"]
    power = {"name": "power", "unit": "W", "formula": POWER.formula, "with": {"area": 0.01}}
    assert document["virtual_channels"] == [power]
    header = read_file_header(tmp_path / "out")
    assert [channel.calibration for channel in header.channels] == [channel.calibration for channel in CHANNELS]
    assert [channel.unit for channel in header.channels] == [channel.unit for channel in CHANNELS]
    assert header.virtual == (POWER,)
    reader = load_reader("hbuf")(tmp_path / "out", run_id="run-1")
    found = np.concatenate([np.stack(rows.values) for rows in reader.batches()], axis=1)
    assert np.array_equal(found, wanted(Columns(WHOLE, None, as_codes=False))[:-1], equal_nan=True)


def test_units_and_calibrations_stand_in_every_output(tmp_path: Path) -> None:
    for sink in ("sqlite", "parquet", "hdf5", "csv"):
        written(sink, tmp_path / sink, None)
        written(sink, tmp_path / f"{sink}-alone", CHOICES["alone"])
    applied = {**OF_TC1, "is_applied": True}
    connection = sqlite3.connect(tmp_path / "sqlite")
    told = {
        name: (unit, json.loads(meaning) if meaning else None)
        for name, unit, meaning in connection.execute("SELECT name, unit, calibration FROM channels")
    }
    connection.close()
    assert told["tc1"] == ("degC", applied)
    assert told["flux"] == ("V", None)
    assert told["power"] == ("W", {"formula": POWER.formula, "with": {"area": 0.01}})
    field = pq.read_schema(tmp_path / "parquet").field("tc1")
    assert (field.metadata[b"unit"], json.loads(field.metadata[b"calibration"])) == (b"degC", applied)
    assert json.loads(pq.read_schema(tmp_path / "parquet-alone").field("tc2").metadata[b"calibration"]) == OF_TC2
    with h5py.File(tmp_path / "hdf5") as file:
        assert json.loads(file["channels/tc1"].attrs["calibration"]) == applied
        assert (file["channels/tc1"].dtype, file["channels/tc1"].attrs["unit"]) == (np.float64, "degC")
    with h5py.File(tmp_path / "hdf5-alone") as file:
        tc2 = file["channels/tc2"]
        # Codes, whose scale leads to the input, and the values beside them.
        assert (tc2.dtype, tc2.attrs["unit"], tc2.attrs["input_unit"]) == (np.int16, "K", "V")
        assert json.loads(tc2.attrs["calibration"]) == OF_TC2
        assert file["values/tc2"].attrs["unit"] == "K"
    snapshot = (tmp_path / "csv.dtopipe").read_bytes()
    assert b"TC-17" in snapshot
    with (tmp_path / "csv").open() as lines:
        row = list(csv.DictReader(lines))[130]
    assert row["power"] == "" == row["flux"]


def test_the_reason_of_a_null_stands_in_the_long_layout(tmp_path: Path) -> None:
    columns = written("csv", tmp_path / "out", None, Layout.LONG)
    with (tmp_path / "out").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["unit"] for row in rows if row["channel"] == "tc1"} == {"degC"}
    reasons = {(row["error_type"], row["error_message"]) for row in rows if row["value"] == ""}
    assert reasons == {
        ("sensor_open", "the sensor is open"),
        ("out_of_range", "the calibration or formula has no value here"),
    }
    assert sum(row["value"] == "" for row in rows) == np.isnan(wanted(columns)).sum()
