"""Rows of a table of SQLite in their order, also behind pages that are damaged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dtopipe.sinks.file.whole_part import OnDamage
from dtopipe.sinks.sqlite.tables import quoted

# A message of SQLite's that quotes a damaged file may be no UTF-8 either.
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
# No table has a row behind this one.
_FURTHEST = 2**48


@dataclass(frozen=True, slots=True)
class RowsOfRun:
    """The rows of one run in a table, with these columns; `only`: of these the rows for which that SQL holds."""

    table: str
    columns: Sequence[str]
    run: int
    only: str = "1"

    def rows(self, connection: sqlite3.Connection, n_rows: int, on_damage: OnDamage) -> Iterator[list[Any]]:
        """It gives up to `n_rows` at a time; `on_damage` hears of those that cannot be read."""
        row = 0
        while True:
            try:
                cursor = self._from(connection, row)
                while found := cursor.fetchmany(n_rows):
                    # What a damaged page leads to may be rows that were there before, again and again.
                    sound = _rising(found, row)
                    if sound:
                        row = found[sound - 1][-1]
                        yield found[:sound]
                    if sound < len(found):
                        raise sqlite3.DatabaseError("they are not in their order")
                return
            except DAMAGE as error:
                if _is_away(error):
                    raise
                # Those of a fetch that failed are fetched once more, one by one, and those of other runs with them:
                # else one step at a time would be tried from the last of ours to the damage.
                found = self._before_damage(connection, row, n_rows)
                if found:
                    row = found[-1][-1]
                    if ours := [[*each[:-2], each[-1]] for each in found if each[-2] == self.run]:
                        yield ours
                if len(found) == n_rows:
                    continue
                behind = self._readable_behind(connection, row)
                last = "the end" if behind is None else f"{behind:,}"
                on_damage(f"rows {row + 1:,} to {last} of table {self.table} cannot be read ({error})")
                if behind is None:
                    return
                row = behind

    def _from(self, connection: sqlite3.Connection, row: int) -> sqlite3.Cursor:
        """The rows behind that number, in the order of the file; the number is the last column."""
        return connection.execute(
            f"SELECT {self._names}, rowid FROM {quoted(self.table)}"  # noqa: S608  (names are quoted)
            f" WHERE run = ? AND rowid > ? AND {self.only} ORDER BY rowid",
            (self.run, row),
        )

    @property
    def _names(self) -> str:
        return ", ".join(quoted(name) for name in self.columns)

    def _before_damage(self, connection: sqlite3.Connection, row: int, most: int) -> list[Any]:
        """Rows of any run behind that number, which rises, up to the first that cannot be read; then run and number."""
        found: list[Any] = []
        with contextlib.suppress(*DAMAGE):
            cursor = connection.execute(
                f"SELECT {self._names}, run, rowid FROM {quoted(self.table)}"  # noqa: S608  (names are quoted)
                f" WHERE rowid > ? AND {self.only} ORDER BY rowid",
                (row,),
            )
            while len(found) < most and (each := cursor.fetchone()) is not None:
                found.append(each)
        return found[: _rising(found, row)]

    def _readable_behind(self, connection: sqlite3.Connection, row: int) -> int | None:
        """The last number from `row` on behind which nothing can be read; None where nothing follows that can be."""
        step = 1
        while not self._can_be_read(connection, row + step):
            step *= 2
            if step > _FURTHEST:
                return None
        low, high = row + step // 2, row + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._can_be_read(connection, middle) else (middle, high)
        return high

    def _can_be_read(self, connection: sqlite3.Connection, row: int) -> bool:
        names = f"{self._names}, rowid"
        query = f"SELECT {names} FROM {quoted(self.table)} WHERE rowid > ? ORDER BY rowid LIMIT 1"  # noqa: S608
        try:
            found = connection.execute(query, (row,)).fetchone()
        except DAMAGE:
            return False
        return found is None or found[-1] > row


def _rising(rows: Sequence[Any], behind: int) -> int:
    """How many of the first rows have numbers that rise, from behind that one on."""
    numbers = np.fromiter((row[-1] for row in rows), np.int64, len(rows))
    falls = np.flatnonzero(np.diff(numbers, prepend=behind) <= 0)
    return int(falls[0]) if len(falls) else len(rows)


def _is_away(error: Exception) -> bool:
    """True where a file is locked or gone. That a text is no UTF-8, Python finds, and gives it no code of SQLite's."""
    return isinstance(error, sqlite3.OperationalError) and hasattr(error, "sqlite_errorcode")
