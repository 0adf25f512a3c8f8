"""Other runs that are in the same database, kept while one of them is written anew."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from dtopipe.sinks.sqlite.salvage import DAMAGE
from dtopipe.sinks.sqlite.tables import quoted


def copied(path: Path, new: Path, run_id: str) -> bool:
    """Copy a database without this run; False, and no copy, if it has no other. Raises OSError."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as old:
            if not old.execute("SELECT count(*) FROM runs WHERE run_id != ?", (run_id,)).fetchone()[0]:
                return False
            with contextlib.closing(sqlite3.connect(new)) as copy:
                old.backup(copy)
                tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                keys = [key for (key,) in copy.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,))]
                for table in tables:
                    columns = [row[1] for row in copy.execute(f"PRAGMA table_info({quoted(table)})")]
                    if "run" in columns:
                        delete = f"DELETE FROM {quoted(table)} WHERE run = ?"  # noqa: S608
                        copy.executemany(delete, [(key,) for key in keys])
                copy.commit()
    except DAMAGE as error:
        # No database, or a damaged one: there is nothing that could be kept.
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise OSError(str(error)) from error
        return False
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
    return True
