"""Every column of readings as other programs read it; what sinks promise besides is in `dtopipe.testing`."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recordings import AWKWARD_NAMES, polled, readings

from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import SinkError
from dtopipe.model.policy import OnExists
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, Readings
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.registry import load_writer

TYPES = ["csv", "hdf5", "jsonl", "parquet", "sqlite"]
AWKWARD_CHANNELS = ("device", "t_utc", "a", "a_unit", "A", "T_UTC_NS", "run", *AWKWARD_NAMES)


@dataclass(frozen=True)
class Sink:
    """One kind of output at one path."""

    type: str
    path: Path

    def writer(self, on_exists: OnExists = OnExists.ERROR) -> SinkWriter:
        return load_writer(self.type)(OutputOptions(self.path, on_exists=on_exists))

    def table(self, stream: Stream) -> dict[str, list[Any]]:
        """All columns as another program reads them, each value as our model has it."""
        return TABLES[self.type](self.path, stream)


def csv_table(path: Path, stream: Stream) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    numbers = {ColumnKind.INTEGER: int, ColumnKind.FLOAT: float}
    kinds = {column.name: numbers.get(column.kind, str) for column in reading_columns(stream.channels)}
    return {
        name: [kinds[name](cell) if cell else None for cell in cells]
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    }


def jsonl_table(path: Path, _: Stream) -> dict[str, list[Any]]:
    documents = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    return {name: [document[name] for document in documents] for name in documents[0]}


def sqlite_table(path: Path, _: Stream) -> dict[str, list[Any]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM readings ORDER BY rowid")]
    assert {row.pop("run") for row in rows} == {1}
    return {
        name.removesuffix("_ns") if name in SQLITE_TIMES else name: [
            iso_utc(row[name]) if name in SQLITE_TIMES and row[name] is not None else row[name] for row in rows
        ]
        for name in rows[0]
    }


def parquet_table(path: Path, _: Stream) -> dict[str, list[Any]]:
    table = pq.read_table(path)
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    assert {str(table.schema.field(name).type) for name in times} == {"timestamp[ns, tz=UTC]"}
    return {
        name: [value and iso_utc(value) for value in column.cast(pa.int64()).to_pylist()]
        if name in times
        else column.to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def hdf5_table(path: Path, _: Stream) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    with h5py.File(path) as file:
        for name, rows in file.items():
            if name in ("gaps", "dtopipe"):
                continue
            if rows.dtype.kind == "O":
                found[name] = [text or None for text in rows.asstr()[:]]
                continue
            null = np.isnan(rows[:]) if rows.dtype.kind == "f" else rows[:] == -(2**63)
            values = [None if absent else value for value, absent in zip(rows[:].tolist(), null, strict=True)]
            if name in SQLITE_TIMES:
                found[name.removesuffix("_ns")] = [value and iso_utc(value) for value in values]
            else:
                found[name] = values
    return found


SQLITE_TIMES = ("t_utc_ns", "requested_at_ns", "received_at_ns")
TABLES = {"csv": csv_table, "hdf5": hdf5_table, "jsonl": jsonl_table, "parquet": parquet_table, "sqlite": sqlite_table}


def expected(stream: Stream, start: int, stop: int) -> dict[str, list[Any]]:
    columns = zip(reading_columns(stream.channels), readings(stream, start, stop).columns, strict=True)
    return {
        column.name: [
            value if value is None or column.kind is not ColumnKind.TIME else iso_utc(value) for value in values
        ]
        for column, values in columns
    }


@pytest.fixture(params=TYPES)
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Sink:
    """Each kind of output in turn."""
    return Sink(request.param, tmp_path / "out")


@pytest.mark.parametrize("names", [("flux", "tc1"), AWKWARD_CHANNELS], ids=["plain", "awkward"])
def test_every_column_of_every_reading_is_there_to_the_bit_whatever_the_channels_are_called(
    sink: Sink, names: Sequence[str]
) -> None:
    stream = polled(names)
    writer = sink.writer()
    assert writer.open(stream, 0, resume=False) == Position()
    for start, stop in ((0, 1), (1, 8), (8, 60)):
        writer.append([readings(stream, start, stop)])
        writer.commit()
    final = writer.close()
    assert final == Position(0, 60, 60, 60, 0, 0)
    assert sink.table(stream) == expected(stream, 0, 60)


def test_a_number_that_is_none_is_null_as_for_blocks(sink: Sink) -> None:
    stream = polled(("a",))
    columns = list(readings(stream, 0, 4).columns)
    columns[9] = [1.5, float("nan"), None, 2.5]
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append([Readings(0, columns)])
    writer.close()
    assert sink.table(stream)["a"] == [1.5, None, None, 2.5]


def test_who_resumes_readings_goes_on_exactly_behind_the_last_commit(sink: Sink) -> None:
    stream = polled()
    writer = sink.writer()
    writer.open(stream, 0, resume=False)
    writer.append([readings(stream, 0, 20)])
    writer.commit()
    writer.append([readings(stream, 20, 70)])
    writer.abandon()
    successor = sink.writer()
    position = successor.open(stream, 0, resume=True)
    assert (position.committed, position.samples) == (20, 20)
    successor.append([readings(stream, 20, 100)])
    assert successor.close().samples == 100
    assert sink.table(stream) == expected(stream, 0, 100)


def test_hbuf_refuses_polled_readings_with_a_way_out(tmp_path: Path) -> None:
    writer = Sink("hbuf", tmp_path / "a.dt-raw").writer()
    with pytest.raises(SinkError, match="hbuf refuses polled readings") as refused:
        writer.open(polled(), 0, resume=False)
    assert "csv" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []
