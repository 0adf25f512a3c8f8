"""What is noted of a run is in its outputs once, however often a writer is told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer
from recordings import ANCHOR, blocks, gap, polled, readings, recorded

from dtopipe.boards.recording import Recording
from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.readings import Readings
from dtopipe.sinks.contract import InstrumentsWriter, MarkedReader, NotingWriter, OutputOptions
from dtopipe.sinks.hbuf.reader import HbufReader
from dtopipe.sinks.hbuf.writer import HbufWriter
from dtopipe.sinks.postgres.reader import PostgresReader
from dtopipe.sinks.postgres.writer import PostgresWriter
from dtopipe.sinks.registry import load_reader, load_writer
from dtopipe.sinks.sqlite.reader import SqliteReader
from dtopipe.sinks.sqlite.writer import SqliteWriter
from dtopipe.tools.replay_raw import iter_blocks
from dtopipe.verify.raw_source import RawSource
from dtopipe.wire.dtraw_notes import notes_at_end

FILES = ("sqlite", "parquet", "hdf5", "hbuf")
MARKS = [
    Mark(
        number, label, 100 * number, ANCHOR.t_mono_ns + number, ANCHOR.t_utc_ns + number, text, "ada@lab",
        ANCHOR.t_utc_ns + 2 * number,
    )
    for number, label, text in ((1, "Zündung", ""), (2, "valve", "half\nopen"), (3, '{"seq": 0, "notes"', "\\"))
]  # fmt: skip
METADATA = {"sample": "A8", "nested": {"x": [1, None, "ä"]}}


def _balance(number: int, mass: float | None = 1.5, **values: float) -> InstrumentReading:
    return InstrumentReading(
        number, "balance", number, ANCHOR.t_mono_ns + number, ANCHOR.t_utc_ns + number * 1000,
        {"mass": mass, **values}, {"mass": "g"},
    )  # fmt: skip


def _writer(kind: str, path: Path, **options: Any) -> Any:
    writer = load_writer(kind)(OutputOptions(path), **options)
    assert isinstance(writer, NotingWriter)
    return writer


def _marks(kind: str, path: Path) -> list[Mark]:
    reader = load_reader(kind)(path, run_id="run-1")
    assert isinstance(reader, MarkedReader)
    return list(reader.marks())


@pytest.mark.parametrize("kind", FILES)
def test_marks_and_metadata_are_there_once_whoever_tells_them_again(kind: str, tmp_path: Path) -> None:
    path, stream = tmp_path / "out", recorded()
    writer = _writer(kind, path)
    writer.open(stream, 0, resume=False)
    writer.note(MARKS[:1], None)
    writer.append(blocks(stream, 0, 300))
    writer.commit()
    writer.note([*MARKS[1:], MARKS[0]], METADATA)
    writer.abandon()

    successor = _writer(kind, path)
    assert successor.open(stream, 0, resume=True).committed == 300
    successor.note(MARKS, METADATA)
    successor.append(blocks(stream, 300, 400))
    successor.commit()
    successor.note(MARKS, None)
    assert successor.close().samples == 400
    assert _marks(kind, path) == MARKS
    reader = load_reader(kind)(path, run_id="run-1")
    assert sum(len(rows.sample_index) for rows in reader.batches()) == 400
    told: Any = reader
    assert {key: told.stream().metadata[key] for key in METADATA} == METADATA


@pytest.mark.parametrize("kind", FILES)
def test_a_run_of_which_nothing_was_noted_is_as_ever(kind: str, tmp_path: Path) -> None:
    stream = recorded()
    for name in ("told", "as ever"):
        writer = _writer(kind, tmp_path / name)
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 300))
        if name == "told":
            writer.note((), None)
        writer.close()
    assert _marks(kind, tmp_path / "told") == []
    if kind != "sqlite":
        assert (tmp_path / "told").read_bytes() == (tmp_path / "as ever").read_bytes()


@pytest.mark.parametrize("kind", FILES)
def test_thousands_of_marks_with_the_longest_texts_are_held(kind: str, tmp_path: Path) -> None:
    marks = [replace(MARKS[0], number=n, label="ü" * 100, text="\u4e16" * 2000) for n in range(1, 2001)]
    writer = _writer(kind, tmp_path / "out")
    writer.open(recorded(), 0, resume=False)
    writer.append(blocks(recorded(), 0, 100))
    writer.note(marks, None)
    writer.close()
    assert _marks(kind, tmp_path / "out") == marks


class TestRawFiles:
    """Chunks without samples that stand at the end are seen by nobody who looks for samples."""

    def _written(self, path: Path, **options: Any) -> None:
        stream = recorded()
        writer = _writer("hbuf", path, **options)
        writer.open(stream, 0, resume=False)
        for item in (*blocks(stream, 0, 300), gap(stream, 300, 400), *blocks(stream, 400, 500)):
            writer.append([item])
            writer.commit()
        writer.note(MARKS, METADATA)
        writer.close()

    def test_every_reader_of_ours_gives_the_same_samples(self, tmp_path: Path) -> None:
        path = tmp_path / "archive.dt-raw"
        self._written(path)
        source = RawSource(path)
        items = list(source.items())
        assert [item.span.stop for item in items] == [100, 200, 300, 400, 500]
        assert list(source.marks()) == MARKS
        assert source.metadata() == METADATA
        assert [block.samples_per_channel for block in iter_blocks(path)] == [100, 100, 100, 0, 100]
        recording = Recording(path, loop=False)
        assert (recording.n_samples, recording.damage, recording.overruns_of_unknown_length) == (500, None, 0)
        reader = HbufReader(path)
        assert reader.position().committed == 500
        assert [each.span.start for each in reader.gaps()] == [300]

    def test_without_its_commit_record_the_file_says_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "archive.dt-raw"
        self._written(path)
        (tmp_path / "archive.dt-raw.dtopipe").unlink()
        assert list(HbufReader(path).marks()) == MARKS
        assert HbufReader(path).stream().metadata["sample"] == "A8"
        assert HbufReader(path).position().committed == 500

    def test_the_last_segment_has_them(self, tmp_path: Path) -> None:
        path = tmp_path / "archive.dt-raw"
        self._written(path, segment=1000)
        segments = sorted(tmp_path.glob("archive.*.dt-raw"))
        assert len(segments) > 1
        assert [bool(notes_at_end(each)) for each in segments] == [*(False for _ in segments[1:]), True]
        assert list(HbufReader(path).marks()) == MARKS

    def test_a_file_that_is_gone_on_with_has_them_at_its_end_again(self, tmp_path: Path) -> None:
        path, stream = tmp_path / "archive.dt-raw", recorded()
        self._written(path)
        more = HbufWriter(OutputOptions(path))
        more.open(stream, 0, resume=True)
        more.append(blocks(stream, 500, 600))
        more.note(MARKS, METADATA)
        more.close()
        assert list(HbufReader(path).marks()) == MARKS
        assert len(notes_at_end(path)) == 1
        assert [item.span.stop for item in RawSource(path).items()][-1] == 600
        assert list(RawSource(path).marks()) == MARKS

    def test_a_cut_or_spoilt_end_tells_of_nothing_and_harms_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "archive.dt-raw"
        self._written(path)
        whole = path.read_bytes()
        for length in range(len(whole) - 1, len(whole) - 400, -7):
            path.write_bytes(whole[:length])
            assert notes_at_end(path) == []
        for at in range(len(whole) - 300, len(whole), 11):
            path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
            notes_at_end(path)
        path.write_bytes(b"")
        assert notes_at_end(path) == []


class TestInstruments:
    """Their readings share the table of a polled board's, and are told apart from these."""

    def test_readings_are_there_once_whoever_tells_them_again(self, tmp_path: Path) -> None:
        path, stream = tmp_path / "run.db", recorded()
        for attempt in range(3):
            writer = SqliteWriter(OutputOptions(path))
            assert isinstance(writer, InstrumentsWriter)
            writer.open(stream, 0, resume=attempt > 0)
            writer.note_readings([_balance(n, None if n == 2 else n / 2) for n in range(1, 4 + attempt)])
            writer.commit()
            writer.abandon()
        with closing(sqlite3.connect(path)) as base:
            rows = base.execute(
                "SELECT reading_number, device, task, mass, mass_unit, sample_index, t_utc_ns FROM readings"
            ).fetchall()
        assert rows == [
            (n, "balance", "heat", None if n == 2 else n / 2, "g", n, ANCHOR.t_utc_ns + n * 1000) for n in range(1, 6)
        ]

    def test_a_new_value_gets_a_column_of_its_own(self, tmp_path: Path) -> None:
        writer = SqliteWriter(OutputOptions(tmp_path / "run.db"))
        writer.open(recorded(), 0, resume=False)
        for number, value in enumerate((_balance(1), _balance(2, volume=3.0), _balance(3)), 1):
            writer.note_readings([value])
            writer.commit()
            assert value.number == number
        assert writer.close().samples == 0
        with closing(sqlite3.connect(tmp_path / "run.db")) as base:
            rows = base.execute("SELECT mass, volume, volume_unit FROM readings ORDER BY reading_number").fetchall()
        assert rows == [(1.5, None, None), (1.5, 3.0, None), (1.5, None, None)]

    def test_a_table_that_cannot_hold_them_is_told_of_and_samples_go_on(self, tmp_path: Path) -> None:
        path, stream = tmp_path / "run.db", recorded()
        writer = SqliteWriter(OutputOptions(path))
        writer.open(stream, 0, resume=False)
        writer.commit()
        with closing(sqlite3.connect(path)) as base:
            base.execute("ALTER TABLE readings ADD COLUMN mass TEXT")
        writer.append(blocks(stream, 0, 100))
        writer.note_readings([_balance(1)])
        assert writer.commit().committed == 100
        writer.note_readings([_balance(2)])
        writer.append(blocks(stream, 100, 200))
        assert writer.close().samples == 200
        assert "readings of instruments are not in it" in writer.remark

    def test_a_polled_board_s_own_readings_are_read_back_without_them(self, tmp_path: Path) -> None:
        path, stream = tmp_path / "run.db", polled()
        writer = SqliteWriter(OutputOptions(path))
        writer.open(stream, 0, resume=False)
        for start in (0, 10):
            writer.append([readings(stream, start, start + 10)])
            writer.note_readings([_balance(start + 1), _balance(start + 2)])
            writer.commit()
        writer.close()
        back = list(SqliteReader(path).readings())
        assert sum(each.n_samples for each in back) == 20
        assert all(isinstance(each, Readings) for each in back)
        assert sum(len(rows.sample_index) for rows in SqliteReader(path).batches()) == 20


