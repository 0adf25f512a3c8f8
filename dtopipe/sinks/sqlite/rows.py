"""Blocks, readings and gaps as rows of SQLite tables, many rows to a statement.

A statement with many rows of values takes about six tenths of the time of `executemany`: one step of the virtual
machine a statement, and no loop of Python over rows. Slices lay the columns of a batch into one list of parameters.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import ERROR_MESSAGES, ERROR_TYPES, EngineeringValues
from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import Stage
from dtopipe.sinks.rows.block_stats import block_stats
from dtopipe.sinks.rows.neighbours import Joined, joined
from dtopipe.sinks.rows.null_ranges import merged, null_ranges
from dtopipe.sinks.sqlite.readings import stored_name
from dtopipe.sinks.sqlite.schema import (
    BLOCK_COLUMNS,
    BLOCK_STATS_COLUMNS,
    GAP_COLUMNS,
    LONG_COLUMNS,
    NULL_COLUMNS,
    SAMPLE_COLUMNS,
    TableNames,
)
from dtopipe.sinks.sqlite.tables import quoted

Column: TypeAlias = Sequence[Any]
# Parameters are Python objects of some 50 bytes each all told: 2**17 codes of int16 are a few MB of them.
_BATCH_BYTES = 2**18
# Measured: 100 to 500 rows a statement are equally good; a longer statement only takes longer to prepare.
_MOST_ROWS = 200


class BlockRows:
    """The blocks of one run, in the transaction that the connection is in. Raises sqlite3.Error."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        run: int,
        stream: Stream,
        layout: Layout,
        tables: TableNames,
        doing: Callable[[Stage], AbstractContextManager[None]],
    ) -> None:
        """`doing`: as of OutputOptions."""
        self._doing = doing
        self._stream = stream
        self._layout = layout
        columns = (*SAMPLE_COLUMNS, *(channel.name for channel in stream.channels))
        self._samples = (
            _Insert(connection, run, "samples", columns)
            if layout is Layout.WIDE
            else _Insert(connection, run, "samples_long", LONG_COLUMNS)
        )
        self._blocks = _Insert(connection, run, tables.blocks, BLOCK_COLUMNS)
        self._block_stats = _Insert(connection, run, "block_stats", BLOCK_STATS_COLUMNS)
        self._engineering = EngineeringValues(stream.channels)

    def insert(self, items: Sequence[Block | Gap | Readings]) -> None:
        """The blocks among `items`."""
        for batch in joined(items, _BATCH_BYTES):
            self._insert_batch(batch)

    def _insert_batch(self, batch: Joined) -> None:
        samples = batch.samples
        with self._doing(Stage.CONVERT):
            t_mono_ns = samples.t_mono_ns(self._stream.clock)
            t_utc_ns = t_mono_ns + (samples.anchor.t_utc_ns - samples.anchor.t_mono_ns)
            index = samples.sample_index()
            times = (index.tolist(), t_mono_ns.tolist(), t_utc_ns.tolist())
            values = self._engineering(samples.codes, samples.sensor_status)
            columns = [self._column(samples, values, number) for number in range(len(values))]
        if self._layout is Layout.WIDE:
            self._samples.rows(*times, *columns)
        else:
            self._insert_long(batch, times, columns)
        starts = batch.block_starts
        of_blocks = [column[starts].tolist() for column in (index, t_mono_ns, t_utc_ns)]
        self._blocks.rows(batch.block_indices.tolist(), of_blocks[0], batch.block_lengths.tolist(), *of_blocks[1:])
        numbers = np.repeat(np.arange(len(values)), len(starts)).tolist()
        self._block_stats.rows(
            of_blocks[0] * len(values), numbers, *(column.ravel().tolist() for column in block_stats(values, starts))
        )

    def _insert_long(self, batch: Joined, times: Sequence[Column], columns: Sequence[Column]) -> None:
        samples = batch.samples
        n = samples.n_samples
        block_index = np.repeat(batch.block_indices, batch.block_lengths).tolist()
        for number, channel in enumerate(self._stream.channels):
            errors = _errors(samples, number)
            self._samples.rows(
                [self._stream.device] * n, [self._stream.task] * n, [channel.name] * n, block_index, *times,
                columns[number], [channel.unit] * n, *errors,
            )  # fmt: skip

    def _column(self, samples: Block, values: NDArray[np.float64], number: int) -> Column:
        """One channel for SQLite, which takes NaN for null."""
        if not self._stream.channels[number].is_raw:
            column: list[float] = values[number].tolist()
            return column
        codes: list[int | None] = samples.codes[number].tolist()
        if samples.sensor_status is not None:
            for at in np.flatnonzero(samples.sensor_status[number]).tolist():
                codes[at] = None
        return codes


