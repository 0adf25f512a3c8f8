"""What is Postgres' own: many runs in one schema, its names and types, its deaths; everything else is conformance."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from daq import block as daq_block
from daq import reading as daq_reading
from marked_mounts import unmount_below
from postgres_server import PASSWORD, PostgresServer, short_folder
from recordings import AWKWARD_NAMES, block, blocks, codes_of, gap, polled, readings, recorded
from small_disks import SmallDisk

from dtopipe.errors import OutputLocked, SinkError, SinkOptionError, SinkSchemaError, SinkUnavailable
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.stream import SensorStatus, Stream
from dtopipe.sinks import PostgresConfig, PostgresSink
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.postgres import second_connection as postgres_companion
from dtopipe.sinks.postgres.reader import PostgresReader
from dtopipe.sinks.postgres.second_connection import Companion
from dtopipe.sinks.postgres.writer import PostgresWriter


@pytest.fixture
def schema(postgres: PostgresServer) -> str:
    return postgres.new_schema()


@pytest.fixture
def writer(postgres: PostgresServer, schema: str) -> Iterator[Callable[..., PostgresWriter]]:
    """`writer(layout, on_exists, **options)`; what is still open is abandoned."""
    made = []

    def make(layout: Layout = Layout.WIDE, on_exists: OnExists = OnExists.ERROR, **options: Any) -> PostgresWriter:
        one = PostgresWriter(
            OutputOptions(None, layout, on_exists), **{**postgres.options, "schema": schema, **options}
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.abandon()


def write(writer: PostgresWriter, stream: Stream, n: int = 100) -> None:
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, n))
    writer.close()


def test_runs_stand_side_by_side_while_they_are_written(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    streams = [recorded(run_id=f"run-{number}") for number in range(3)]
    writers = [writer() for _ in streams]
    for one, stream in zip(writers, streams, strict=True):
        one.open(stream, 0, resume=False)
    for at in range(0, 900, 100):
        for one, stream in zip(writers, streams, strict=True):
            one.append(blocks(stream, at, at + 100))
            one.commit()
    for one in writers:
        one.close()
    rows = postgres.sql(
        f'SELECT run_id, count(*), sum(sample_index) FROM "{schema}".samples JOIN "{schema}".runs USING (run)'
        " GROUP BY 1 ORDER BY 1"
    )
    assert [(run_id, n, int(total)) for run_id, n, total in rows] == [
        (f"run-{k}", 900, 900 * 899 // 2) for k in range(3)
    ]


def test_the_widest_row_is_stored_with_its_nulls_and_a_wider_one_is_refused(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    stream = recorded(tuple(f"c{number}" for number in range(997)))
    status = np.zeros((997, 2), np.int8)
    status[500] = SensorStatus.OPEN
    one = writer()
    one.open(stream, 0, resume=False)
    one.append([block(stream, 0, 2, status=status)])
    one.close()
    rows = postgres.sql(f'SELECT count(*), count(c499), count(c500) FROM "{schema}".samples')
    assert rows == [(2, 2, 0)]
    with pytest.raises(SinkError, match="998 channels are too many columns"):
        writer().open(recorded(tuple(f"c{number}" for number in range(998))), 0, resume=False)


def test_writers_that_begin_at_once_with_channels_of_their_own_all_find_their_columns(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    failures: list[BaseException] = []
    ready = threading.Barrier(6)

    def run(number: int) -> None:
        try:
            ready.wait(30)
            write(writer(), recorded((f"own {number}", "shared"), run_id=f"run-{number}"), 300)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    for number in range(6):
        rows = postgres.sql(f'SELECT count("own {number}"), count(shared), count(*) FROM "{schema}".samples')
        assert rows == [(300, 1800, 1800)]


def test_a_new_channel_adds_a_column_and_a_changed_unit_or_type_is_refused(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    write(writer(), recorded(("a",), run_id="1"))
    write(writer(), recorded(("a", "b"), run_id="2"))
    assert postgres.sql(f'SELECT run, count(a), count(b) FROM "{schema}".samples GROUP BY 1 ORDER BY 1') == [
        (1, 100, 0),
        (2, 100, 100),
    ]
    with pytest.raises(SinkSchemaError, match="'a' is in 'mV', and its column holds 'V'") as refused:
        write(writer(), _in_unit(recorded(("a",), run_id="3"), "mV"))
    assert "layout: long" in refused.value.remedy
    with pytest.raises(SinkSchemaError, match="double precision there"):
        write(writer(), recorded(("a",), kind="raw", run_id="4"))
    write(writer(Layout.LONG), _in_unit(recorded(("a",), run_id="5"), "mV"))
    assert postgres.sql(f'SELECT DISTINCT unit FROM "{schema}".samples_long') == [("mV",)]


def _in_unit(stream: Stream, unit: str) -> Stream:
    from dataclasses import replace

    return replace(stream, channels=tuple(replace(channel, unit=unit) for channel in stream.channels))


def test_columns_have_the_types_of_their_values(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    write(writer(), recorded(("volts",), run_id="1"))
    write(writer(), recorded(("codes",), kind="raw", run_id="2"))
    rows = postgres.sql(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = $1 AND table_name = 'samples'",
        schema,
    )
    assert dict(rows) == {
        "run": "bigint", "sample_index": "bigint", "t_mono_ns": "bigint", "t_utc": "timestamp with time zone",
        "volts": "double precision", "codes": "integer",
    }  # fmt: skip


@pytest.mark.parametrize("layout", list(Layout))
def test_insert_stores_what_copy_stores(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter], layout: Layout
) -> None:
    tables = "samples" if layout is Layout.WIDE else "samples_long"
    stored = []
    for use_copy in (True, False):
        own = f"{schema} {use_copy}"
        one = writer(layout, schema=own, use_copy=use_copy)
        stream = recorded(AWKWARD_NAMES)
        status = np.zeros((len(AWKWARD_NAMES), 100), np.int8)
        status[1, 5:9] = 2
        one.open(stream, 0, resume=False)
        one.append([block(stream, 0, 100, status=status), gap(stream, 100, 150), *blocks(stream, 150, 350)])
        one.close()
        stored.append(
            [
                postgres.rows(f'SELECT * FROM "{own}".{table} ORDER BY ctid')
                for table in (tables, "gaps", "blocks", "block_stats")
            ]
        )
    assert stored[0] == stored[1]
    assert len(stored[0][0]) == 300 * (1 if layout is Layout.WIDE else len(AWKWARD_NAMES))


def test_tables_that_may_not_be_made_must_be_there(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    with pytest.raises(SinkError, match="there is no schema") as refused:
        write(writer(create_tables=False), recorded())
    assert "CREATE SCHEMA" in refused.value.remedy
    assert postgres.sql("SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema) == [(0,)]
    write(writer(), recorded())
    write(writer(create_tables=False), recorded(run_id="run-2"))
    with pytest.raises(SinkError, match="lacks columns") as refused:
        write(writer(create_tables=False), recorded(("new",), run_id="run-3"))
    assert 'ADD COLUMN "new" double precision' in refused.value.remedy


def test_a_run_that_is_there_is_never_touched_unless_told(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    def runs() -> list[tuple[Any, ...]]:
        return postgres.sql(
            f'SELECT run_id, count(*) FROM "{schema}".samples JOIN "{schema}".runs USING (run)'
            " GROUP BY run, 1 ORDER BY run"
        )

    write(writer(), recorded(), 100)
    with pytest.raises(SinkError, match="is there already"):
        write(writer(), recorded(), 200)
    assert runs() == [("run-1", 100)]
    write(writer(on_exists=OnExists.RENAME), recorded(), 200)
    assert runs() == [("run-1.1", 100), ("run-1", 200)]
    write(writer(on_exists=OnExists.OVERWRITE), recorded(), 300)
    assert runs() == [("run-1.1", 100), ("run-1", 300)]
    write(writer(on_exists=OnExists.APPEND), recorded(), 400)
    assert runs() == [("run-1.1", 100), ("run-1", 300), ("run-1", 400)]


@pytest.mark.parametrize("name", ["é" * 31, "x" * 63, 'a"b', "select", "run_", "日本語"])
def test_any_name_of_63_bytes_is_a_column(postgres: PostgresServer, schema: str, writer: Any, name: str) -> None:
    write(writer(), recorded((name,)))
    (row,) = postgres.rows(f'SELECT * FROM "{schema}".samples WHERE sample_index = 7')
    assert row[name] == codes_of(1, 7, 8)[0, 0] * (10 / 65536) + 0.25


@pytest.mark.parametrize("name", ["é" * 32, "x" * 64, "a\0b", "sample_index"])
def test_a_name_that_postgres_would_change_is_refused(writer: Any, name: str) -> None:
    with pytest.raises(SinkError, match="channel"):
        write(writer(), recorded((name,)))


def test_awkward_texts_are_stored_as_near_as_postgres_can(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    metadata = {"note": 'a\0b "c" \\u0000', "half": "\ud800", "n": [1, None]}
    write(writer(), recorded(metadata=metadata))
    ((stored,),) = postgres.sql(f'SELECT metadata FROM "{schema}".runs')
    assert json.loads(stored) == {"note": 'a\ufffdb "c" \\u0000', "half": "?", "n": [1, None]}


@pytest.mark.parametrize("layout", ["wide", "long", "readings"])
def test_a_writer_killed_in_the_middle_of_anything_loses_nothing_that_it_committed(
    postgres: PostgresServer, schema: str, layout: str
) -> None:
    program = Path(__file__).with_name("endless_writer.py")
    environ = {**os.environ, "POSTGRES_OPTIONS": json.dumps({**postgres.options, "schema": schema})}
    dice = random.Random(layout)
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, str(program), "postgres", "-", layout], stdout=subprocess.PIPE, text=True, env=environ
        ) as process:
            assert process.stdout is not None
            for _ in range(dice.randint(1, 15)):
                said = process.stdout.readline()
            process.kill()
            said = [said, *process.stdout.read().split()][-1]
        reader = PostgresReader(None, "run-1", **postgres.options, schema=schema)
        committed = reader.position().committed
        assert int(said) <= committed
        there = [k * 1000 + i for k in range(committed // 1000) for i in range(970)]
        for batch in reader.batches():
            if batch.channel in (None, 0):
                # The server may still be at a last commit of the dead writer's.
                assert batch.sample_index.tolist()[: len(there)] == there


@pytest.fixture
def in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit of more than one block is two transactions side by side."""
    monkeypatch.setattr(postgres_companion, "_LEAST_VALUES", 1)


