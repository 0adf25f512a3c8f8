"""Postgres behind a pooler: every transaction may be another process of the server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PASSWORD, PostgresServer
from recordings import block, blocks, codes_of, gap, recorded

from dtopipe.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.postgres.reader import PostgresReader
from dtopipe.sinks.postgres.writer import PostgresWriter

PGBOUNCER = shutil.which(
    "pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
)
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="needs pgbouncer")


@contextmanager
def pooler(server: PostgresServer, folder: Path, mode: str) -> Iterator[int]:
    """The port of a PgBouncer in this mode; of the server's processes there are fewer than writers where they share."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = f"host=127.0.0.1 port={server.port} dbname=postgres user=lab password={PASSWORD}"
    n_processes = 20 if mode == "session" else 2
    (folder / "pooler.ini").write_text(
        f"[databases]\npostgres = {database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {n_processes}\nunix_socket_dir =\n"
    )
    # It does not run as root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with (folder / "pooler.log").open("w") as log:
        process = subprocess.Popen([str(PGBOUNCER), *user, str(folder / "pooler.ini")], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "pooler.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(params=["transaction", "session"])
def writer(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path
) -> Iterator[Callable[..., PostgresWriter]]:
    """Makes writers into a fresh schema, by way of a pooler."""
    made = []
    schema = postgres.new_schema()
    with pooler(postgres, tmp_path, request.param) as port:

        def make(layout: Layout = Layout.WIDE, **options: Any) -> PostgresWriter:
            given = {**postgres.options, "port": port, "schema": schema, **options}
            one = PostgresWriter(OutputOptions(None, layout), **given)
            one.read = lambda run_id=None: PostgresReader(None, run_id, **given)  # type: ignore[attr-defined]
            made.append(one)
            return one

        yield make
        for one in made:
            one.abandon()


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("use_copy", [True, False])
def test_runs_are_written_and_read_back_side_by_side(
    layout: Layout, use_copy: bool, writer: Callable[..., PostgresWriter]
) -> None:
    streams = [recorded(("a", "it's \\ $1"), run_id=f"run-{number}") for number in range(3)]
    writers = [writer(layout, use_copy=use_copy) for _ in streams]
    for one, stream in zip(writers, streams, strict=True):
        one.open(stream, 0, resume=False)
    for at in range(0, 300, 100):
        for one, stream in zip(writers, streams, strict=True):
            one.append([*blocks(stream, at, at + 90), gap(stream, at + 90, at + 100)])
            one.commit()
    for one, stream in zip(writers, streams, strict=True):
        assert one.close().committed == 300
        reader = one.read(stream.run_id)  # type: ignore[attr-defined]
        assert reader.position().samples == 270
        assert [(found.span.start, found.span.stop) for found in reader.gaps()] == [(90, 100), (190, 200), (290, 300)]
        values: list[list[float]] = [[], []]
        for rows in reader.batches():
            for number, column in enumerate(rows.values):
                values[number if rows.channel is None else rows.channel] += column.tolist()
        wanted = codes_of(2, 0, 300) * (10 / 65536) + 0.25
        assert values == [[*row[:90], *row[100:190], *row[200:290]] for row in wanted.tolist()]


def test_two_writers_of_one_run_never_write_the_same_rows(
    postgres: PostgresServer, writer: Callable[..., PostgresWriter]
) -> None:
    stream = recorded()
    first, second = writer(), writer()
    first.open(stream, 0, resume=False)
    first.append(blocks(stream, 0, 100))
    first.commit()
    assert second.open(stream, 0, resume=True).committed == 100
    first.append(blocks(stream, 100, 200))
    first.commit()
    second.append([block(stream, 100, 200)])
    with pytest.raises(SinkError, match="another writer has gone on with this run"):
        second.commit()
    assert first.close().committed == 200
    reader = first.read("run-1")  # type: ignore[attr-defined]
    assert [i for rows in reader.batches() for i in rows.sample_index.tolist()] == list(range(200))


def test_nothing_is_left_with_the_servers_processes(
    postgres: PostgresServer, writer: Callable[..., PostgresWriter]
) -> None:
    stream = recorded()
    one = writer(statement_timeout_ms=12_345)
    one.open(stream, 0, resume=False)
    one.append(blocks(stream, 0, 100))
    one.close()
    locks = postgres.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    assert locks == [(0,)]


def test_a_pooler_that_allows_no_transaction_is_refused_in_words(postgres: PostgresServer, tmp_path: Path) -> None:
    with pooler(postgres, tmp_path, "statement") as port:
        options = {**postgres.options, "port": port, "schema": postgres.new_schema()}
        with pytest.raises(SinkError, match="no transaction is possible") as raised:
            PostgresWriter(OutputOptions(None), **options).open(recorded(), 0, resume=False)
        assert "pool_mode = transaction" in raised.value.remedy
        with pytest.raises(SinkError, match="no transaction is possible"):
            PostgresReader(None, "run-1", **options).position()
