"""What the tools that people have read from our outputs: every one of them the same numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyfive
import pytest
from numpy.typing import NDArray
from postgres_server import PostgresServer
from recordings import block, blocks, gap, recorded

from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_writer

STREAM = recorded()
NAMES = [channel.name for channel in STREAM.channels]
SCHEMA = "other readers"
SAMPLES = "SELECT * FROM samples ORDER BY sample_index"
# (n,) times in ns and (n_channels, n) values, NaN for null.
Read = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Path:
    """One recording with a gap and a sensor that is not OK, in every kind of output."""
    folder = tmp_path_factory.mktemp("outputs")
    status = np.zeros((len(NAMES), 50), np.int8)
    status[1, 5:15] = 1
    special = block(STREAM, 450, 500, index=3, status=status)
    items: list[Block | Gap] = [*blocks(STREAM, 0, 300), gap(STREAM, 300, 450), special]
    for kind in ("csv", "hdf5", "jsonl", "sqlite", "parquet", "postgres"):
        options = {**postgres.options, "schema": SCHEMA} if kind == "postgres" else {}
        writer = load_writer(kind)(OutputOptions(folder / f"run.{kind}"), **options)
        writer.open(STREAM, 0, resume=False)
        writer.append(items)
        writer.close()
    return folder


def expected() -> Read:
    """By the definition of code, value and time."""
    values = EngineeringValues(STREAM.channels)
    parts = [*blocks(STREAM, 0, 300), block(STREAM, 450, 500)]
    data = np.concatenate([values(part.codes, None) for part in parts], axis=1)
    data[1, 305:315] = np.nan
    mono = np.concatenate([part.t_mono_ns(STREAM.clock) for part in parts])
    anchor = parts[0].anchor
    return mono, mono + (anchor.t_utc_ns - anchor.t_mono_ns), data


def of_pandas(frame: pd.DataFrame, utc: str = "t_utc") -> Read:
    times = frame[utc]
    if utc == "t_utc":
        times = pd.to_datetime(times, utc=True).astype("datetime64[ns, UTC]").astype("int64")
    return (
        frame["t_mono_ns"].to_numpy(np.int64),
        times.to_numpy(np.int64),
        np.stack([frame[name].to_numpy(np.float64, na_value=np.nan) for name in NAMES]),
    )


def of_polars(frame: pl.DataFrame) -> Read:
    times = frame["t_utc"]
    if times.dtype == pl.String:
        times = times.str.to_datetime(time_unit="ns", time_zone="UTC")
    return (
        frame["t_mono_ns"].to_numpy(),
        times.dt.epoch("ns").to_numpy(),
        np.stack([frame[name].cast(pl.Float64).to_numpy() for name in NAMES]),
    )


def of_duckdb(sql: str) -> Read:
    columns = ", ".join(f'"{name}"' for name in NAMES)
    with closing(duckdb.connect()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            f"SELECT t_mono_ns, epoch_ns(CAST(t_utc AS TIMESTAMP_NS)) AS t, {columns} FROM {sql} ORDER BY sample_index"
        ).fetchnumpy()
    return found["t_mono_ns"], found["t"], np.stack([_filled(found[name]) for name in NAMES])


def _filled(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nulls as NaN: duckdb gives a masked array where there are any."""
    filled: NDArray[np.float64] = np.ma.filled(np.ma.asarray(column, np.float64), np.nan)
    return filled


def of_sqlite(path: Path) -> Read:
    with closing(sqlite3.connect(path)) as connection:
        return of_pandas(pd.read_sql(SAMPLES, connection), "t_utc_ns")


def of_sqlite_alone(path: Path) -> Read:
    columns = ", ".join(f'"{name}"' for name in NAMES)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            f"SELECT t_mono_ns, t_utc_ns, {columns} FROM samples ORDER BY sample_index"
        ).fetchall()
    mono, utc, *values = zip(*rows, strict=True)
    return np.array(mono), np.array(utc), np.array(values, np.float64)


def of_sqlite_in_polars(path: Path) -> Read:
    with closing(sqlite3.connect(path)) as connection:
        frame = pl.read_database(SAMPLES, connection)
    return of_polars(frame.with_columns(pl.from_epoch("t_utc_ns", time_unit="ns").alias("t_utc")))


