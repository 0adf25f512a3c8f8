"""What is known of outputs in SQLite."""

from __future__ import annotations

from dtopipe.model.sink_types import ClosingCost, OutputSize, RowBytes, SinkType
from dtopipe.sinks.sqlite.limits import COLUMNS

# Beside the database while it is open or was not closed; they belong to it wherever it goes.
SIDE_SUFFIXES = ("-wal", "-shm", "-journal")

SQLITE = SinkType(
    name="sqlite",
    writer="dtopipe.sinks.sqlite.writer:SqliteWriter",
    reader="dtopipe.sinks.sqlite.reader:SqliteReader",
    makes_views=True,
    options="dtopipe.sinks.sqlite.options:SqliteOptions",
    reader_takes_stream=True,
    suffix=".db",
    look='sqlite3 "{path}" "SELECT * FROM samples LIMIT 5"\n'
    'or: "{python}" -c "import sqlite3; '
    "print(*sqlite3.connect(r'{path}').execute('SELECT * FROM samples LIMIT 5'), sep='\\n')\"",
    magic=b"SQLite format 3\x00",
    companions=SIDE_SUFFIXES,
    columns=COLUMNS,
    size=OutputSize(wide=RowBytes(30, 9), long=RowBytes(0, 75), readings=RowBytes(80, 14)),
    # Its log goes back into the file while it is still there; each commit touches pages of 8 KiB.
    closing=ClosingCost(of_waiting=1.0, in_any_case=2**19),
    commits_in_output=True,
    complete_unclosed=True,
    other_runs="dtopipe.sinks.sqlite.other_runs:copied",
    metadata_changer="dtopipe.sinks.sqlite.changing:change_metadata",
)
