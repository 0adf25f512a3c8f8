"""The sinks as programs use them: what is written is there, columns are fixed by the first write, mistakes are said."""

from __future__ import annotations

import csv
import json
import logging
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from daq import T0, block, reading
from postgres_server import PostgresServer

from dtopipe.errors import OutputExists, SinkError, SinkNotOpen, SinkOptionError, SinkSchemaError
from dtopipe.sinks import (
    BlockSink,
    CsvSink,
    InMemorySink,
    JsonlSink,
    ParquetSink,
    PostgresConfig,
    PostgresSink,
    RawBlockSink,
    RawCountsSink,
    ReadingSink,
    SqliteSink,
)
from dtopipe.sinks.programs.tabular import TabularSink

pytestmark = pytest.mark.anyio
Rows = list[dict[str, Any]]


def csv_rows(path: Path, _: str) -> Rows:
    def value(text: str) -> Any:
        try:
            return float(text) if text else None
        except ValueError:
            return text

    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def jsonl_rows(path: Path, _: str) -> Rows:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def sqlite_rows(path: Path, table: str) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def parquet_rows(path: Path, _: str) -> Rows:
    rows: Rows = pq.read_table(path).to_pylist()
    return rows


class Kind:
    """One class of sinks: how it is made, and how its rows are read by somebody else."""

    def __init__(self, name: str, make: Callable[..., TabularSink], rows: Callable[[Path, str], Rows]) -> None:
        self.name = name
        self._make = make
        self._rows = rows

    def sink(self, path: Path, **options: Any) -> TabularSink:
        if self.name in ("csv", "jsonl"):
            options.setdefault("accept_blocks", True)
        return self._make(path, **options)

    def samples(self, path: Path) -> Rows:
        return self._rows(path, "samples")

    def readings(self, path: Path) -> Rows:
        return self._rows(path, "readings")


# That of Postgres is made once there is a server.
KINDS: list[Kind | str] = [
    Kind("csv", CsvSink, csv_rows),
    Kind("jsonl", JsonlSink, jsonl_rows),
    Kind("sqlite", SqliteSink, sqlite_rows),
    Kind("parquet", ParquetSink, parquet_rows),
    "postgres",
]


def postgres_kind(server: PostgresServer) -> Kind:
    """A schema of the server stands for a path."""

    def schema(path: Path) -> str:
        return str(path)[-60:]

    def make(path: Path, **options: Any) -> TabularSink:
        config = PostgresConfig(**server.options, schema=schema(path), create_tables=True)
        return PostgresSink(config, **options)

    def rows(path: Path, table: str) -> Rows:
        return server.rows(f'SELECT * FROM "{schema(path)}".{table} ORDER BY ctid')

    return Kind("postgres", make, rows)


def kind_name(kind: Kind | str) -> str:
    return kind if isinstance(kind, str) else kind.name


def kind_of(request: pytest.FixtureRequest) -> Kind:
    """The kind that a fixture is for."""
    if isinstance(request.param, Kind):
        return request.param
    return postgres_kind(request.getfixturevalue("postgres"))


