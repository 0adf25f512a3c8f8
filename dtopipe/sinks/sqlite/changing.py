"""The metadata of a run that is in a SQLite database, changed afterwards."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SinkError
from dtopipe.sinks.sqlite.notes import set_metadata
from dtopipe.sinks.sqlite.schema import find_run, has_runs

# Another run may be written into the same file.
_PATIENCE_S = 5.0


def change_metadata(path: Path, run_id: str, metadata: Mapping[str, Any]) -> None:
    """In one transaction, which is durable; nothing else of the database changes. Raises SinkError."""
    if not path.is_file():
        raise SinkError(path, "is not there", "put it back, and type it again")
    try:
        uri = f"{path.resolve().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S, isolation_level=None)) as base:
            base.execute("PRAGMA synchronous = FULL")
            base.execute("BEGIN IMMEDIATE")
            found = find_run(base, run_id) if has_runs(base) else None
            if found is None:
                raise SinkError(path, f"has no run {run_id}", "see its table runs")
            set_metadata(base, found[0], metadata)
            base.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise SinkError(
            path, f"cannot be changed: {error}", "see whether it can be written, and type it again"
        ) from error
