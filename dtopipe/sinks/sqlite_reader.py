"""Reads a run back out of a SQLite output, without a byte written beside or into it.

A file left with a `-wal` by a killed writer has rows that are only there, and merely opening it would write: it is
copied with its side files to a temporary folder and read from there. One that a living writer holds is read in place,
as SQLite's own readers do.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtopipe.host.lock import is_held
from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel
from dtopipe.sinks.base import OutputRows
from dtopipe.sinks.commit_record import record_path
from dtopipe.sinks.reading_columns import reading_columns
from dtopipe.sinks.reading_pieces import reading_pieces
from dtopipe.sinks.sqlite_database import SIDE_SUFFIXES
from dtopipe.sinks.sqlite_readings import stored_name
from dtopipe.sinks.sqlite_schema import READINGS_LAYOUT, SAMPLE_COLUMNS, TableNames, find_run, has_runs
from dtopipe.sinks.sqlite_tables import quoted

# Values in a batch: as Python objects some 20 MB.
_BATCH_VALUES = 2**18


class SqliteReader:
    """One run of a SQLite output: the one with `run_id`, or the newest. Raises SinkError."""

    def __init__(self, path: Path, run_id: str | None = None) -> None:
        self._path = path
        self._run_id = run_id
        if not path.is_file():
            raise SinkError(path, "is not there", "give the path of a SQLite output")

    def position(self) -> Position:
        """What its table `runs` says."""
        with self._opened() as connection:
            return self._run(connection)[1]

    def gaps(self) -> Sequence[Gap]:
        """The gaps of the run, in order."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            rows = connection.execute(
                "SELECT start, stop, cause, t_utc_ns FROM gaps WHERE run = ? ORDER BY start", (run,)
            )
            return [Gap(Span(start, stop), Cause(cause), t_utc_ns) for start, stop, cause, t_utc_ns in rows]

    def batches(self) -> Iterator[OutputRows]:
        """The rows of the run, in the order of the file."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            (layout,) = connection.execute("SELECT layout FROM runs WHERE run = ?", (run,)).fetchone()
            if layout == READINGS_LAYOUT:
                yield from _readings(connection, run)
            elif layout == Layout.WIDE:
                yield from _rows(connection, run, "samples", _channels(connection, run, "samples"))
            else:
                yield from _long(connection, run, _channels(connection, run, "samples_long"))

    def readings(self) -> Iterator[Readings]:
        """The readings of a polled run, every column of them."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            table = _readings_table(connection, run)
            columns = reading_columns([Channel(name) for name in _channels(connection, run, table)])
            names = ", ".join(quoted(stored_name(column)) for column in columns)
            cursor = connection.execute(
                f"SELECT {names} FROM {quoted(table)} WHERE run = ? ORDER BY rowid",  # noqa: S608  (names are quoted)
                (run,),
            )
            while rows := cursor.fetchmany(max(1, _BATCH_VALUES // len(columns))):
                yield from reading_pieces(list(zip(*rows, strict=True)))

    def _run(self, connection: sqlite3.Connection) -> tuple[int, Position]:
        if not has_runs(connection):
            raise SinkError(self._path, "has no table of runs", "give the path of a SQLite output")
        found = find_run(connection, self._run_id)
        if found is None:
            raise SinkError(self._path, f"has no run {self._run_id or 'at all'}", "see its table runs")
        return found

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.ExitStack() as stack:
                connection = sqlite3.connect(self._uri(stack), uri=True, isolation_level=None)
                stack.callback(connection.close)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise SinkError(self._path, f"cannot be read: {error}", "see whether it is a SQLite output") from error

    def _uri(self, stack: contextlib.ExitStack) -> str:
        uri = self._path.resolve().as_uri()
        beside = [Path(f"{self._path}{suffix}") for suffix in SIDE_SUFFIXES]
        if not any(path.exists() and path.stat().st_size for path in beside):
            # Read-only folders have no room for a lock or a -shm, and nobody is writing.
            return f"{uri}?mode=ro&immutable=1"
        if _is_being_written(self._path):
            return f"{uri}?mode=ro"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dtopipe-", ignore_cleanup_errors=True)))
        for path in (self._path, *beside):
            # The -shm is an index of the -wal, and made again from it.
            if path.exists() and not path.name.endswith("-shm"):
                shutil.copyfile(path, folder / path.name)
        return (folder / self._path.name).as_uri()


def _is_being_written(path: Path) -> bool:
    try:
        return is_held(record_path(path))
    except OSError:
        return False


def _channels(connection: sqlite3.Connection, run: int, table: str) -> list[str]:
    rows = connection.execute("SELECT name FROM channels WHERE run = ? AND in_table = ? ORDER BY channel", (run, table))
    return [name for (name,) in rows]


def _readings_table(connection: sqlite3.Connection, run: int) -> str:
    tables = connection.execute(
        "SELECT in_table FROM channels WHERE run = ? AND in_table NOT IN ('samples', 'samples_long')", (run,)
    )
    (table,) = tables.fetchone() or (TableNames().readings,)
    return str(table)


def _readings(connection: sqlite3.Connection, run: int) -> Iterator[OutputRows]:
    table = _readings_table(connection, run)
    channels = [Channel(name) for name in _channels(connection, run, table)]
    values = [stored_name(column) for column in reading_columns(channels) if column.channel is not None]
    yield from _rows(connection, run, table, values)


def _rows(connection: sqlite3.Connection, run: int, table: str, names: Sequence[str]) -> Iterator[OutputRows]:
    columns = ", ".join(quoted(name) for name in (*SAMPLE_COLUMNS[1:], *names))
    cursor = connection.execute(
        f"SELECT {columns} FROM {quoted(table)} WHERE run = ? ORDER BY rowid",  # noqa: S608  (names are quoted)
        (run,),
    )
    while rows := cursor.fetchmany(max(1, _BATCH_VALUES // (len(names) + 3))):
        index, t_mono_ns, t_utc_ns, *values = zip(*rows, strict=True)
        yield OutputRows(_whole(index), _whole(t_mono_ns), _whole(t_utc_ns), [_real(column) for column in values])


def _long(connection: sqlite3.Connection, run: int, names: Sequence[str]) -> Iterator[OutputRows]:
    numbers = {name: number for number, name in enumerate(names)}
    cursor = connection.execute(
        "SELECT channel, sample_index, t_mono_ns, t_utc_ns, value FROM samples_long WHERE run = ? ORDER BY rowid",
        (run,),
    )
    while rows := cursor.fetchmany(_BATCH_VALUES // 5):
        channel, *rest = zip(*rows, strict=True)
        index, t_mono_ns, t_utc_ns = (_whole(column) for column in rest[:3])
        value = _real(rest[3])
        channels = np.array([numbers[name] for name in channel])
        for number in np.unique(channels).tolist():
            of = channels == number
            yield OutputRows(index[of], t_mono_ns[of], t_utc_ns[of], [value[of]], channel=number)


def _whole(column: Sequence[int]) -> NDArray[np.int64]:
    return np.array(column, np.int64)


def _real(column: Sequence[float | None]) -> NDArray[np.float64]:
    """NaN for null."""
    return np.array(column, np.float64)
