"""Names and columns of SQLite tables, whatever is in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path

from dtopipe.model.errors import SinkError

# What to do about a file that cannot take what is to be written.
OTHER_FILE = "give another path, or on_exists: rename"
# How the definition of a data table begins.
RUN_COLUMN = "(run INTEGER NOT NULL REFERENCES runs"


def quoted(name: str) -> str:
    """The name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> bytes:
    """Equal for names that SQLite takes for one: it knows no difference between ASCII's capitals and small letters."""
    return name.encode().lower()


def columns_of(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """The declared type of each column, in order; empty where there is no such table."""
    return {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")}


def check_columns(path: Path, table: str, existing: Collection[str], wanted: Iterable[str]) -> None:
    """Raise SinkError if the table lacks one of these columns, and so is somebody else's."""
    absent = [column for column in wanted if column not in existing]
    if absent:
        raise SinkError(path, f"its table {table!r} is not one of ours: it has no column {absent[0]!r}", OTHER_FILE)


def check_text(path: Path, what: str, name: str) -> None:
    """A name that SQLite can hold: it ends at the first NUL, and half a surrogate pair has no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SinkError(path, f"{what} {name!r} is not Unicode text", "choose another name") from None
    if "\0" in name:
        raise SinkError(path, f"{what} {name!r} has a NUL in it, which SQLite cannot hold", "choose another name")
