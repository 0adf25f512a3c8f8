"""What people and instruments noted of a run, as rows of Postgres: marks, readings of instruments, metadata.

They have a transaction of their own: rows are known by their numbers, and one that was done twice is as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.reading_columns import READING_NUMBER, instrument_row, reading_columns
from dtopipe.model.readings import ColumnKind
from dtopipe.model.stream import Channel
from dtopipe.sinks.postgres.columns import MARKS
from dtopipe.sinks.postgres.schema import (
    READING_TYPES,
    Tables,
    columns_of,
    ensure_table,
    json_of,
    lock_tables,
    quoted,
    text,
)
from dtopipe.sinks.rows.waiting_notes import WaitingNotes

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NAME = 63


class NoteRows(WaitingNotes):
    """Those of one run, as rows of its tables."""

    def __init__(self, tables: Tables, run: int, task: str) -> None:
        super().__init__(run, task)
        self._tables = tables
        # How many values the table of readings has columns for, by a transaction that was done.
        self._ensured = 0

    async def insert(self, connection: Any) -> None:
        """In the transaction that the connection is in. Raises SinkError, asyncpg's errors."""
        if self._marks:
            await self._insert_marks(connection)
        if self._metadata is not None:
            await set_metadata(connection, self._tables, self._run, self._metadata)
        if self._readings:
            await self._insert_readings(connection)

    def done(self) -> None:
        """As WaitingNotes.done."""
        super().done()
        self._ensured = len(self._channels)

    async def _insert_marks(self, connection: Any) -> None:
        try:
            await lock_tables(connection, self._tables)
            await ensure_table(connection, self._tables, "marks", MARKS, "PRIMARY KEY (run, number)")
        except SinkError as error:
            self.remark = f"the marks are not in it: {error.message}"
            return
        await self._insert(
            connection,
            "marks",
            list(MARKS),
            [
                (
                    self._run, mark.number, text(mark.label), text(mark.text), mark.sample_index, mark.t_mono_ns,
                    _timestamp(mark.t_utc_ns), mark.t_utc_ns, text(mark.by), _timestamp(mark.set_at_ns), mark.set_at_ns,
                )
                for mark in self._marks.values()
            ],
        )  # fmt: skip

    async def _insert_readings(self, connection: Any) -> None:
        names = {name for reading in self._readings for name in reading.values}
        self._channels |= {name: Channel(name) for name in sorted(names - self._channels.keys())}
        channels = list(self._channels.values())
        columns = reading_columns(channels)
        kinds = {"run": "bigint", READING_NUMBER: "bigint"}
        kinds |= {column.name: READING_TYPES[column.kind] for column in columns}
        table = self._tables.config.table_readings
        try:
            if len(channels) > self._ensured:
                await lock_tables(connection, self._tables)
                await ensure_table(connection, self._tables, table, kinds, "")
                await self._ensure_known(connection, table)
        except SinkError as error:
            # The samples go on: what a run before has made of the table is not their fault.
            self.remark = f"the readings of instruments are not in it: {error.message}"
            return
        times = [2 + number for number, column in enumerate(columns) if column.kind is ColumnKind.TIME]
        rows = []
        for reading in self._readings:
            row = [self._run, reading.number, *instrument_row(reading, self._task, channels)]
            for at in times:
                row[at] = None if row[at] is None else _timestamp(row[at])
            rows.append(tuple(text(value) if isinstance(value, str) else value for value in row))
        await self._insert(connection, table, list(kinds), rows)

    async def _ensure_known(self, connection: Any, table: str) -> None:
        """The index by which a reading that comes again is known. Raises SinkError where it may not be made."""
        name = f"{table}_{READING_NUMBER}"[-_LONGEST_NAME:]
        there = f"{quoted(self._tables.config.schema)}.{quoted(name)}"
        if await connection.fetchval("SELECT to_regclass($1)::oid", there) is not None:
            return
        statement = (
            f"CREATE UNIQUE INDEX {quoted(name)} ON {self._tables.path(table)} (run, {READING_NUMBER})"
            f" WHERE {READING_NUMBER} IS NOT NULL"
        )
        if not self._tables.config.create_tables:
            raise SinkError(self._tables.config.target(), f"there is no index {name!r}", f"execute: {statement}")
        await connection.execute(statement)

    async def _insert(self, connection: Any, table: str, columns: Sequence[str], rows: Sequence[Any]) -> None:
        names = ", ".join(quoted(name) for name in columns)
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        await connection.executemany(
            f"INSERT INTO {self._tables.path(table)} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING", rows
        )


async def set_metadata(connection: Any, tables: Tables, run: int, metadata: Mapping[str, Any]) -> None:
    """The run's metadata, all of them."""
    await connection.execute(
        f"UPDATE {tables.path('runs')} SET metadata = $2 WHERE run = $1", run, json_of(dict(metadata))
    )


async def marks_of(connection: Any, tables: Tables, run: int) -> list[Mark]:
    """The marks of a run, by their numbers; none in an output of an earlier version."""
    if not await columns_of(connection, tables, "marks"):
        return []
    rows = await connection.fetch(
        "SELECT number, label, sample_index, t_mono_ns, t_utc_ns, text, set_by, set_at_ns"
        f" FROM {tables.path('marks')} WHERE run = $1 ORDER BY number",
        run,
    )
    return [Mark(*row) for row in rows]


def _timestamp(t_utc_ns: int) -> datetime:
    return _UNIX_EPOCH + timedelta(microseconds=t_utc_ns // 1000)
