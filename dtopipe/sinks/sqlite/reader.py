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
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dtopipe.host.lock import is_held
from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.marks import Mark
from dtopipe.model.nulls import NullRange, cause_status
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import READING_NUMBER, reading_columns
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel, Stream
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.commit_record import record_path
from dtopipe.sinks.file.reader import REFILL, record_of
from dtopipe.sinks.file.whole_part import OnDamage
from dtopipe.sinks.rows.block_stats import BlockSummaries, summaries_from
from dtopipe.sinks.rows.long_words import MOST_WORDS, WORD_COLUMNS
from dtopipe.sinks.rows.null_ranges import merged
from dtopipe.sinks.rows.reading_pieces import reading_pieces
from dtopipe.sinks.sqlite.columns import FETCHED_ROWS, gathered, real_numbers, whole_numbers
from dtopipe.sinks.sqlite.notes import mark_from_row
from dtopipe.sinks.sqlite.readings import stored_name
from dtopipe.sinks.sqlite.salvage import DAMAGE, RowsOfRun
from dtopipe.sinks.sqlite.schema import (
    MARK_COLUMNS,
    READINGS_LAYOUT,
    SAMPLE_COLUMNS,
    TableNames,
    find_run,
    has_runs,
    run_stream,
)
from dtopipe.sinks.sqlite.sink_type import SIDE_SUFFIXES
from dtopipe.sinks.sqlite.tables import columns_of, quoted

# What a number gives that is none, as where a disk has zeros.
_SPOILT = (TypeError, ValueError, OverflowError)
# Values in a batch: as Python objects some 20 MB.
_BATCH_VALUES = 2**18
_BATCH_BLOCK_STATS = 2**14


