"""The SQLite output: its tables, its one file, and its manners among other programs."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import ANCHOR, AWKWARD_NAMES, block, blocks, codes_of, gap, recorded

from dtopipe.model.errors import OutputExists, OutputLocked, SinkError, SinkUnavailable
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.position import Position
from dtopipe.model.span import Cause
from dtopipe.model.stream import Channel, SensorStatus, Stream
from dtopipe.sinks.contract import OutputOptions, OutputReader
from dtopipe.sinks.sqlite.reader import SqliteReader
from dtopipe.sinks.sqlite.writer import SqliteWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@contextlib.contextmanager
def writing(
    path: Path, stream: Stream, layout: Layout = Layout.WIDE, on_exists: OnExists = OnExists.ERROR, **options: Any
) -> Iterator[SqliteWriter]:
    writer = SqliteWriter(OutputOptions(path, layout, on_exists), **options)
    writer.open(stream, 0, resume=False)
    try:
        yield writer
    finally:
        writer.abandon()


def written(path: Path, stream: Stream, n_samples: int = 250, **options: Any) -> None:
    with writing(path, stream, **options) as writer:
        writer.append(blocks(stream, 0, n_samples))
        writer.close()


def rows(path: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, parameters).fetchall()


def values_of(reader: OutputReader, channel: int) -> np.ndarray[Any, Any]:
    return np.concatenate([batch.values[channel] for batch in reader.batches()])


def test_a_run_is_one_row_that_says_what_it_is(path: Path) -> None:
    stream = recorded(simulated=True)
    written(path, stream)
    (run,) = rows(
        path,
        "SELECT run_id, task, device, started_at, rate_hz, simulated, metadata, start, committed, durable, samples,"
        " gap_samples, dropped, finished FROM runs",
    )
    assert run == (
        "run-1", "heat", "simulated", "2026-11-23T09:00:00Z", 1000.0, 1, '{"operator": "Zoë"}',
        0, 250, 250, 250, 0, 0, 1,
    )  # fmt: skip
    assert rows(path, "SELECT channel, name, unit, kind, scale, offset, range_low, range_high FROM channels") == [
        (number, name, "V", "voltage", 10 / 65536, 0.25, -5.0, 5.0) for number, name in enumerate(("flux", "tc1"))
    ]


def test_samples_stand_in_channel_units_at_the_times_of_the_sample_clock(path: Path) -> None:
    stream = recorded()
    written(path, stream)
    values = codes_of(2, 0, 250) * (10 / 65536) + 0.25
    assert rows(path, "SELECT * FROM samples ORDER BY rowid") == [
        (1, i, ANCHOR.t_mono_ns + i * 1_000_000, ANCHOR.t_utc_ns + i * 1_000_000, values[0, i], values[1, i])
        for i in range(250)
    ]


def test_raw_codes_are_integers_and_a_value_is_null_where_the_sensor_is_not_ok(path: Path) -> None:
    stream = recorded(kind="raw")
    mixed = replace(stream, channels=(stream.channels[0], Channel("volts", "V", scale=2.0)))
    status = np.zeros((2, 3), np.int8)
    status[:, 1] = SensorStatus.OPEN
    with writing(path, mixed) as writer:
        writer.append([block(mixed, 0, 3, status=status)])
        writer.close()
    (a, b), (c, d) = codes_of(2, 0, 3)[:, ::2].tolist()
    found = rows(path, 'SELECT flux, typeof(flux), volts, typeof(volts) FROM "samples"')
    assert found == [(a, "integer", 2.0 * c, "real"), (None, "null", None, "null"), (b, "integer", 2.0 * d, "real")]


def test_each_block_has_a_summary_row_and_one_a_channel(path: Path) -> None:
    stream = recorded(kind="raw")
    status = np.zeros((2, 50), np.int8)
    status[1] = SensorStatus.LOW
    with writing(path, stream) as writer:
        writer.append([*blocks(stream, 0, 14, 7), gap(stream, 14, 100), block(stream, 100, 150, status=status)])
        writer.close()
    t = ANCHOR.t_utc_ns
    columns = "block_index, first_sample_index, samples_per_channel, t_utc_ns"
    assert rows(path, f"SELECT {columns} FROM blocks ORDER BY rowid") == [
        (0, 0, 7, t),
        (1, 7, 7, t + 7_000_000),
        (1, 100, 50, t + 100_000_000),
    ]
    codes = codes_of(2, 7, 14)[1]
    sql = "SELECT n_values, min, max, mean FROM block_stats WHERE channel = 1 AND first_sample_index = ?"
    assert rows(path, sql, 7) == [(7, codes.min(), codes.max(), codes.mean())]
    assert rows(path, sql, 100) == [(0, None, None, None)]


def test_gaps_are_committed_with_the_data_that_follows_them(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append([block(stream, 0, 10), gap(stream, 10, 30), gap(stream, 30, 35, Cause.POLICY_DROP)])
        assert writer.commit() == Position(0, 35, 0, 10, 25, 5)
        writer.close()
    reader = SqliteReader(path)
    assert reader.gaps() == [gap(stream, 10, 30), gap(stream, 30, 35, Cause.POLICY_DROP)]
    assert reader.position() == Position(0, 35, 35, 10, 25, 5)


def test_the_long_layout_has_the_columns_of_the_contract(path: Path) -> None:
    stream = recorded(("a", "b"))
    status = np.zeros((2, 5), np.int8)
    status[1, 2] = SensorStatus.HIGH
    with writing(path, stream, Layout.LONG) as writer:
        writer.append([block(stream, 0, 5, index=8, status=status)])
        writer.close()
    names = [row[1] for row in rows(path, "PRAGMA table_info(samples_long)")]
    assert names == [
        "run", "device", "task", "channel", "block_index", "sample_index", "t_mono_ns", "t_utc_ns", "value", "unit",
        "error_type", "error_message",
    ]  # fmt: skip
    bad = rows(path, "SELECT channel, block_index, value, error_type IS NULL FROM samples_long WHERE value IS NULL")
    assert bad == [("b", 8, None, 0)]
    assert rows(path, "SELECT count(*) FROM samples_long WHERE error_type IS NULL") == [(9,)]


@pytest.mark.parametrize("layout", list(Layout))
def test_awkward_channel_names_come_out_unharmed(path: Path, layout: Layout) -> None:
    stream = recorded(AWKWARD_NAMES)
    written(path, stream, layout=layout)
    assert [name for (name,) in rows(path, "SELECT name FROM channels ORDER BY channel")] == list(AWKWARD_NAMES)
    found = {
        batch.channel if batch.channel is not None else number: values
        for batch in SqliteReader(path).batches()
        for number, values in enumerate(batch.values)
    }
    wanted = codes_of(len(AWKWARD_NAMES), 0, 250) * (10 / 65536) + 0.25
    assert sorted(found) == list(range(len(AWKWARD_NAMES)))
    for number, values in found.items():
        np.testing.assert_array_equal(values, wanted[number])


@pytest.mark.parametrize(
    ("names", "culprit"),
    [
        (("tc1", "TC1"), "'tc1'"),
        (("a", "Sample_Index"), "fixed column"),
        (("a\0b",), "NUL"),
        (("\ud800",), "Unicode"),
        (("RowID",), "a row"),
    ],
)
def test_names_that_cannot_be_columns_are_refused_before_anything_is_made(
    path: Path, names: tuple[str, ...], culprit: str
) -> None:
    with pytest.raises(SinkError, match=culprit):
        SqliteWriter(OutputOptions(path)).open(recorded(names), 0, resume=False)
    assert list(path.parent.iterdir()) == []


def test_letters_that_sqlite_tells_apart_are_not_refused(path: Path) -> None:
    written(path, recorded(("ä", "Ä")))
    assert len(rows(path, 'SELECT "ä", "Ä" FROM samples')) == 250


@pytest.mark.parametrize(
    "options",
    [
        {"journal_mode": "MEMORY"},
        {"synchronous": "sometimes; DROP TABLE runs"},
        {"busy_timeout_ms": -1},
        {"table_blocks": "Samples"},
        {"table_readings": "blocks"},
    ],
)
def test_options_that_sqlite_does_not_know_or_that_risk_data_are_refused(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(SinkError):
        SqliteWriter(OutputOptions(path), **options)


@pytest.mark.parametrize("journal_mode", ["WAL", "delete"])
def test_what_is_closed_is_one_plain_file(path: Path, journal_mode: str) -> None:
    written(path, recorded(), journal_mode=journal_mode)
    assert sorted(file.name for file in path.parent.iterdir()) == ["run.db", "run.db.dtopipe"]
    assert rows(path, "PRAGMA journal_mode") == [("delete",)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_lock_of_another_program_is_waited_for_then_reported_and_breaks_nothing(path: Path) -> None:
    stream = recorded()
    with writing(path, stream, busy_timeout_ms=50) as writer:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.append(blocks(stream, 0, 100))
            for _ in range(2):
                with pytest.raises(SinkUnavailable, match="another program"):
                    writer.commit()
            with pytest.raises(OutputLocked), writing(path, stream, on_exists=OnExists.APPEND):
                pass
        assert writer.commit().committed == 100
        writer.append(blocks(stream, 100, 200))
        assert writer.close().samples == 200
    np.testing.assert_array_equal(values_of(SqliteReader(path), 1), codes_of(2, 0, 200)[1] * (10 / 65536) + 0.25)


def test_a_mark_that_somebody_else_moved_is_not_moved_again(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append(blocks(stream, 0, 100))
        rows_before = rows(path, "SELECT count(*) FROM samples")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE runs SET committed = 7")
        with pytest.raises(SinkError, match="another writer"):
            writer.commit()
        assert rows(path, "SELECT count(*) FROM samples") == rows_before


def test_a_sync_between_append_and_commit_makes_only_the_committed_durable(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append(blocks(stream, 0, 100))
        writer.commit()
        writer.append([*blocks(stream, 100, 200), gap(stream, 200, 250)])
        assert writer.sync() == Position(0, 100, 100, 100)
        assert writer.commit() == Position(0, 250, 100, 200, 50)
        assert writer.close() == Position(0, 250, 250, 200, 50)


def test_what_is_not_committed_is_not_in_the_file(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append(blocks(stream, 0, 100))
        writer.commit()
        writer.append(blocks(stream, 100, 200))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*), max(sample_index) FROM samples").fetchone() == (100, 99)
    successor = SqliteWriter(OutputOptions(path))
    assert successor.open(stream, 0, resume=True).committed == 100
    successor.append(blocks(stream, 100, 300))
    assert successor.close() == Position(0, 300, 300, 300)
    np.testing.assert_array_equal(values_of(SqliteReader(path), 0), codes_of(2, 0, 300)[0] * (10 / 65536) + 0.25)


def test_a_run_that_an_earlier_version_began_gets_the_tables_that_it_lacks(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        writer.append(blocks(stream, 0, 100))
        writer.commit()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE null_ranges")
    successor = SqliteWriter(OutputOptions(path))
    assert successor.open(stream, 0, resume=True).committed == 100
    status = np.full((2, 20), SensorStatus.OK, np.int8)
    status[0, 5:9] = SensorStatus.OPEN
    successor.append([block(stream, 100, 120, status=status)])
    assert successor.close() == Position(0, 120, 120, 120)
    assert rows(path, "SELECT channel, start, stop, samples FROM null_ranges") == [(0, 105, 109, 4)]


def test_append_is_a_new_run_in_the_same_tables_and_adds_the_columns_that_are_absent(path: Path) -> None:
    first, second = recorded(("a", "b")), recorded(("b", "c"), run_id="run-2")
    written(path, first, 20)
    written(path, second, 10, on_exists=OnExists.APPEND)
    assert rows(path, "SELECT run, run_id, samples FROM runs") == [(1, "run-1", 20), (2, "run-2", 10)]
    assert rows(path, "SELECT run, count(a), count(b), count(c) FROM samples GROUP BY run") == [
        (1, 20, 20, 0),
        (2, 0, 10, 10),
    ]
    for stream, n_samples in ((first, 20), (second, 10)):
        reader = SqliteReader(path, stream.run_id)
        assert reader.position().samples == n_samples
        np.testing.assert_array_equal(values_of(reader, 1), codes_of(2, 0, n_samples)[1] * (10 / 65536) + 0.25)
    assert SqliteReader(path).position().samples == 10


@pytest.mark.parametrize(
    ("channel", "message"), [(Channel("a", "mV"), "'mV'"), (Channel("A", "V"), "'A'")], ids=["unit", "case"]
)
def test_append_refuses_a_column_with_two_meanings(path: Path, channel: Channel, message: str) -> None:
    written(path, recorded(("a",)))
    before = path.read_bytes()
    with pytest.raises(SinkError, match=message):
        written(path, replace(recorded(), channels=(channel,), run_id="run-2"), on_exists=OnExists.APPEND)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT run_id FROM runs").fetchall() == [("run-1",)]
    assert len(before) == path.stat().st_size


def test_a_database_of_somebody_else_is_not_appended_to(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE runs (distance REAL)")
    with pytest.raises(SinkError, match="not one of ours"):
        written(path, recorded(), on_exists=OnExists.APPEND)
    path.unlink()
    path.write_text("no database, but a long enough text to be looked at\n" * 100)
    with pytest.raises(SinkError, match="not a SQLite file"):
        written(path, recorded(), on_exists=OnExists.APPEND)


def killed_with_rows_in_its_log(path: Path) -> None:
    """A database whose last rows are only in its -wal."""
    program = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('UPDATE runs SET committed = 251, samples = 251')\n"
        "os._exit(0)\n"
    )
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert Path(f"{path}-wal").stat().st_size > 0


@pytest.mark.parametrize(("on_exists", "there"), [(OnExists.RENAME, 251), (OnExists.OVERWRITE, None)])
def test_the_log_of_a_killed_run_goes_where_its_database_goes(
    path: Path, on_exists: OnExists, there: int | None
) -> None:
    written(path, recorded())
    killed_with_rows_in_its_log(path)
    written(path, recorded(), 30, on_exists=on_exists)
    assert SqliteReader(path).position().samples == 30
    aside = path.with_name("run.1.db")
    assert (SqliteReader(aside).position().samples if aside.exists() else None) == there
    assert not Path(f"{path}-wal").exists()


def test_an_output_that_exists_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(OutputExists):
        written(path, recorded())
    assert path.read_text() == "precious"


def test_the_reader_finds_rows_that_are_only_in_the_log_and_writes_nothing(path: Path) -> None:
    written(path, recorded())
    killed_with_rows_in_its_log(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert SqliteReader(path).position().samples == 251
    assert len(values_of(SqliteReader(path), 0)) == 250
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_the_reader_needs_no_right_to_write(path: Path) -> None:
    written(path, recorded())
    shutil.copyfile(path, path.parent / "copy.db")
    (path.parent / "copy.db").chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert SqliteReader(path.parent / "copy.db").position().samples == 250
    finally:
        path.parent.chmod(0o700)


def test_a_run_in_progress_can_be_read_beside_its_writer(path: Path) -> None:
    stream = recorded()
    with writing(path, stream) as writer:
        for stop in (100, 200, 300):
            writer.append(blocks(stream, stop - 100, stop))
            writer.commit()
            assert SqliteReader(path).position().committed == stop
            assert len(values_of(SqliteReader(path), 0)) == stop
        writer.close()


@pytest.mark.parametrize("content", [None, b"", b"no database\n" * 100])
def test_what_is_no_output_of_ours_is_refused_by_the_reader(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SinkError):
        SqliteReader(path).position()


def rows_of_the_file_alone(path: Path, aside: Path) -> int:
    """As somebody finds who copies it without its log."""
    aside.write_bytes(path.read_bytes())
    with contextlib.closing(sqlite3.connect(aside)) as connection:
        (n_rows,) = connection.execute("SELECT count(*) FROM samples").fetchone()
        return int(n_rows)


def test_a_file_that_a_reader_keeps_from_being_whole_is_waited_for(path: Path, tmp_path: Path) -> None:
    stream = recorded()
    writer = SqliteWriter(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 100))
    writer.commit()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM samples").fetchone() == (100,)
        writer.append(blocks(stream, 100, 250))
        with pytest.raises(SinkUnavailable, match="the last rows are in its -wal alone") as raised:
            writer.close()
        assert "copy the file together with its -wal" in raised.value.remedy
        reader.execute("COMMIT")
    assert writer.close().committed == 250
    assert writer.remark == ""
    assert rows_of_the_file_alone(path, tmp_path / "copy.db") == 250
    assert not Path(f"{path}-wal").exists()


def test_a_program_that_only_has_it_open_keeps_no_row_from_the_file(path: Path, tmp_path: Path) -> None:
    stream = recorded()
    writer = SqliteWriter(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as viewer:
        assert viewer.execute("SELECT count(*) FROM samples").fetchone() == (0,)
        writer.append(blocks(stream, 0, 250))
        assert writer.close().committed == 250
        assert "another program has it open" in writer.remark
        assert rows_of_the_file_alone(path, tmp_path / "copy.db") == 250