def of_hdf5(file: Any) -> Read:
    """Of any library's, by what every one of them has: datasets and attributes by their names."""
    channels = [file[f"channels/{name}"] for name in NAMES]
    frame = pd.DataFrame({name: rows[:] for name, rows in zip(NAMES, channels, strict=True)})
    values = (
        (frame * [rows.attrs["scale"] for rows in channels] + [rows.attrs["offset"] for rows in channels]).to_numpy().T
    )
    status = np.array([file[f"sensor_status/{name}"][:] for name in NAMES])
    values = np.where(status == 0, values, np.nan)
    return file["t_mono_ns"][:], file["t_utc_ns"][:], values


def of_h5py(path: Path) -> Read:
    with h5py.File(path) as file:
        return of_hdf5(file)


def of_pyfive(path: Path) -> Read:
    """A reader that shares no line with the library of HDF5."""
    with pyfive.File(str(path)) as file:
        return of_hdf5(file)


READERS: dict[str, Callable[[Path], Read]] = {
    "h5py": lambda folder: of_h5py(folder / "run.hdf5"),
    "pyfive": lambda folder: of_pyfive(folder / "run.hdf5"),
    "pandas csv": lambda folder: of_pandas(pd.read_csv(folder / "run.csv")),
    "pandas jsonl": lambda folder: of_pandas(
        pd.read_json(folder / "run.jsonl", lines=True, dtype=False, precise_float=True)
    ),
    "pandas parquet": lambda folder: of_pandas(pd.read_parquet(folder / "run.parquet")),
    "pandas sqlite": lambda folder: of_sqlite(folder / "run.sqlite"),
    "polars csv": lambda folder: of_polars(pl.read_csv(folder / "run.csv")),
    "polars jsonl": lambda folder: of_polars(pl.read_ndjson(folder / "run.jsonl")),
    "polars parquet": lambda folder: of_polars(pl.read_parquet(folder / "run.parquet")),
    "polars sqlite": lambda folder: of_sqlite_in_polars(folder / "run.sqlite"),
    "duckdb csv": lambda folder: of_duckdb(f"read_csv('{folder / 'run.csv'}', types={{'t_utc': 'TIMESTAMP_NS'}})"),
    "duckdb jsonl": lambda folder: of_duckdb(f"read_json('{folder / 'run.jsonl'}')"),
    "duckdb parquet": lambda folder: of_duckdb(f"'{folder / 'run.parquet'}'"),
    "sqlite3": lambda folder: of_sqlite_alone(folder / "run.sqlite"),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_finds_the_same_numbers(reader: str, outputs: Path) -> None:
    t_mono_ns, t_utc_ns, values = READERS[reader](outputs)
    wanted_mono, wanted_utc, wanted = expected()
    np.testing.assert_array_equal(t_mono_ns, wanted_mono)
    # A JSON reader that takes the texts for times knows microseconds only.
    step = 1000 if reader == "duckdb jsonl" else 1
    np.testing.assert_array_equal(t_utc_ns // step, wanted_utc // step)
    np.testing.assert_array_equal(values, wanted)


def test_psql_finds_the_same_numbers(outputs: Path, postgres: PostgresServer) -> None:
    columns = ", ".join(f'"{name}"' for name in NAMES)
    query = (
        "SET extra_float_digits = 3; "
        f"SELECT t_mono_ns, (extract(epoch FROM t_utc) * 1000000)::bigint, {columns}"
        f' FROM "{SCHEMA}".samples ORDER BY sample_index'
    )
    rows = [line.split("|") for line in postgres.psql(query).splitlines() if "|" in line]
    wanted_mono, wanted_utc, wanted = expected()
    assert [int(row[0]) for row in rows] == wanted_mono.tolist()
    # A timestamp of Postgres has microseconds.
    assert [int(row[1]) for row in rows] == (wanted_utc // 1000).tolist()
    values = np.array([[float(cell) if cell else np.nan for cell in row[2:]] for row in rows]).T
    np.testing.assert_array_equal(values, wanted)
