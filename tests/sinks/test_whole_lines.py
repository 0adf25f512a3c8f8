"""A CSV or JSON Lines output shows whole lines at any instant: no short line lies across two pages of its file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.csv
import pytest
from recordings import block, blocks, codes_of, polled, readings, recorded

from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.stream import SensorStatus, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.text.csv import CsvWriter
from dtopipe.sinks.text.csv_reader import CsvReader
from dtopipe.sinks.text.delimited import DelimitedWriter
from dtopipe.sinks.text.jsonl import JsonlWriter
from dtopipe.sinks.text.jsonl_reader import JsonlReader

PAGE = 4096
NAMES = ("a", "b", "c")
KINDS: dict[str, tuple[type[DelimitedWriter], Any]] = {
    "csv": (CsvWriter, CsvReader),
    "jsonl": (JsonlWriter, JsonlReader),
}


def written(path: Path, stream: Stream, items: list[Any], layout: Layout = Layout.WIDE, **options: Any) -> bytes:
    writer = KINDS[path.suffix[1:]][0](OutputOptions(path, layout, **options))
    writer.open(stream, 0, resume=False)
    for item in items:
        writer.append([item])
        writer.commit()
    writer.close()
    return path.read_bytes()


def cut_lines(data: bytes) -> int:
    """How many pages end in the middle of a line."""
    return sum(data[at - 1 : at] != b"\n" for at in range(PAGE, len(data), PAGE))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
@pytest.mark.parametrize("channel", ["voltage", "raw"])
def test_no_line_lies_across_two_pages(kind: str, layout: Layout, dtype: str, channel: str, tmp_path: Path) -> None:
    stream = recorded(NAMES, kind=channel, dtype=dtype)
    status = np.zeros((3, 170), np.int8)
    status[:, 20:160] = SensorStatus.OPEN
    items = [*blocks(stream, 0, 1500, 170)[:-1], block(stream, 1360, 1530, status=status)]
    path = tmp_path / f"out.{kind}"
    data = written(path, stream, items, layout)
    # Whole numbers are not touched while readers tell types by them.
    n_first = 100 if (kind, channel) == ("csv", "raw") else 0
    assert cut_lines(data) == cut_lines(b"".join(data.splitlines(keepends=True)[: n_first * 4]))
    codes = codes_of(3, 0, 1530, dtype).astype(float)
    values = codes if channel == "raw" else codes * (10 / 65536) + 0.25
    values[:, 1380:1520] = np.nan
    found: list[list[float]] = [[], [], []]
    for rows in KINDS[kind][1](path).batches():
        for number, column in enumerate(rows.values):
            found[number if rows.channel is None else rows.channel] += column.tolist()
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("channel", ["voltage", "raw"])
def test_every_reader_has_the_same_numbers_in_columns_of_numbers(channel: str, tmp_path: Path) -> None:
    stream = recorded(NAMES, kind=channel)
    data = written(path := tmp_path / "out.csv", stream, blocks(stream, 0, 3000))
    assert cut_lines(data) <= (4 if channel == "raw" else 0)
    with duckdb.connect() as connection:
        in_duckdb = connection.execute(f"SELECT * FROM '{path}'").fetchnumpy()
    frames: list[Any] = [pd.read_csv(path), pl.read_csv(path), pyarrow.csv.read_csv(path), in_duckdb]
    wanted = codes_of(3, 0, 3000) * ((10 / 65536) if channel == "voltage" else 1) + (
        0.25 if channel == "voltage" else 0
    )
    for frame in frames:
        assert np.asarray(frame["sample_index"]).tolist() == list(range(3000))
        assert np.asarray(frame["t_mono_ns"]).dtype == np.int64
        for number, name in enumerate(NAMES):
            assert np.asarray(frame[name]).dtype == (np.int64 if channel == "raw" else np.float64)
            np.testing.assert_allclose(np.asarray(frame[name]), wanted[number], rtol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_are_the_same_bytes_however_many_are_written_at_a_time(kind: str, tmp_path: Path) -> None:
    stream = recorded(NAMES)
    some = written(tmp_path / f"a.{kind}", stream, blocks(stream, 0, 2000, 7))
    many = written(tmp_path / f"b.{kind}", stream, blocks(stream, 0, 2000, 1000))
    assert some == many
    resumed = KINDS[kind][0](OutputOptions(tmp_path / f"c.{kind}"))
    resumed.open(stream, 0, resume=False)
    resumed.append(blocks(stream, 0, 700))
    resumed.commit()
    resumed.append(blocks(stream, 700, 900))
    resumed.abandon()
    resumed = KINDS[kind][0](OutputOptions(tmp_path / f"c.{kind}"))
    resumed.open(stream, 0, resume=True)
    resumed.append(blocks(stream, 700, 2000))
    resumed.close()
    assert (tmp_path / f"c.{kind}").read_bytes() == some


@pytest.mark.parametrize("kind", KINDS)
def test_an_appended_run_and_readings_have_whole_lines_too(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    path.write_bytes(b"")
    written(path, recorded(NAMES), blocks(recorded(NAMES), 0, 333), on_exists=OnExists.OVERWRITE)
    second = recorded(NAMES, run_id="run-2")
    assert cut_lines(written(path, second, blocks(second, 0, 777), on_exists=OnExists.APPEND)) == 0
    stream = polled(NAMES)
    given = readings(stream, 0, 300)
    errors = ["an error", 'said "no"'] * 150
    data = written(tmp_path / f"polled.{kind}", stream, [replace(given, columns=(*given.columns[:-1], errors))])
    assert cut_lines(data) == 0
    if kind == "jsonl":
        assert len([json.loads(line) for line in data.splitlines()]) == 300
    else:
        assert pd.read_csv(tmp_path / "polled.csv")["sample_index"].tolist() == list(range(300))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_channels", [40, 100, 130])
def test_long_lines_are_whole_too_as_far_as_a_page_has_one(kind: str, n_channels: int, tmp_path: Path) -> None:
    stream = recorded(tuple(f"c{number}" for number in range(n_channels)))
    assert cut_lines(written(tmp_path / f"out.{kind}", stream, blocks(stream, 0, 300))) == 0


@pytest.mark.parametrize("channel", ["voltage", "raw"])
def test_names_in_quotes_are_no_hindrance(channel: str, tmp_path: Path) -> None:
    stream = recorded(("a,b", 'in "quotes"', '"', "日本語"), kind=channel)
    data = written(path := tmp_path / "out.csv", stream, blocks(stream, 0, 500), Layout.LONG)
    assert cut_lines(data) <= (8 if channel == "raw" else 0)
    with duckdb.connect() as connection:
        in_duckdb = connection.execute(f"SELECT * FROM '{path}'").fetchnumpy()
    for frame in (pd.read_csv(path), pl.read_csv(path), pyarrow.csv.read_csv(path), in_duckdb):
        assert np.asarray(frame["block_index"]).dtype == np.int64
        assert set(np.asarray(frame["channel"]).tolist()) == {each.name for each in stream.channels}
        assert sorted(np.asarray(frame["sample_index"]).tolist()) == sorted(4 * list(range(500)))


def test_lines_that_are_too_long_for_it_stand_as_they_come(tmp_path: Path) -> None:
    stream = recorded(tuple(f"channel {number}" for number in range(300)))
    data = written(tmp_path / "out.csv", stream, blocks(stream, 0, 50))

    header, *rows = data.splitlines()
    assert header.count(b",") == 302
    assert all(row.count(b",") == 302 for row in rows)


def test_a_text_with_a_line_break_is_left_alone(tmp_path: Path) -> None:
    stream = recorded(("new\nline", 'quo"te'))
    written(path := tmp_path / "out.csv", stream, blocks(stream, 0, 500), Layout.LONG)
    found = list(CsvReader(path).batches())
    assert sum(len(rows.sample_index) for rows in found) == 1000
    assert "new\nline" in path.read_text()
    assert not any(math.isnan(value) for rows in found for value in rows.values[0])