_MOST_CUTS = 8


# A pair of connections takes the longer to be made again.
@pytest.mark.parametrize(("transactions", "cut_within_s"), [("one", 0.05), ("in_pairs", 0.1)])
def test_connections_that_are_cut_at_any_instant_double_nothing(
    postgres: PostgresServer,
    schema: str,
    writer: Callable[..., PostgresWriter],
    transactions: str,
    cut_within_s: float,
    request: pytest.FixtureRequest,
) -> None:
    if transactions == "in_pairs":
        request.getfixturevalue(transactions)
    stream = recorded(tuple("abcdefgh"))
    one = writer()
    one.open(stream, 0, resume=False)
    over = threading.Event()
    # A busy machine may need longer for a commit than it has between two cuts: so often each is cut at most.
    cuts_left = _MOST_CUTS

    def cut() -> None:
        nonlocal cuts_left
        dice = random.Random(7)
        while not over.wait(dice.random() * cut_within_s):
            if cuts_left > 0:
                cuts_left -= 1
                postgres.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dtopipe'"
                )

    cutter = threading.Thread(target=cut)
    cutter.start()
    away = 0
    try:
        for at in range(0, 30_000, 1000):
            one.append(blocks(stream, at, at + 1000))
            cuts_left = _MOST_CUTS
            away += _tries(one.commit)
    finally:
        over.set()
        cutter.join()
    # The last cut may not have been noticed yet.
    _tries(one.close)
    assert away > 5
    rows = np.array(postgres.sql(f'SELECT sample_index, c FROM "{schema}".samples ORDER BY 1'))
    assert np.array_equal(rows[:, 0], np.arange(30_000))
    assert np.array_equal(rows[:, 1], codes_of(3, 0, 30_000)[2] * (10 / 65536) + 0.25)
    assert postgres.sql(f'SELECT sum(samples_per_channel) FROM "{schema}".blocks') == [(30_000,)]