@pytest.fixture(params=KINDS, ids=kind_name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return kind_of(request)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output"


def is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


async def test_every_sample_of_a_block_is_stored_with_its_index_and_time(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write(block(0, 4))
        await sink.write(block(4, 3))
    rows = kind.samples(path)
    assert [row["sample_index"] for row in rows] == list(range(7))
    assert [row["t_mono_ns"] for row in rows] == [10**9 + i * 10**6 for i in range(7)]
    assert [row["a"] for row in rows] == [float(i) for i in range(7)]
    assert [row["b"] for row in rows] == [1000.0 + i for i in range(7)]


async def test_readings_are_stored_with_their_times_and_units(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write_many([reading(0), reading(1)])
        await sink.write_many([reading(2)])
    rows = kind.readings(path)
    assert [row["ch0"] for row in rows] == [0.0, 1.0, 2.0]
    assert [row["sample_index"] for row in rows] == [0, 1, 2]
    assert [row["t_mono_ns"] for row in rows] == [0, 10**9, 2 * 10**9]
    assert {(row["device"], row["task"], row["ch0_unit"]) for row in rows} == {("dev", "task", "V")}
    assert all(is_null(row["error_type"]) for row in rows)


async def test_what_a_write_has_taken_is_in_the_file_before_the_close(kind: Kind, path: Path) -> None:
    if kind.name == "parquet":
        pytest.skip("its committed rows lie in the tail until a row group is full; see the kills")
    sink = kind.sink(path)
    await sink.open()
    await sink.write(block())
    assert len(kind.samples(path)) == 4
    await sink.close()


async def test_unknown_columns_are_dropped_with_one_warning_that_names_them(
    kind: Kind, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with kind.sink(path) as sink:
            await sink.write(block(0))
            await sink.write(block(4, channels=("b", "surplus", "a")))
            await sink.write(block(8, channels=("surplus", "other")))
    said = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert len(said) == 2
    assert "surplus" in said[0]
    assert "other" in said[1]
    rows = kind.samples(path)
    assert [row["a"] for row in rows[4:8]] == [2004.0, 2005.0, 2006.0, 2007.0]
    assert all("surplus" not in row for row in rows)
    assert all(is_null(row["a"]) and is_null(row["b"]) for row in rows[8:])


async def test_unknown_channels_of_readings_are_dropped_and_missing_ones_are_null(
    kind: Kind, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with kind.sink(path) as sink:
            await sink.write_many([reading(0, {"x": 1}), reading(1, {"y": 2.5})])
            await sink.write_many([reading(2, {"x": 3, "late": 1.0}), reading(3, {"late": 2.0})])
    said = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert len(said) == 1
    assert "late" in said[0]
    rows = kind.readings(path)
    assert [None if is_null(row["x"]) else row["x"] for row in rows] == [1.0, None, 3.0, None]
    assert [None if is_null(row["y"]) else row["y"] for row in rows] == [None, 2.5, None, None]


async def test_a_channel_that_changes_its_unit_is_refused(kind: Kind, path: Path) -> None:
    async with kind.sink(path) as sink:
        await sink.write(block(0))
        with pytest.raises(SinkSchemaError, match="mV"):
            await sink.write(block(4, units={"a": "mV", "b": "V"}))
        await sink.write(block(4))
    assert len(kind.samples(path)) == 8


async def test_a_hole_between_two_blocks_is_a_gap_in_the_output(path: Path) -> None:
    async with SqliteSink(path) as sink:
        await sink.write(block(0))
        await sink.write(block(10))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT start, stop, cause FROM gaps").fetchall() == [(4, 10, "policy_drop")]


async def test_one_database_holds_readings_and_blocks_and_both_in_any_order(tmp_path: Path) -> None:
    for name, blocks_first in (("blocks.db", True), ("readings.db", False)):
        path = tmp_path / name
        async with SqliteSink(path) as sink:
            if blocks_first:
                await sink.write(block(0))
            await sink.write_many([reading(0)])
            await sink.write(block(4))
            await sink.write_many([reading(1)])
        assert [row["ch0"] for row in sqlite_rows(path, "readings")] == [0.0, 1.0]
        assert len(sqlite_rows(path, "samples")) == 4 + 4 * blocks_first


async def test_a_file_holds_readings_or_blocks(kind: Kind, path: Path) -> None:
    if kind.name in ("sqlite", "postgres"):
        return
    async with kind.sink(path) as sink:
        await sink.write_many([reading(0)])
        with pytest.raises(SinkSchemaError, match="cannot mix"):
            await sink.write(block(0))
        await sink.write_many([reading(1)])
    assert len(kind.readings(path)) == 2


async def test_a_second_recording_is_a_second_run_in_the_same_output(path: Path) -> None:
    async with SqliteSink(path) as sink:
        await sink.write(block(0))
        await sink.write(block(0))
    assert [(row["run"], row["sample_index"]) for row in sqlite_rows(path, "samples")] == [
        (run, index) for run in (1, 2) for index in range(4)
    ]


async def test_what_is_there_is_not_touched_unless_it_is_asked_for(kind: Kind, path: Path) -> None:
    if kind.name == "postgres":
        pytest.skip("a database takes any number of runs")
    async with kind.sink(path) as sink:
        await sink.write(block(0))
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="on_exists"):
        await kind.sink(path).open()
    assert path.read_bytes() == before
    async with kind.sink(path, on_exists="rename") as sink:
        await sink.write(block(0, 2))
    assert path.with_name("output.1").read_bytes() == before
    assert len(kind.samples(path)) == 2
    async with kind.sink(path, on_exists="overwrite") as sink:
        await sink.write(block(0, 3))
    assert len(kind.samples(path)) == 3
    if kind.name != "parquet":
        async with kind.sink(path, on_exists="append") as sink:
            await sink.write(block(3, 2))
        assert [row["sample_index"] for row in kind.samples(path)] == list(range(5))


async def test_the_long_layout_has_the_seeds_columns(kind: Kind, path: Path) -> None:
    async with kind.sink(path, layout="long") as sink:
        await sink.write(block(0, 2, sensor_status={"b": block(0, 2).data[1].astype("int8") * 0 + 1}))
    rows = kind._rows(path, "samples_long")
    assert [(row["channel"], row["sample_index"], row["value"]) for row in rows[:2]] == [("a", 0, 0.0), ("a", 1, 1.0)]
    assert [row["error_type"] for row in rows[2:]] == ["sensor_open"] * 2
    assert all(is_null(row["value"]) for row in rows[2:])
    assert {(row["device"], row["task"], row["unit"]) for row in rows} == {("dev", "task", "V")}


async def test_csv_and_jsonl_refuse_blocks_unless_told_to_take_them(tmp_path: Path) -> None:
    for sink in (CsvSink(tmp_path / "a.csv"), JsonlSink(tmp_path / "a.jsonl")):
        async with sink:
            with pytest.raises(SinkError, match="accept_blocks=True"):
                await sink.write(block())


async def test_used_before_open_or_after_close_every_sink_says_so_in_one_family(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for make in (CsvSink, JsonlSink, SqliteSink, ParquetSink, RawCountsSink):
        sink = make(path)
        calls = [sink.write_raw(block())] if isinstance(sink, RawCountsSink) else [sink.write_many([reading()])]
        for call in calls:
            with pytest.raises(SinkNotOpen, match="before open") as caught:
                await call
            assert isinstance(caught.value, RuntimeError)
            assert caught.value.path == str(path)
        await sink.open()
        await sink.close()
        await sink.close()
        with pytest.raises(SinkNotOpen, match="after close"):
            await (sink.write_raw(block()) if isinstance(sink, RawCountsSink) else sink.write_many([reading()]))
    memory = InMemorySink()
    for refused in (memory.write(block()), memory.write_many([reading()])):
        with pytest.raises(SinkNotOpen, match="before open"):
            await refused


async def test_options_that_cannot_be_are_refused_where_they_are_given(tmp_path: Path) -> None:
    with pytest.raises(SinkOptionError, match="table_readings"):
        SqliteSink(tmp_path / "x.db", table_readings="bad name")
    with pytest.raises(SinkOptionError, match="sideways"):
        CsvSink(tmp_path / "x.csv", layout="sideways")
    with pytest.raises(SinkError, match="compression"):
        await ParquetSink(tmp_path / "x.parquet", compression="sand").open()


def test_the_sinks_are_of_the_protocols_that_the_guide_gives_them(tmp_path: Path) -> None:
    for sink in (CsvSink(tmp_path / "a"), JsonlSink(tmp_path / "a"), SqliteSink(tmp_path / "a"), InMemorySink()):
        assert isinstance(sink, ReadingSink)
        assert isinstance(sink, BlockSink)
        assert not isinstance(sink, RawBlockSink)
    assert isinstance(RawCountsSink(tmp_path / "a"), RawBlockSink)
    assert not isinstance(RawCountsSink(tmp_path / "a"), BlockSink)


async def test_the_table_of_blocks_has_a_row_a_block(path: Path) -> None:
    async with SqliteSink(path, table_blocks="pieces") as sink:
        await sink.write(block(0, 4))
        await sink.write(block(4, 4))
    rows = sqlite_rows(path, "pieces")
    assert [(row["block_index"], row["first_sample_index"], row["samples_per_channel"]) for row in rows] == [
        (0, 0, 4), (1, 4, 4),
    ]  # fmt: skip
    assert rows[0]["t_utc_ns"] == int(T0.timestamp()) * 10**9