class TestPostgres:
    """The same of a database that may be away, and of one in which nothing may be made."""

    @pytest.fixture
    def schema(self, postgres: PostgresServer) -> str:
        return postgres.new_schema()

    @pytest.fixture
    def make(self, postgres: PostgresServer, schema: str) -> Iterator[Callable[..., PostgresWriter]]:
        made = []

        def make(**options: Any) -> PostgresWriter:
            made.append(PostgresWriter(OutputOptions(None), **{**postgres.options, "schema": schema, **options}))
            return made[-1]

        yield make
        for one in made:
            one.abandon()

    def test_all_of_it_is_there_once_also_after_a_loss_of_the_connection(
        self, postgres: PostgresServer, schema: str, make: Callable[..., PostgresWriter]
    ) -> None:
        stream, writer = recorded(), make()
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 100))
        writer.note(MARKS, METADATA)
        writer.note_readings([_balance(n) for n in (1, 2)])
        writer.commit()
        writer.note(MARKS, None)
        writer.note_readings([_balance(n, volume=2.0) for n in (2, 3)])
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dtopipe'")
        for _ in range(100):
            try:
                writer.commit()
                break
            except Exception:
                continue
        writer.close()
        reader = PostgresReader(run_id="run-1", schema=schema, **postgres.options)
        assert list(reader.marks()) == MARKS
        rows = postgres.sql(
            f'SELECT reading_number, device, mass, mass_unit, volume FROM "{schema}".readings ORDER BY reading_number'
        )
        assert rows == [
            (1, "balance", 1.5, "g", None), (2, "balance", 1.5, "g", None), (3, "balance", 1.5, "g", 2.0),
        ]  # fmt: skip
        ((metadata,),) = postgres.sql(f'SELECT metadata FROM "{schema}".runs')
        assert json.loads(metadata) == METADATA
        ((n_marks, n_samples),) = postgres.sql(
            f'SELECT (SELECT count(*) FROM "{schema}".marks), (SELECT count(*) FROM "{schema}".samples)'
        )
        assert (n_marks, n_samples) == (3, 100)
        assert sum(len(batch.sample_index) for batch in reader.batches()) == 100

    def test_where_nothing_may_be_made_it_is_told_of_and_samples_go_on(
        self, postgres: PostgresServer, schema: str, make: Callable[..., PostgresWriter]
    ) -> None:
        first = make()
        first.open(recorded(run_id="run-0"), 0, resume=False)
        first.close()
        postgres.sql(f'DROP TABLE "{schema}".marks')
        stream, writer = recorded(), make(create_tables=False)
        writer.open(stream, 0, resume=False)
        writer.append(blocks(stream, 0, 100))
        writer.note(MARKS, METADATA)
        writer.note_readings([_balance(1)])
        writer.commit()
        assert writer.close().samples == 100
        assert "are not in it" in writer.remark

    def test_a_polled_board_s_own_readings_are_read_back_without_them(
        self, postgres: PostgresServer, schema: str, make: Callable[..., PostgresWriter]
    ) -> None:
        stream, writer = polled(), make()
        writer.open(stream, 0, resume=False)
        writer.append([readings(stream, 0, 10)])
        writer.note_readings([_balance(1), _balance(2)])
        writer.close()
        reader = PostgresReader(run_id=stream.run_id, schema=schema, **postgres.options)
        assert sum(each.n_samples for each in reader.readings()) == 10
        assert sum(len(batch.sample_index) for batch in reader.batches()) == 10

    def test_an_overwritten_run_takes_its_marks_along(
        self, postgres: PostgresServer, schema: str, make: Callable[..., PostgresWriter]
    ) -> None:
        from dtopipe.model.policy import OnExists

        for _ in range(2):
            writer = PostgresWriter(
                OutputOptions(None, on_exists=OnExists.OVERWRITE), **{**postgres.options, "schema": schema}
            )
            writer.open(recorded(), 0, resume=False)
            writer.note(MARKS, None)
            writer.close()
        assert postgres.sql(f'SELECT count(*) FROM "{schema}".marks') == [(3,)]