def _tries(call: Callable[[], Any]) -> int:
    """Call until it succeeds; how often the server was away."""
    away = 0
    while True:
        try:
            call()
            return away
        except SinkUnavailable:
            away += 1


@pytest.mark.usefixtures("in_pairs")
def test_of_a_large_commit_the_first_half_may_stand_alone_and_the_rest_follows(
    postgres: PostgresServer,
    schema: str,
    writer: Callable[..., PostgresWriter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = writer()
    stream = recorded()
    one.open(stream, 0, resume=False)
    one.append([*blocks(stream, 0, 300), gap(stream, 300, 400), *blocks(stream, 400, 600)])

    def cut(companion: Companion) -> None:
        companion.drop()
        raise SinkUnavailable(None, "cut", "wait")

    with monkeypatch.context() as patched:
        patched.setattr(Companion, "copied", cut)
        with pytest.raises(SinkUnavailable):
            one.commit()
    stands = postgres.sql(f'SELECT committed, samples, gap_samples FROM "{schema}".runs')[0]
    assert 0 < stands[0] < 600
    assert stands[1] + stands[2] == stands[0]
    assert postgres.sql(f'SELECT max(sample_index) FROM "{schema}".samples')[0][0] < stands[0]
    _tries(one.commit)
    assert one.commit().committed == 600
    there = [at for (at,) in postgres.sql(f'SELECT sample_index FROM "{schema}".samples ORDER BY 1')]
    assert there == [*range(300), *range(400, 600)]


@pytest.mark.usefixtures("in_pairs")
def test_a_second_half_whose_answer_was_lost_is_not_written_twice(
    postgres: PostgresServer,
    schema: str,
    writer: Callable[..., PostgresWriter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = writer()
    stream = recorded()
    one.open(stream, 0, resume=False)
    one.append(blocks(stream, 0, 600))
    commit = Companion.commit

    def without_an_answer(companion: Companion, mark: Any) -> None:
        commit(companion, mark)
        companion.drop()
        raise SinkUnavailable(None, "cut", "wait")

    with monkeypatch.context() as patched:
        patched.setattr(Companion, "commit", without_an_answer)
        with pytest.raises(SinkUnavailable):
            one.commit()
    one.append(blocks(stream, 600, 700))
    # The server may take a moment to give up the connection that was dropped.
    _tries(one.commit)
    assert one.close().committed == 700
    there = [at for (at,) in postgres.sql(f'SELECT sample_index FROM "{schema}".samples ORDER BY 1')]
    assert there == [*range(700)]


@pytest.mark.usefixtures("in_pairs")
def test_a_server_that_refuses_a_second_connection_is_written_through_one(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    postgres.sql(f"CREATE ROLE single LOGIN CONNECTION LIMIT 1 PASSWORD '{PASSWORD}'")
    postgres.sql("GRANT CREATE ON DATABASE postgres TO single")
    (postgres.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
    postgres.sql("SELECT pg_reload_conf()")
    one = writer(user="single")
    write(one, recorded(), 600)
    assert postgres.sql(f'SELECT count(*) FROM "{schema}".samples') == [(600,)]


def test_a_writer_that_another_has_overtaken_in_a_large_commit_commits_neither_half(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter], in_pairs: None
) -> None:
    one = writer()
    stream = recorded()
    one.open(stream, 0, resume=False)
    postgres.sql(f'UPDATE "{schema}".runs SET committed = 200')
    one.append(blocks(stream, 0, 600))
    with pytest.raises(SinkError, match="another writer"):
        one.commit()
    assert postgres.sql(f'SELECT count(*) FROM "{schema}".samples') == [(0,)]


def test_another_writer_is_found_out_by_the_commit_mark(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    one = writer()
    stream = recorded()
    one.open(stream, 0, resume=False)
    one.append(blocks(stream, 0, 100))
    one.commit()
    postgres.sql(f'UPDATE "{schema}".runs SET committed = 200')
    one.append(blocks(stream, 100, 300))
    with pytest.raises(SinkError, match="another writer"):
        one.commit()
    assert postgres.sql(f'SELECT count(*) FROM "{schema}".samples') == [(100,)]


def test_a_server_that_answers_no_more_is_away_and_comes_back(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        one = PostgresWriter(OutputOptions(None), **server.options, schema="lab", command_timeout_s=0.5)
        stream = recorded()
        one.open(stream, 0, resume=False)
        one.append(blocks(stream, 0, 100))
        one.commit()
        server.pause()
        one.append(blocks(stream, 100, 200))
        for _ in range(2):
            with pytest.raises(SinkUnavailable, match="does not answer"):
                one.commit()
        server.go_on()
        for _ in range(100):
            try:
                assert one.commit().committed == 200
                break
            except SinkUnavailable:
                continue
        one.close()
        assert server.sql("SELECT count(*), count(DISTINCT sample_index) FROM lab.samples") == [(200, 200)]
    finally:
        server.close()


@pytest.fixture
def full_server() -> Iterator[tuple[PostgresServer, Path]]:
    """A server on a disk of its own, which the server's user can reach, as he cannot pytest's folders."""
    folder = short_folder()
    try:
        folder.chmod(0o755)
        disk = SmallDisk(folder / "disk", "160m").path
        server = PostgresServer(disk)
        yield server, disk
        server.close()
    finally:
        unmount_below(folder)
        shutil.rmtree(folder)


def test_a_full_disk_of_the_server_is_waited_for(full_server: tuple[PostgresServer, Path]) -> None:
    server, disk = full_server
    ballast = disk / "ballast"
    one = PostgresWriter(OutputOptions(None), **server.options, schema="lab")
    stream = recorded(tuple("abcdefgh"))
    one.open(stream, 0, resume=False)
    free = os.statvfs(disk)
    ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - 8_000_000)))
    at, refused = 0, None
    while refused is None:
        one.append(blocks(stream, at, at + 10_000, 1000))
        at += 10_000
        try:
            one.commit()
        except SinkUnavailable as error:
            refused = error
    assert refused.remedy
    ballast.unlink()
    # A full disk of the write-ahead log ends the server itself.
    server.ensure_running()
    for _ in range(100):
        try:
            assert one.commit().committed == at
            break
        except SinkUnavailable:
            continue
    one.close()
    rows = server.sql("SELECT count(*), count(DISTINCT sample_index), max(sample_index) FROM lab.samples")
    assert rows == [(at, at, at - 1)]


def test_what_cannot_be_a_connection_is_refused_without_a_password() -> None:
    for options in (
        {},
        {"dsn": "postgresql://u@h/d", "host": "h"},
        {"dsn": f"mysql://u:{PASSWORD}@h/d"},
        {"dsn": f"postgresql://u:{PASSWORD}@h/d"},
        {"dsn": "postgresql://u:s3cr3t#x@h/d"},
        {"dsn": "postgresql://u:s3cr3t?x@h/d"},
        {"dsn": "postgresql://u:s3cr3t@h:abc/d"},
        {"host": "h", "schema": ""},
        {"host": "h", "schema": "x" * 64},
        {"host": "h", "table_blocks": "bad name"},
        {"host": "h", "pool_min_size": 0},
        {"host": "h", "command_timeout_s": 0.0},
    ):
        with pytest.raises(SinkOptionError) as refused:
            PostgresConfig(**options)
        assert isinstance(refused.value, ValueError)
        assert "s3cr3t" not in str(refused.value)
    config = PostgresConfig(dsn="postgresql://u:s3cr3t@h:5433/d", password="other", schema="lab")
    assert config.target() == "postgres://h:5433/d.lab"
    assert "s3cr3t" not in repr(config)
    assert "other" not in repr(config)


@pytest.mark.anyio
async def test_a_program_may_try_the_same_write_again_after_the_server_was_away(
    postgres: PostgresServer, schema: str
) -> None:
    config = PostgresConfig(**postgres.options, schema=schema, create_tables=True)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dtopipe'"
    async with PostgresSink(config) as sink:
        await sink.write(daq_block(0))
        await sink.write_many([daq_reading(0)])
        for first in range(4, 80, 4):
            postgres.rows(cut)
            one = daq_block(first)
            while True:
                try:
                    await sink.write(one)
                    break
                except SinkUnavailable:
                    continue
        postgres.rows(cut)
        items = [daq_reading(1), daq_reading(2)]
        while True:
            try:
                await sink.write_many(items)
                break
            except SinkUnavailable:
                continue
    assert [row["sample_index"] for row in postgres.rows(f'SELECT * FROM "{schema}".samples ORDER BY 2')] == list(
        range(80)
    )
    assert [row["ch0"] for row in postgres.rows(f'SELECT * FROM "{schema}".readings ORDER BY 2')] == [0.0, 1.0, 2.0]


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_said_at_the_open(postgres: PostgresServer) -> None:
    config = PostgresConfig(host="127.0.0.1", port=1, password=PASSWORD)
    with pytest.raises(SinkUnavailable, match="cannot be reached") as refused:
        await PostgresSink(config).open()
    assert refused.value.path == "postgres://127.0.0.1:1/?.public"
    wrong = PostgresConfig(**{**postgres.options, "password": PASSWORD + "x"})
    with pytest.raises(SinkError, match="refuses this user") as unknown:
        await PostgresSink(wrong).open()
    assert "s3cr3t" not in str(unknown.value)


def test_readings_have_typed_columns(postgres: PostgresServer, schema: str, writer: Any) -> None:
    stream = polled()
    one = writer()
    one.open(stream, 0, resume=False)
    one.append([readings(stream, 0, 50), gap(stream, 50, 60), readings(stream, 60, 80)])
    assert one.close().samples == 70
    rows = postgres.rows(f'SELECT * FROM "{schema}".readings ORDER BY sample_index')
    wanted = readings(stream, 0, 80).columns
    kept = [*range(50), *range(60, 80)]
    assert [row["flux"] for row in rows] == [wanted[9][i] for i in kept]
    assert [row["error_message"] for row in rows] == [wanted[-1][i] for i in kept]
    assert [row["latency_s"] for row in rows] == [wanted[8][i] for i in kept]
    assert [None if row["received_at"] is None else round(row["received_at"].timestamp() * 1e6) for row in rows] == [
        None if wanted[7][i] is None else wanted[7][i] // 1000 for i in kept
    ]


def test_a_connection_that_is_lost_in_a_large_copy_is_given_up_and_made_again(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    stream = recorded(tuple("abcdefgh"))
    one = writer()
    one.open(stream, 0, resume=False)
    one.append(blocks(stream, 0, 100_000, 1000))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
    over = threading.Event()

    def cut_the_copy() -> None:
        while not over.is_set() and not postgres.sql(cut):
            pass

    cutter = threading.Thread(target=cut_the_copy)
    cutter.start()
    away = 0
    try:
        while True:
            try:
                assert one.commit().committed == 100_000
                break
            except SinkUnavailable:
                away += 1
    finally:
        over.set()
        cutter.join()
    assert away
    one.close()
    rows = postgres.sql(f'SELECT count(*), count(DISTINCT sample_index) FROM "{schema}".samples')
    assert rows == [(100_000, 100_000)]


def test_what_stands_in_the_way_of_a_reconnection_is_waited_for_before_anything_is_written(
    postgres: PostgresServer, schema: str, writer: Callable[..., PostgresWriter]
) -> None:
    stream = recorded()
    one = writer()
    one.open(stream, 0, resume=False)
    one.append(blocks(stream, 0, 100))
    one.commit()
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dtopipe'")
    other = writer()
    while True:
        try:
            other.open(stream, 0, resume=True)
            break
        except OutputLocked:
            continue
    one.append(blocks(stream, 100, 200))
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            one.commit()
    assert postgres.sql(f'SELECT count(*) FROM "{schema}".samples') == [(100,)]
    other.abandon()
    while True:
        try:
            assert one.commit().committed == 200
            break
        except OutputLocked:
            continue
    one.close()
