"""How many columns a row of SQLite takes, and which names it keeps for itself."""

from __future__ import annotations

from collections.abc import Sequence

from dtopipe.model.sink_types import Column, ColumnLimits, Found
from dtopipe.sinks.rows.fixed_columns import FIXED_COLUMNS

# As SQLite is compiled everywhere: https://www.sqlite.org/limits.html
MOST_COLUMNS = 2000
# What every row of SQLite has, and what is asked for by it: a column of this name would hide it.
ROW_NAME = "rowid"
# Of `samples`: the run, and the times; of the readings these, six more, and two of errors.
_N_FIXED, _N_FIXED_OF_READINGS = 4, 12


def _most(columns: Sequence[Column], polled: bool) -> int:
    fixed, a_channel = (_N_FIXED_OF_READINGS, 2) if polled else (_N_FIXED, 1)
    return (MOST_COLUMNS - fixed) // a_channel


def name_problems(sink: str, columns: Sequence[Column], *, polled: bool) -> Found:
    """SQLite takes ASCII capitals and small letters of a column for the same, and a row has a name of its own."""
    seen = {column: column for column in FIXED_COLUMNS}
    for column in columns:
        folded = "".join(letter.lower() if letter.isascii() else letter for letter in column.name)
        if folded == ROW_NAME:
            remedy = "rename this channel" if polled else f"rename it, or set sinks.{sink}.layout: long"
            yield column.key, f"{column.name!r} is what SQLite calls a row by (sink {sink})", remedy
        other = seen.setdefault(folded, column.name)
        # Columns of readings have names of their own where these would be alike.
        if other != column.name and not polled:
            remedy = "rename one of them, or set layout: long"
            yield column.key, f"{column.name!r} and {other!r} are the same column in SQLite (sink {sink})", remedy


COLUMNS = ColumnLimits("SQLite takes a row", _most, name_problems)
