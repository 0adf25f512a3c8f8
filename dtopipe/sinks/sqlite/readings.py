"""The table of readings in a SQLite output.

The unit of a value stands in its row, so that runs with other units may share a column.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from dtopipe.model.errors import SinkError
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, ReadingColumn
from dtopipe.model.stream import Channel
from dtopipe.sinks.sqlite.tables import OTHER_FILE, RUN_COLUMN, check_columns, columns_of, folded, quoted

_TYPES = {ColumnKind.INTEGER: "INTEGER", ColumnKind.FLOAT: "REAL", ColumnKind.TEXT: "TEXT", ColumnKind.TIME: "INTEGER"}
_ALWAYS = ("sample_index", "t_mono_ns", "t_utc")


def stored_name(column: ReadingColumn) -> str:
    """What a column of readings is called in SQLite, whose times are integers."""
    return f"{column.name}_ns" if column.kind is ColumnKind.TIME else column.name


def ensure_readings_table(connection: sqlite3.Connection, path: Path, table: str, channels: Sequence[Channel]) -> None:
    """Make the table, or the columns that it lacks for these channels. Raises SinkError."""
    columns = reading_columns(channels)
    existing = columns_of(connection, table)
    if existing:
        check_columns(path, table, existing, ["run", *map(stored_name, reading_columns(()))])
        _add_columns(connection, path, table, columns, existing)
        return
    if len(columns) >= connection.getlimit(sqlite3.SQLITE_LIMIT_COLUMN):
        raise SinkError(path, f"{len(columns)} columns of readings are too many for SQLite", "select fewer channels")
    definitions = ", ".join(_definition(column) for column in columns)
    connection.execute(f"CREATE TABLE {quoted(table)} {RUN_COLUMN}, {definitions})")


def _definition(column: ReadingColumn) -> str:
    always = " NOT NULL" if column.channel is None and column.name in _ALWAYS else ""
    return f"{quoted(stored_name(column))} {_TYPES[column.kind]}{always}"


def _add_columns(
    connection: sqlite3.Connection,
    path: Path,
    table: str,
    columns: Sequence[ReadingColumn],
    existing: dict[str, str],
) -> None:
    """Columns for the channels that no run before had. Raises SinkError where one would hold something else."""
    names = {folded(name): name for name in existing}
    for column in columns:
        wanted = stored_name(column)
        there = names.get(folded(wanted))
        if there is None:
            connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {_definition(column)}")
        elif there != wanted:
            raise SinkError(path, f"column {wanted!r} and its column {there!r} are one name to SQLite", OTHER_FILE)
        elif existing[there] != _TYPES[column.kind]:
            raise SinkError(path, f"its column {there!r} holds something else of an earlier run", OTHER_FILE)
