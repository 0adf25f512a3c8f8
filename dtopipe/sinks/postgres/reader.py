"""Reads a run back out of a Postgres output, in one snapshot of the database; writes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.nulls import NullRange, cause_status
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import READING_NUMBER, reading_columns
from dtopipe.model.readings import ColumnKind, Readings
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.postgres.config import PostgresConfig
from dtopipe.sinks.postgres.connection import PostgresConnection
from dtopipe.sinks.postgres.notes import marks_of
from dtopipe.sinks.postgres.schema import READINGS_LAYOUT, Tables, columns_of, find_run, quoted
from dtopipe.sinks.rows.block_stats import BlockSummaries, summaries_from
from dtopipe.sinks.rows.long_words import MOST_WORDS, WORD_COLUMNS
from dtopipe.sinks.rows.null_ranges import merged
from dtopipe.sinks.rows.reading_pieces import reading_pieces

# Values in a batch: as Python objects some 20 MB.
_BATCH_VALUES = 2**18
_BATCH_BLOCK_STATS = 2**14
# A sort of a large table takes its time.
_QUERY_TIMEOUT_S = 3600.0
_CURSORS = count(1)


def _ns_of(column: str) -> str:
    """A time in ns, to the microsecond; exact, for `extract` gives a numeric."""
    return f"(extract(epoch FROM {column}) * 1000000)::bigint * 1000"


_UTC_NS = _ns_of("t_utc")
# First sample indices, and UTC less t_mono_ns of each.
_Offsets: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


class PostgresReader:
    """One run of a Postgres output: the one with `run_id`, or the newest. Raises SinkError.

    The other keyword arguments are those of PostgresConfig.
    """

    def __init__(
        self, path: Path | None = None, run_id: str | None = None, stream: Stream | None = None, **config: Any
    ) -> None:
        """A database is no file: a record that names one for it does not open it. `stream`: told to files' readers."""
        if path is not None:
            message = "a database is to be read from this file, as the run record says"
            raise SinkError(path, message, "the record was changed: correct its sink's type or path")
        self._config = PostgresConfig(**config)
        self._tables = Tables(self._config)
        self._run_id = run_id

    def position(self) -> Position:
        """What its table `runs` says."""
        with self._opened() as server:
            return self._run(server)[1]

    def gaps(self) -> Sequence[Gap]:
        """The gaps of the run, in order."""
        with self._opened() as server:
            run, _ = self._run(server)
            rows = server.call(
                lambda c: c.fetch(
                    f"SELECT start, stop, cause, t_utc_ns FROM {self._tables.path('gaps')}"
                    " WHERE run = $1 ORDER BY start",
                    run,
                )
            )
            return [Gap(Span(row[0], row[1]), Cause(row[2]), row[3]) for row in rows]

    def nulls(self) -> Sequence[NullRange]:
        """Where values are null though the board gave a sample; none in an output of an earlier version."""
        with self._opened() as server:
            run, _ = self._run(server)
            path = self._tables.path("null_ranges")
            if server.call(lambda c: c.fetchval("SELECT to_regclass($1)::oid", path)) is None:
                return ()
            query = f"SELECT channel, start, stop, samples, cause FROM {path} WHERE run = $1"
            rows = server.call(lambda c: c.fetch(query, run))
            return merged([NullRange(row[0], Span(row[1], row[2]), row[3], cause_status(row[4])) for row in rows])

    def batches(self) -> Iterator[OutputRows]:
        """The rows of the run, in order of their sample indices."""
        with self._opened() as server:
            run, _ = self._run(server)
            runs = self._tables.path("runs")
            layout = server.call(lambda c: c.fetchval(f"SELECT layout FROM {runs} WHERE run = $1", run))
            if layout == READINGS_LAYOUT:
                table = self._config.table_readings
                channels = [Channel(name) for name in self._channels(server, run, table)]
                values = [column.name for column in reading_columns(channels) if column.channel is not None]
                yield from self._wide(server, run, table, values, None)
            elif layout == Layout.WIDE:
                names = self._channels(server, run, "samples")
                yield from self._wide(server, run, "samples", names, self._utc_less_mono_ns(server, run))
            else:
                yield from self._long(server, run)

    def readings(self) -> Iterator[Readings]:
        """The readings of a polled run, every column of them; times to the microsecond, as the server has them."""
        with self._opened() as server:
            run, _ = self._run(server)
            table = self._config.table_readings
            columns = reading_columns([Channel(name) for name in self._channels(server, run, table)])
            names = ", ".join(
                _ns_of(quoted(column.name)) if column.kind is ColumnKind.TIME else quoted(column.name)
                for column in columns
            )
            only = self._of_board(server, table)
            query = f"SELECT {names} FROM {self._tables.path(table)} WHERE run = $1 AND {only} ORDER BY sample_index"
            for rows in _fetched(server, query, (run,), max(1, _BATCH_VALUES // len(columns))):
                yield from reading_pieces(list(zip(*rows, strict=True)))

    def block_rows(self, _table: str = "blocks") -> Iterator[BlockSummaries]:
        """The summaries of the run's blocks, in order of their first samples; where, the configuration says."""
        with self._opened() as server:
            run, _ = self._run(server)
            channels = [name for of in ("samples", "samples_long") for name in self._channels(server, run, of)]
            # Where the two columns of UTC are at odds, what the shorter one says.
            t_utc_ns = f"CASE WHEN {_UTC_NS} = t_utc_ns / 1000 * 1000 THEN t_utc_ns ELSE {_UTC_NS} END"
            query = (
                f"SELECT block_index, first_sample_index, samples_per_channel, t_mono_ns, {t_utc_ns}"
                f" FROM {self._tables.path(self._config.table_blocks)} WHERE run = $1 ORDER BY first_sample_index"
            )
            behind = -(2**63)
            for rows in chain(_fetched(server, query, (run,), max(1, _BATCH_BLOCK_STATS // len(channels))), [[]]):
                blocks = [tuple(row) for row in rows]
                # Also those that belong to no block.
                last = blocks[-1][1] if blocks else 2**63 - 1
                yield from summaries_from(blocks, self._block_stats(server, run, behind, last), len(channels))
                behind = last

    def marks(self) -> Sequence[Mark]:
        """The marks of the run, by their numbers."""
        with self._opened() as server:
            run, _ = self._run(server)
            return server.call(lambda c: marks_of(c, self._tables, run))

    def words(self) -> Collection[tuple[Any, ...]]:
        """What rows of the long layout say besides numbers, each once, in the order of WORD_COLUMNS."""
        with self._opened() as server:
            run, _ = self._run(server)
            if not self._channels(server, run, "samples_long"):
                return ()
            query = (
                f"SELECT DISTINCT {', '.join(WORD_COLUMNS)} FROM {self._tables.path('samples_long')}"
                f" WHERE run = $1 LIMIT {MOST_WORDS}"
            )
            return [tuple(row) for row in server.call(lambda c: c.fetch(query, run, timeout=_QUERY_TIMEOUT_S))]

    def channels(self) -> Sequence[Channel]:
        """What its table of channels says of those of the run's samples."""
        with self._opened() as server:
            run, _ = self._run(server)
            query = (
                f'SELECT name, unit, kind, scale, "offset" FROM {self._tables.path("channels")}'
                " WHERE run = $1 AND in_table IN ('samples', 'samples_long') ORDER BY channel"
            )
            return [Channel(*row) for row in server.call(lambda c: c.fetch(query, run))]

    def _block_stats(self, server: PostgresConnection, run: int, behind: int, last: int) -> list[tuple[Any, ...]]:
        query = (
            "SELECT first_sample_index, channel, n_values, min, max, mean"
            f" FROM {self._tables.path('block_stats')} WHERE run = $1"
            " AND first_sample_index > $2 AND first_sample_index <= $3"
        )
        rows = server.call(lambda c: c.fetch(query, run, behind, last, timeout=_QUERY_TIMEOUT_S))
        return [tuple(row) for row in rows]

    def _wide(
        self, server: PostgresConnection, run: int, table: str, names: Sequence[str], offsets: _Offsets | None
    ) -> Iterator[OutputRows]:
        columns = ", ".join(("sample_index", "t_mono_ns", _UTC_NS, *map(quoted, names)))
        only = self._of_board(server, table) if table == self._config.table_readings else "true"
        query = f"SELECT {columns} FROM {self._tables.path(table)} WHERE run = $1 AND {only} ORDER BY sample_index"
        for rows in _fetched(server, query, (run,), max(1, _BATCH_VALUES // (len(names) + 3))):
            index, t_mono_ns, t_utc_ns, *values = zip(*rows, strict=True)
            yield OutputRows(*_times(index, t_mono_ns, t_utc_ns, offsets), [_real(column) for column in values])

    def _of_board(self, server: PostgresConnection, table: str) -> str:
        """What holds, in SQL, of the readings of a run's own board: not of those of instruments beside it."""
        columns = server.call(lambda c: columns_of(c, self._tables, table))
        return f"{READING_NUMBER} IS NULL" if READING_NUMBER in columns else "true"

    def _long(self, server: PostgresConnection, run: int) -> Iterator[OutputRows]:
        offsets = self._utc_less_mono_ns(server, run)
        for number, name in enumerate(self._channels(server, run, "samples_long")):
            query = (
                f"SELECT sample_index, t_mono_ns, {_UTC_NS}, value FROM {self._tables.path('samples_long')}"
                " WHERE run = $1 AND channel = $2 ORDER BY sample_index"
            )
            for rows in _fetched(server, query, (run, name), _BATCH_VALUES // 4):
                index, t_mono_ns, t_utc_ns, value = zip(*rows, strict=True)
                yield OutputRows(*_times(index, t_mono_ns, t_utc_ns, offsets), [_real(value)], channel=number)

    def _utc_less_mono_ns(self, server: PostgresConnection, run: int) -> _Offsets:
        """What the blocks know to the nanosecond, which a timestamp cannot tell."""
        table = self._tables.path(self._config.table_blocks)
        rows = server.call(
            lambda c: c.fetch(
                f"SELECT first_sample_index, t_utc_ns - t_mono_ns FROM {table} WHERE run = $1"
                " ORDER BY first_sample_index",
                run,
            )
        )
        return _whole([row[0] for row in rows]), _whole([row[1] for row in rows])

    def _channels(self, server: PostgresConnection, run: int, table: str) -> list[str]:
        channels = self._tables.path("channels")
        rows = server.call(
            lambda c: c.fetch(
                f"SELECT name FROM {channels} WHERE run = $1 AND in_table = $2 ORDER BY channel", run, table
            )
        )
        return [row[0] for row in rows]

    def _run(self, server: PostgresConnection) -> tuple[int, Position]:
        found = server.call(lambda c: find_run(c, self._tables, self._run_id))
        if found is None:
            raise SinkError(self._config.target(), f"has no run {self._run_id or 'at all'}", "see its table runs")
        return found[:2]

    @contextlib.contextmanager
    def _opened(self) -> Iterator[PostgresConnection]:
        server = PostgresConnection(self._config)
        try:
            server.connect()
            server.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield server
            # A pooler goes on with the server's process, if it is not in the middle of something.
            server.call(lambda c: c.execute("COMMIT"))
        finally:
            server.close()


def _fetched(
    server: PostgresConnection, query: str, arguments: Sequence[int | str], n_rows: int
) -> Iterator[list[Any]]:
    """The rows of a query, `n_rows` at a time, by a cursor of SQL: asyncpg's is bound to a session."""
    name = f"rows_{next(_CURSORS)}"
    declared = f"DECLARE {name} NO SCROLL CURSOR FOR {query}"
    server.call(lambda c: c.execute(declared, *arguments, timeout=_QUERY_TIMEOUT_S))
    while rows := server.call(lambda c: c.fetch(f"FETCH {n_rows} FROM {name}", timeout=_QUERY_TIMEOUT_S)):
        yield rows
    server.call(lambda c: c.execute(f"CLOSE {name}"))


def _times(
    index: Sequence[int], t_mono_ns: Sequence[int], t_utc_ns: Sequence[int], offsets: _Offsets | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    index_, mono = _whole(index), _whole(t_mono_ns)
    if offsets is None or not len(offsets[0]):
        return index_, mono, _whole(t_utc_ns)
    exact = mono + offsets[1][np.searchsorted(offsets[0], index_, side="right") - 1]
    # A row whose own time is another one says so.
    told = _whole(t_utc_ns)
    return index_, mono, np.where(exact // 1000 * 1000 == told, exact, told)


def _whole(column: Sequence[int]) -> NDArray[np.int64]:
    return np.array(column, np.int64)


def _real(column: Sequence[float | None]) -> NDArray[np.float64]:
    """NaN for null."""
    return np.array(column, np.float64)
