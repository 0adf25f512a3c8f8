"""What people and instruments noted of a run, as rows of SQLite: marks, readings of instruments, metadata."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.model.facts import strict_json
from dtopipe.model.marks import Mark
from dtopipe.model.reading_columns import READING_NUMBER, instrument_row, reading_columns
from dtopipe.model.stream import Channel
from dtopipe.sinks.rows.waiting_notes import WaitingNotes
from dtopipe.sinks.sqlite.readings import ensure_readings_table, stored_name
from dtopipe.sinks.sqlite.schema import MARK_COLUMNS
from dtopipe.sinks.sqlite.tables import columns_of, quoted


class NoteRows(WaitingNotes):
    """What is in the database already stays as it is."""

    def __init__(self, path: Path, run: int, task: str, table: str) -> None:
        """`table`: the one for readings."""
        super().__init__(run, task)
        self._path = path
        self._table = table

    def insert(self, connection: sqlite3.Connection) -> None:
        """In the transaction that the connection is in. Raises sqlite3.Error, SinkError."""
        if self._marks:
            insert_marks(connection, self._run, list(self._marks.values()))
        if self._metadata is not None:
            set_metadata(connection, self._run, self._metadata)
        if self._readings and not self.remark:
            try:
                self._insert_readings(connection)
            except SinkError as error:
                # The samples go on: what a run before has made of the table is not their fault.
                self.remark = f"the readings of instruments are not in it: {error.message}"

    def _insert_readings(self, connection: sqlite3.Connection) -> None:
        names = {name for reading in self._readings for name in reading.values}
        self._channels |= {name: Channel(name) for name in sorted(names - self._channels.keys())}
        channels = list(self._channels.values())
        self._ensure_columns(connection, channels)
        columns = ["run", READING_NUMBER, *(stored_name(column) for column in reading_columns(channels))]
        connection.executemany(
            f"INSERT OR IGNORE INTO {quoted(self._table)} ({', '.join(map(quoted, columns))})"  # noqa: S608  (quoted)
            f" VALUES ({', '.join('?' * len(columns))})",
            [(self._run, reading.number, *instrument_row(reading, self._task, channels)) for reading in self._readings],
        )

    def _ensure_columns(self, connection: sqlite3.Connection, channels: Sequence[Channel]) -> None:
        ensure_readings_table(connection, self._path, self._table, channels)
        if READING_NUMBER not in columns_of(connection, self._table):
            connection.execute(f"ALTER TABLE {quoted(self._table)} ADD COLUMN {READING_NUMBER} INTEGER")
        # By this a reading that comes again is known.
        connection.execute(
            f"CREATE UNIQUE INDEX IF NOT EXISTS {quoted(f'{self._table}_{READING_NUMBER}')}"
            f" ON {quoted(self._table)} (run, {READING_NUMBER}) WHERE {READING_NUMBER} IS NOT NULL"
        )


def insert_marks(connection: sqlite3.Connection, run: int, marks: Sequence[Mark]) -> None:
    """Those that are not there yet."""
    connection.executemany(
        f"INSERT OR IGNORE INTO marks ({', '.join(MARK_COLUMNS)})"  # noqa: S608
        f" VALUES ({', '.join('?' * len(MARK_COLUMNS))})",
        [
            (
                run, mark.number, mark.label, mark.text, mark.sample_index, mark.t_mono_ns, mark.t_utc_ns, mark.by,
                mark.set_at_ns,
            )
            for mark in marks
        ],
    )  # fmt: skip


def mark_from_row(row: Sequence[Any]) -> Mark:
    """The mark in this row of `marks`, without its run. Raises ValueError for what is none."""
    number, label, text, sample_index, t_mono_ns, t_utc_ns, by, set_at_ns = row
    return Mark(number, label, sample_index, t_mono_ns, t_utc_ns, text, by, set_at_ns)


def set_metadata(connection: sqlite3.Connection, run: int, metadata: Mapping[str, Any]) -> None:
    """The run's metadata, all of them."""
    connection.execute("UPDATE runs SET metadata = ? WHERE run = ?", (strict_json(dict(metadata)), run))