class ReadingRows:
    """The readings of one run, in the transaction that the connection is in. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, run: int, stream: Stream, tables: TableNames) -> None:
        names = [stored_name(column) for column in reading_columns(stream.channels)]
        self._rows = _Insert(connection, run, tables.readings, ["run", *names])

    def insert(self, items: Sequence[Block | Gap | Readings]) -> None:
        """The readings among `items`."""
        for item in items:
            if isinstance(item, Readings):
                self._rows.rows(*item.columns)


class GapRows:
    """The gaps of one run, in the transaction that the connection is in. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, run: int) -> None:
        self._connection, self._run = connection, run
        self._gaps = _Insert(connection, run, "gaps", GAP_COLUMNS)

    def insert(self, items: Sequence[Block | Gap | Readings]) -> None:
        """The gaps among `items`; one that goes on with the last one there makes that longer."""
        gaps = [item for item in items if isinstance(item, Gap)]
        if gaps and items[0] is gaps[0] and self._grows(gaps[0]):
            gaps = gaps[1:]
        self._gaps.rows(
            [gap.span.start for gap in gaps],
            [gap.span.stop for gap in gaps],
            [gap.cause.value for gap in gaps],
            [gap.t_utc_ns for gap in gaps],
        )

    def _grows(self, gap: Gap) -> bool:
        """True, and it is there, if it is one with the last gap of the run."""
        if gap.cause is not Cause.NOT_TRIGGERED:
            return False
        grown = self._connection.execute(
            "UPDATE gaps SET stop = ? WHERE run = ? AND stop = ? AND cause = ?"
            " AND start = (SELECT max(start) FROM gaps WHERE run = ?)",
            (gap.span.stop, self._run, gap.span.start, gap.cause.value, self._run),
        )
        return grown.rowcount > 0


class NullRows:
    """Where values of one run are null, in the transaction that the connection is in. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, run: int) -> None:
        self._nulls = _Insert(connection, run, "null_ranges", NULL_COLUMNS)

    def insert(self, items: Sequence[Block | Gap | Readings]) -> None:
        """It takes the blocks among `items`."""
        found = merged(list(null_ranges(items)))
        self._nulls.rows(
            [each.channel for each in found],
            [each.span.start for each in found],
            [each.span.stop for each in found],
            [each.samples for each in found],
            [each.cause for each in found],
        )


def _errors(samples: Block, number: int) -> tuple[Column, Column]:
    """`error_type` and `error_message` of each sample of a channel."""
    n = samples.n_samples
    if samples.sensor_status is None:
        return [None] * n, [None] * n
    status = samples.sensor_status[number].tolist()
    return [ERROR_TYPES[at] for at in status], [ERROR_MESSAGES[at] for at in status]


class _Insert:
    """Inserts rows of one run into a table whose first column is `run`."""

    def __init__(self, connection: sqlite3.Connection, run: int, table: str, columns: Sequence[str]) -> None:
        self._connection = connection
        self._head = f"INSERT INTO {quoted(table)} ({', '.join(map(quoted, columns))}) VALUES "  # noqa: S608  (quoted)
        self._width = len(columns) - 1
        self._row = f"({run:d}{', ?' * self._width})"
        limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self._most_rows = max(1, min(_MOST_ROWS, limit // self._width))
        self._sql_of_many = self._head + ", ".join([self._row] * self._most_rows)

    def rows(self, *columns: Column) -> None:
        """One row for each place in `columns`, which are equally long and follow on `run`."""
        width = self._width
        flat: list[Any] = [None] * (len(columns[0]) * width)
        for number, column in enumerate(columns):
            flat[number::width] = column
        step = self._most_rows * width
        whole = len(flat) - len(flat) % step
        for at in range(0, whole, step):
            self._connection.execute(self._sql_of_many, flat[at : at + step])
        rest = (flat[at : at + width] for at in range(whole, len(flat), width))
        self._connection.executemany(self._head + self._row, rest)
