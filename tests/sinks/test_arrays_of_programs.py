"""Arrays as programs and drivers have them: masked values are no measurements, other shapes are refused in words."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from daq import block, reading

from dtopipe.errors import SinkSchemaError
from dtopipe.model.errors import SpecError
from dtopipe.sinks import CsvSink, JsonlSink, ParquetSink, RawCountsSink, SqliteSink

pytestmark = pytest.mark.anyio
MASKED = np.ma.masked_less(np.array([[1.0, 2.0, -9.0, 4.0], [5.0, -9.0, 7.0, 8.0]]), 0)


def duck(**other: Any) -> SimpleNamespace:
    """A block of another library: the same attributes, nothing checked."""
    whole = block()
    return SimpleNamespace(**{**{field.name: getattr(whole, field.name) for field in fields(whole)}, **other})


@pytest.mark.parametrize("made", [block, duck])
async def test_masked_values_are_null_in_every_output(made: Any, tmp_path: Path) -> None:
    given = made(data=MASKED, raw_codes=None)
    async with (
        CsvSink(tmp_path / "t.csv", accept_blocks=True) as table,
        JsonlSink(tmp_path / "t.jsonl", accept_blocks=True) as lines,
        SqliteSink(tmp_path / "t.db") as database,
        ParquetSink(tmp_path / "t.parquet") as columns,
    ):
        for sink in (table, lines, database, columns):
            await sink.write(given)
    wanted = MASKED.tolist()
    assert wanted == [[1.0, 2.0, None, 4.0], [5.0, None, 7.0, 8.0]]
    rows = [line.split(",") for line in (tmp_path / "t.csv").read_text().splitlines()[1:]]
    assert [[float(row[n]) if row[n] else None for row in rows] for n in (3, 4)] == wanted
    documents = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [[document[name] for document in documents] for name in "ab"] == wanted
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        assert [list(column) for column in zip(*connection.execute("SELECT a, b FROM samples"), strict=True)] == wanted
    stored = pq.read_table(tmp_path / "t.parquet")
    assert [stored[name].to_pylist() for name in "ab"] == wanted


async def test_a_masked_value_of_a_reading_is_null(tmp_path: Path) -> None:
    async with CsvSink(tmp_path / "t.csv") as sink:
        await sink.write_many([reading(0, {"ch0": 1.5}), reading(1, {"ch0": MASKED[0, 2]})])
    header, *rows = [line.split(",") for line in (tmp_path / "t.csv").read_text().splitlines()]
    assert [row[header.index("ch0")] for row in rows] == ["1.5", ""]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"data": [[1.0] * 4] * 2}, r"DaqBlock\.data is a list, and has to be a NumPy array .* numpy\.asarray"),
        ({"channels": ("a",), "data": np.zeros(4), "raw_codes": None}, r"shape \(4,\) .* array\[numpy\.newaxis, :\]"),
        ({"data": np.zeros((4, 2))}, r"shape \(4, 2\) does not match .* give array\.T"),
        ({"raw_codes": np.ma.masked_less(np.arange(8, dtype=np.int16).reshape(2, 4), 2)}, "raw_codes has masked"),
    ],
)
def test_other_arrays_are_refused_with_what_to_write(other: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        block(**other)


async def test_blocks_of_other_libraries_are_refused_in_the_same_words(tmp_path: Path) -> None:
    async with CsvSink(tmp_path / "t.csv", accept_blocks=True) as sink:
        with pytest.raises(SinkSchemaError, match=r"data shape \(4,\) does not match"):
            await sink.write(duck(channels=("a",), data=np.zeros(4)))
        await sink.write(duck(data=[[1.0] * 4, [2.0] * 4]))
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 5
    async with RawCountsSink(tmp_path / "t.dt-raw") as raw:
        with pytest.raises(SinkSchemaError, match=r"raw_codes shape \(4,\) does not match"):
            await raw.write_raw(duck(channels=("a",), raw_codes=np.zeros(4, np.int16)))
        with pytest.raises(SinkSchemaError, match="raw_codes has masked samples"):
            await raw.write_raw(duck(raw_codes=np.ma.masked_less(np.arange(8, dtype=np.int16).reshape(2, 4), 2)))
        await raw.write_raw(duck(raw_codes=np.ma.asarray(np.arange(8, dtype=np.int16).reshape(2, 4))))