class SqliteReader:
    """One run of a SQLite output: the one with `run_id`, or the newest. Raises SinkError."""

    def __init__(self, path: Path, run_id: str | None = None, stream: Stream | None = None) -> None:
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
            try:
                return [Gap(Span(start, stop), Cause(cause), t_utc_ns) for start, stop, cause, t_utc_ns in rows]
            except ValueError as error:
                raise SinkError(self._path, f"its table of gaps is damaged: {error}", REFILL) from error

    def nulls(self) -> Sequence[NullRange]:
        """Where values are null though the board gave a sample; none in an output of an earlier version."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            if not columns_of(connection, "null_ranges"):
                return ()
            query = "SELECT channel, start, stop, samples, cause FROM null_ranges WHERE run = ?"
            rows = connection.execute(query, (run,))
            try:
                return merged([NullRange(row[0], Span(row[1], row[2]), row[3], cause_status(row[4])) for row in rows])
            except (ValueError, TypeError) as error:
                raise SinkError(self._path, f"its table of null values is damaged: {error}", REFILL) from error

    def batches(self) -> Iterator[OutputRows]:
        """The rows of the run, in the order of the file, up to the first damaged place: there SinkError is raised."""
        return self._batches(self._refuse)

    def sound_batches(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """The rows that can be read; `on_damage` is told of what is passed over, and of a damaged companion."""
        yield from self._batches(on_damage)
        for damage in record_of(self._path)[1]:
            on_damage(damage)

    def rows_within(self, wanted: Wanted, channels: Sequence[int]) -> Iterator[OutputRows]:
        """As PartReader.rows_within; the database looks for them."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            if self._layout(connection, run) == Layout.WIDE:
                names = _channels(connection, run, "samples")
                columns = [*SAMPLE_COLUMNS[1:], *(names[number] for number in channels)]
                found = _wanted_rows(connection, run, columns, wanted)
                try:
                    yield from gathered(found, max(1, _BATCH_VALUES // len(columns)))
                except _SPOILT as error:
                    self._refuse(f"its table of samples is damaged: {error}")
                return
        every = (rows.of_channels(channels) for rows in self.batches())
        yield from (rows for rows in every if rows is not None)

    def readings(self, on_damage: OnDamage | None = None) -> Iterator[Readings]:
        """The readings of a polled run, every column of them; where nobody asks, none may be damaged."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            table = _readings_table(connection, run)
            columns = reading_columns([Channel(name) for name in _channels(connection, run, table)])
            wanted = RowsOfRun(table, [stored_name(column) for column in columns], run, _of_board(connection, table))
            n_rows = max(1, _BATCH_VALUES // len(columns))
            for rows in wanted.rows(connection, n_rows, on_damage or self._refuse):
                yield from reading_pieces(list(zip(*(row[:-1] for row in rows), strict=True)))

    def front(self) -> None:
        """As FileReader.front: None, for a database that is damaged is written anew."""

    def _batches(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        with self._opened() as connection:
            run, _ = self._run(connection)
            layout = self._layout(connection, run)
            if layout == READINGS_LAYOUT:
                table = _readings_table(connection, run)
                channels = [Channel(name) for name in _channels(connection, run, table)]
                names = [stored_name(column) for column in reading_columns(channels) if column.channel is not None]
                wanted = RowsOfRun(table, [*SAMPLE_COLUMNS[1:], *names], run, _of_board(connection, table))
                yield from _rows(connection, wanted, on_damage)
            elif layout == Layout.WIDE:
                names = _channels(connection, run, "samples")
                yield from _rows(connection, RowsOfRun("samples", [*SAMPLE_COLUMNS[1:], *names], run), on_damage)
            else:
                yield from _long(connection, run, _channels(connection, run, "samples_long"), on_damage)

    def _layout(self, connection: sqlite3.Connection, run: int) -> str:
        (layout,) = connection.execute("SELECT layout FROM runs WHERE run = ?", (run,)).fetchone() or ("",)
        if layout not in (READINGS_LAYOUT, *Layout):
            self._refuse("its table of runs is damaged: it has no layout")
        return str(layout)

    def _refuse(self, damage: str) -> None:
        raise SinkError(self._path, damage, REFILL)

    def block_rows(self, table: str = "blocks") -> Iterator[BlockSummaries]:
        """The summaries of the run's blocks, in order of their first samples. `table`: where the blocks are."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            channels = [name for of in ("samples", "samples_long") for name in _channels(connection, run, of)]
            try:
                yield from _summaries(connection, run, table, len(channels))
            except _SPOILT as error:
                raise SinkError(self._path, f"its tables of blocks are damaged: {error}", REFILL) from error

    def marks(self) -> Sequence[Mark]:
        """The marks of the run, by their numbers; none in an output of an earlier version."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            if not columns_of(connection, "marks"):
                return ()
            query = f"SELECT {', '.join(MARK_COLUMNS[1:])} FROM marks WHERE run = ? ORDER BY number"  # noqa: S608  (ours)
            return [mark_from_row(row) for row in connection.execute(query, (run,))]

    def words(self) -> Collection[tuple[Any, ...]]:
        """What rows of the long layout say besides numbers, each once, in the order of WORD_COLUMNS."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            if not columns_of(connection, "samples_long"):
                return ()
            query = f"SELECT DISTINCT {', '.join(WORD_COLUMNS)} FROM samples_long WHERE run = ?"  # noqa: S608  (ours)
            return connection.execute(query, (run,)).fetchmany(MOST_WORDS)

    def channels(self) -> Sequence[Channel]:
        """What its table of channels says of those of the run's samples."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            rows = connection.execute(
                "SELECT name, unit, kind, scale, offset FROM channels"
                " WHERE run = ? AND in_table IN ('samples', 'samples_long') ORDER BY channel",
                (run,),
            )
            return [Channel(*row) for row in rows]

    def stream(self) -> Stream:
        """What its tables say of the run. Raises SinkError."""
        with self._opened() as connection:
            run, _ = self._run(connection)
            try:
                return run_stream(connection, run)
            except (*_SPOILT, WireError) as error:
                raise SinkError(self._path, f"its tables of runs and channels are damaged: {error}", REFILL) from error

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
        except (*DAMAGE, OSError) as error:
            raise SinkError(self._path, f"cannot be read: {error}", "see whether it is a SQLite output") from error

    def _uri(self, stack: contextlib.ExitStack) -> str:
        uri = self._path.resolve().as_uri()
        if _is_being_written(self._path):
            return f"{uri}?mode=ro"
        beside = [Path(f"{self._path}{suffix}") for suffix in SIDE_SUFFIXES]
        if not any(path.exists() and path.stat().st_size for path in beside):
            # Read-only folders have no room for a lock or a -shm, and nobody is writing.
            return f"{uri}?mode=ro&immutable=1"
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
    names = [name for (name,) in rows]
    if not all(isinstance(name, str) for name in names):
        raise sqlite3.DatabaseError("its table of channels is damaged")
    return names


def _readings_table(connection: sqlite3.Connection, run: int) -> str:
    tables = connection.execute(
        "SELECT in_table FROM channels WHERE run = ? AND in_table NOT IN ('samples', 'samples_long')", (run,)
    )
    (table,) = tables.fetchone() or (TableNames().readings,)
    return str(table)


def _of_board(connection: sqlite3.Connection, table: str) -> str:
    """What holds, in SQL, of the readings of a run's own board: not of those of instruments beside it."""
    return f"{READING_NUMBER} IS NULL" if READING_NUMBER in columns_of(connection, table) else "1"


def _rows(connection: sqlite3.Connection, wanted: RowsOfRun, on_damage: OnDamage) -> Iterator[OutputRows]:
    yield from gathered(_few_rows(connection, wanted, on_damage), max(1, _BATCH_VALUES // len(wanted.columns)))


def _wanted_rows(
    connection: sqlite3.Connection, run: int, columns: Sequence[str], wanted: Wanted
) -> Iterator[OutputRows]:
    cursor = connection.execute(
        f"SELECT {', '.join(map(quoted, columns))}, rowid FROM samples"  # noqa: S608  (names are quoted)
        " WHERE run = ? AND sample_index >= ? AND sample_index < ? AND t_utc_ns >= ? AND t_utc_ns < ? ORDER BY rowid",
        (run, wanted.start, wanted.stop, wanted.utc_start_ns, wanted.utc_stop_ns),
    )
    while rows := cursor.fetchmany(FETCHED_ROWS):
        yield _columns(rows)


def _few_rows(connection: sqlite3.Connection, wanted: RowsOfRun, on_damage: OnDamage) -> Iterator[OutputRows]:
    for rows in wanted.rows(connection, FETCHED_ROWS, on_damage):
        try:
            yield _columns(rows)
        except _SPOILT:
            sound = [row for row in rows if _is_sound(row)]
            if len(sound) < len(rows):
                first, last = (
                    next(rows_[-1] for rows_ in order if not _is_sound(rows_)) for order in (rows, rows[::-1])
                )
                on_damage(f"rows {first:,} to {last:,} of table {wanted.table} are damaged: {len(rows) - len(sound):,}")
            if sound:
                yield _columns(sound)


def _columns(rows: Sequence[Any]) -> OutputRows:
    """The columns of rows whose last one is their number."""
    index, t_mono_ns, t_utc_ns, *values, _ = zip(*rows, strict=True)
    times = whole_numbers(index), whole_numbers(t_mono_ns), whole_numbers(t_utc_ns)
    return OutputRows(*times, [real_numbers(column) for column in values])


def _is_sound(row: Sequence[Any]) -> bool:
    try:
        _columns([row])
    except _SPOILT:
        return False
    return True


def _long(connection: sqlite3.Connection, run: int, names: Sequence[str], on_damage: OnDamage) -> Iterator[OutputRows]:
    columns = ["channel", *SAMPLE_COLUMNS[1:], "value"]
    for rows in RowsOfRun("samples_long", columns, run).rows(connection, _BATCH_VALUES // 5, on_damage):
        for number, name in enumerate(names):
            of = [row[1:] for row in rows if row[0] == name]
            sound = of
            try:
                found = _columns(of) if of else None
            except _SPOILT:
                sound = [row for row in of if _is_sound(row)]
                found = _columns(sound) if sound else None
            if len(sound) < len(of):
                on_damage(f"{len(of) - len(sound):,} rows from {of[0][-1]:,} of table samples_long are damaged")
            if found is not None:
                yield replace(found, channel=number)


def _summaries(connection: sqlite3.Connection, run: int, table: str, n_channels: int) -> Iterator[BlockSummaries]:
    cursor = connection.execute(
        "SELECT block_index, first_sample_index, samples_per_channel, t_mono_ns, t_utc_ns"  # noqa: S608  (quoted)
        f" FROM {quoted(table)} WHERE run = ? ORDER BY first_sample_index",
        (run,),
    )
    behind = -(2**63)
    more = True
    while more:
        blocks = cursor.fetchmany(max(1, _BATCH_BLOCK_STATS // max(1, n_channels)))
        more = bool(blocks)
        # Also those that belong to no block.
        last = blocks[-1][1] if blocks else 2**63 - 1
        stats = connection.execute(
            "SELECT first_sample_index, channel, n_values, min, max, mean FROM block_stats"
            " WHERE run = ? AND first_sample_index > ? AND first_sample_index <= ?",
            (run, behind, last),
        ).fetchall()
        behind = last
        yield from summaries_from(blocks, stats, n_channels)
