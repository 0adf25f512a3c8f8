"""Readings in SQLite tables: beside blocks in one run, and beside other runs' readings in one table."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from recordings import block, blocks, gap, polled, readings, recorded

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.sqlite.reader import SqliteReader
from dtopipe.sinks.sqlite.writer import SqliteWriter


def rows(path: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def columns(path: Path, table: str) -> list[str]:
    return [row[1] for row in rows(path, f"PRAGMA table_info({table})")]


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("first", ["blocks", "readings"])
def test_one_run_takes_blocks_and_readings_and_those_it_began_with_move_its_position(
    tmp_path: Path, first: str, layout: Layout
) -> None:
    path = tmp_path / "run.db"
    of_blocks, of_readings = recorded(("a", "b")), polled(("a", "device"))
    streams = [of_blocks, of_readings] if first == "blocks" else [of_readings, of_blocks]
    writer = SqliteWriter(OutputOptions(path, layout))
    writer.open(streams[0], 0, resume=False)
    writer.append(blocks(of_blocks, 0, 100) if first == "blocks" else [readings(of_readings, 0, 10)])
    writer.admit(streams[1])
    writer.admit(streams[1])
    writer.append([readings(of_readings, 0, 10)] if first == "blocks" else blocks(of_blocks, 0, 100))
    writer.append([gap(of_blocks, 100, 130), readings(of_readings, 10, 25), block(of_blocks, 130, 150)])
    final = writer.close()
    assert final == (Position(0, 150, 150, 120, 30, 0) if first == "blocks" else Position(0, 25, 25, 25, 0, 0))
    table, per_sample = ("samples", 1) if layout is Layout.WIDE else ("samples_long", 2)
    assert rows(path, f"SELECT count(*) FROM {table}") == [(120 * per_sample,)]
    assert rows(path, "SELECT count(*), min(sample_index), max(sample_index) FROM readings") == [(25, 0, 24)]
    assert rows(path, "SELECT start, stop FROM gaps") == [(100, 130)]
    assert rows(path, "SELECT in_table, channel, name, scale FROM channels ORDER BY in_table DESC, channel") == [
        (table, 0, "a", 10 / 65536), (table, 1, "b", 10 / 65536),
        ("readings", 0, "a", 10 / 65536), ("readings", 1, "device", 10 / 65536),
    ]  # fmt: skip
    read = sum(len(batch.sample_index) * len(batch.values) for batch in SqliteReader(path).batches())
    assert read == 2 * (120 if first == "blocks" else 25)


def test_a_run_may_be_appended_whose_readings_have_other_channels(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for number, names in enumerate((("a",), ("b", "a"), ())):
        stream = polled(names, run_id=f"run-{number}")
        writer = SqliteWriter(OutputOptions(path, on_exists=OnExists.APPEND))
        writer.open(stream, 0, resume=False)
        writer.append([readings(stream, 0, 3)])
        writer.close()
    assert rows(path, "SELECT run, sample_index, a, a_unit, b FROM readings ORDER BY rowid") == [
        (1, 0, 0.0, None, None), (1, 1, 0.1, "µV", None), (1, 2, 0.2, "µV", None),
        (2, 0, 1.0, None, 0.0), (2, 1, 1.1, "µV", 0.1), (2, 2, None, "µV", 0.2),
        (3, 0, None, None, None), (3, 1, None, None, None), (3, 2, None, None, None),
    ]  # fmt: skip
    assert [[len(batch.values) for batch in SqliteReader(path, f"run-{n}").batches()] for n in range(3)] == [
        [1], [2], [0],
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "why"), [("A", "one name"), ("a_unit", "something else")])
def test_a_column_never_holds_two_things(tmp_path: Path, name: str, why: str) -> None:
    path = tmp_path / "run.db"
    writer = SqliteWriter(OutputOptions(path))
    writer.open(polled(("a",)), 0, resume=False)
    writer.close()
    before = columns(path, "readings")
    with pytest.raises(SinkError, match=why) as refused:
        SqliteWriter(OutputOptions(path, on_exists=OnExists.APPEND)).open(
            polled((name,), run_id="run-2"), 0, resume=False
        )
    assert refused.value.remedy
    assert columns(path, "readings") == before


def test_the_table_of_readings_may_be_called_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    stream = polled()
    writer = SqliteWriter(OutputOptions(path), table_readings="slow")
    writer.open(stream, 0, resume=False)
    writer.append([readings(stream, 0, 5)])
    writer.close()
    assert rows(path, "SELECT count(*), count(flux) FROM slow") == [(5, 4)]
    assert sum(len(batch.sample_index) for batch in SqliteReader(path).batches()) == 5


def test_a_text_that_is_none_any_more_is_damage_and_the_rows_about_it_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    stream = polled(("a", "device"))
    writer = SqliteWriter(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    writer.append([readings(stream, 0, 50)])
    writer.close()
    text = columns(path, "readings")[-1]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE readings SET {text} = CAST(x'DAFF' AS TEXT) WHERE sample_index = 20")
        connection.commit()
    damage: list[str] = []
    reader = SqliteReader(path)
    found = [int(index) for rows in reader.readings(damage.append) for index in range(rows.span.start, rows.span.stop)]
    assert found == [*range(20), *range(21, 50)]
    assert len(damage) == 1
    assert "rows 21 to 21 of table readings cannot be read" in damage[0]


def test_a_schema_that_is_no_text_any_more_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    stream = polled(("a", "device"))
    writer = SqliteWriter(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    writer.append([readings(stream, 0, 50)])
    writer.close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE \xdaABLE"))
    with pytest.raises(SinkError, match="cannot be read"):
        SqliteReader(path).position()
