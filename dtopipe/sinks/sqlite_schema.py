"""The tables of a SQLite output: what is in them, and which names and units they cannot take.

`runs` has one row a run, and every data table carries `run`, the key into it, so that one file holds many runs.
A channel is a column of `samples` for good: its unit is that of the first run that wrote it. `samples` has no index:
its rows are in order, and a key would cost a fifth of the speed of writing; who wants one adds it afterwards.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dtopipe.model.errors import SinkError
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.stream import Channel, Stream

SAMPLE_COLUMNS = ("run", "sample_index", "t_mono_ns", "t_utc_ns")
BLOCK_COLUMNS = ("run", "block_index", "first_sample_index", "samples_per_channel", "t_mono_ns", "t_utc_ns")
BLOCK_STATS_COLUMNS = ("run", "first_sample_index", "channel", "n_values", "min", "max", "mean")
GAP_COLUMNS = ("run", "start", "stop", "cause", "t_utc_ns")
LONG_COLUMNS = (
    "run", "device", "task", "channel", "block_index", "sample_index", "t_mono_ns", "t_utc_ns", "value", "unit",
    "error_type", "error_message",
)  # fmt: skip
_OTHER_FILE = "give another path, or on_exists: rename"


@dataclass(frozen=True, slots=True)
class TableNames:
    """The tables that may be called otherwise; `readings` belongs to polled tasks."""

    readings: str = "readings"
    blocks: str = "blocks"

    def checked(self, path: Path) -> TableNames:
        """These names, if no two tables would be one. Raises SinkError."""
        taken = {folded(name): name for name in ("runs", "channels", "samples", "samples_long", "gaps", "block_stats")}
        for option, name in (("table_readings", self.readings), ("table_blocks", self.blocks)):
            _check_text(path, "table name", name)
            if not name or folded(name) in taken or folded(name).startswith(b"sqlite_"):
                raise SinkError(path, f"{option} cannot be {name!r}: that table has another use", "choose another name")
            taken[folded(name)] = name
        return self


def quoted(name: str) -> str:
    """The name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> bytes:
    """Equal for names that SQLite takes for one: it knows no difference between ASCII's capitals and small letters."""
    return name.encode().lower()


def check_channels(path: Path, names: Sequence[str]) -> None:
    """Refuse what cannot be columns of one table. Raises SinkError."""
    seen = {folded(name): name for name in SAMPLE_COLUMNS}
    for name in names:
        _check_text(path, "channel", name)
        other = seen.get(folded(name))
        if other is not None:
            what = "is also a fixed column" if other in SAMPLE_COLUMNS else f"and {other!r} are one name to SQLite"
            raise SinkError(path, f"channel {name!r} {what}", "rename the channel, or use layout: long")
        seen[folded(name)] = name


def create_tables(
    connection: sqlite3.Connection, path: Path, stream: Stream, layout: Layout, tables: TableNames
) -> None:
    """Make the tables, or what an older output lacks of them, ready for `stream`. Raises SinkError."""
    for name, definition in _fixed_tables(tables).items():
        _create(connection, path, name, definition)
    if layout is Layout.LONG:
        _create(connection, path, "samples_long", _SAMPLES_LONG)
        return
    columns = [f"{quoted(channel.name)} {_column_type(channel)}" for channel in stream.channels]
    existing = _columns(connection, "samples")
    if existing:
        _check_units(connection, path, stream)
        _add_columns(connection, path, stream.channels, existing)
        return
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_COLUMN)
    if len(columns) + len(SAMPLE_COLUMNS) > most:
        raise SinkError(path, f"{len(columns)} channels are too many columns for SQLite", "use layout: long")
    connection.execute(f"CREATE TABLE samples {_SAMPLES}, {', '.join(columns)})")


def insert_run(connection: sqlite3.Connection, stream: Stream, layout: Layout, start: int) -> int:
    """Note a new run and its channels; returns its key."""
    cursor = connection.execute(
        "INSERT INTO runs (run_id, task, device, started_at, rate_hz, simulated, layout, dtype, samples_per_block,"
        " metadata, start, committed, durable, samples, gap_samples, dropped, finished)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0)",
        (
            stream.run_id, stream.task, stream.device, stream.started_at, stream.rate_hz, stream.simulated,
            layout.value, stream.dtype, stream.samples_per_block,
            json.dumps(dict(stream.metadata), ensure_ascii=False, default=str), start, start, start,
        ),
    )  # fmt: skip
    run = cursor.lastrowid or 0
    connection.executemany(
        "INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(run, number, *_channel_row(channel)) for number, channel in enumerate(stream.channels)],
    )
    return run


def find_run(connection: sqlite3.Connection, run_id: str | None) -> tuple[int, Position] | None:
    """Key and position of the newest run with this id, or of all; None where there is none."""
    row = connection.execute(
        "SELECT run, start, committed, durable, samples, gap_samples, dropped FROM runs"
        " WHERE run_id = ifnull(?, run_id) ORDER BY run DESC LIMIT 1",
        (run_id,),
    ).fetchone()
    return None if row is None else (row[0], Position(*row[1:]))


def has_runs(connection: sqlite3.Connection) -> bool:
    """True if there is a table `runs`."""
    return bool(_columns(connection, "runs"))


def _fixed_tables(tables: TableNames) -> dict[str, str]:
    return {
        "runs": "(run INTEGER PRIMARY KEY, run_id TEXT NOT NULL, task TEXT NOT NULL, device TEXT NOT NULL,"
        " started_at TEXT NOT NULL, rate_hz REAL NOT NULL, simulated INTEGER NOT NULL, layout TEXT NOT NULL,"
        " dtype TEXT NOT NULL, samples_per_block INTEGER NOT NULL, metadata TEXT NOT NULL, start INTEGER NOT NULL,"
        " committed INTEGER NOT NULL, durable INTEGER NOT NULL, samples INTEGER NOT NULL,"
        " gap_samples INTEGER NOT NULL, dropped INTEGER NOT NULL, finished INTEGER NOT NULL)",
        "channels": f"{_RUN}, channel INTEGER NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL, kind TEXT NOT NULL,"
        " scale REAL NOT NULL, offset REAL NOT NULL, range_low REAL, range_high REAL, physical_channel INTEGER,"
        " details TEXT NOT NULL, calibration TEXT, PRIMARY KEY (run, channel))",
        # Of polled boards; each of their channels adds a column.
        tables.readings: f"{_RUN}, sample_index INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL,"
        " t_utc_ns INTEGER NOT NULL, requested_utc_ns INTEGER, received_utc_ns INTEGER, latency_s REAL,"
        " error_type TEXT, error_message TEXT)",
        "gaps": f"{_RUN}, start INTEGER NOT NULL, stop INTEGER NOT NULL, cause TEXT NOT NULL,"
        " t_utc_ns INTEGER NOT NULL, PRIMARY KEY (run, start))",
        tables.blocks: f"{_RUN}, block_index INTEGER NOT NULL, first_sample_index INTEGER NOT NULL,"
        " samples_per_channel INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL, t_utc_ns INTEGER NOT NULL,"
        " PRIMARY KEY (run, first_sample_index))",
        # Of the samples that are not null; `channel` as in `channels`.
        "block_stats": f"{_RUN}, first_sample_index INTEGER NOT NULL, channel INTEGER NOT NULL,"
        " n_values INTEGER NOT NULL, min REAL, max REAL, mean REAL,"
        " PRIMARY KEY (run, first_sample_index, channel)) WITHOUT ROWID",
    }


_RUN = "(run INTEGER NOT NULL REFERENCES runs"
_SAMPLES = f"{_RUN}, sample_index INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL, t_utc_ns INTEGER NOT NULL"
_SAMPLES_LONG = (
    f"{_RUN}, device TEXT NOT NULL, task TEXT NOT NULL, channel TEXT NOT NULL, block_index INTEGER NOT NULL,"
    " sample_index INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL, t_utc_ns INTEGER NOT NULL, value REAL,"
    " unit TEXT NOT NULL, error_type TEXT, error_message TEXT)"
)


def _create(connection: sqlite3.Connection, path: Path, name: str, definition: str) -> None:
    """One table; where it is there already it must have our columns, or it is somebody else's."""
    existing = _columns(connection, name)
    if not existing:
        connection.execute(f"CREATE TABLE {quoted(name)} {definition}")
        return
    with contextlib.closing(sqlite3.connect(":memory:")) as ours:
        ours.execute(f"CREATE TABLE {quoted(name)} {definition}")
        _check_columns(path, name, existing, _columns(ours, name))


def _check_columns(path: Path, table: str, existing: Sequence[str], wanted: Sequence[str]) -> None:
    absent = [column for column in wanted if column not in existing]
    if absent:
        raise SinkError(path, f"its table {table!r} is not one of ours: it has no column {absent[0]!r}", _OTHER_FILE)


def _add_columns(
    connection: sqlite3.Connection, path: Path, channels: Sequence[Channel], existing: Sequence[str]
) -> None:
    """Columns for the channels that no run before had."""
    names = {folded(name): name for name in existing}
    _check_columns(path, "samples", existing, SAMPLE_COLUMNS)
    for channel in channels:
        there = names.get(folded(channel.name))
        if there is None:
            connection.execute(f"ALTER TABLE samples ADD COLUMN {quoted(channel.name)} {_column_type(channel)}")
        elif there != channel.name:
            raise SinkError(
                path, f"channel {channel.name!r} and its column {there!r} are one name to SQLite", _OTHER_FILE
            )


def _check_units(connection: sqlite3.Connection, path: Path, stream: Stream) -> None:
    """A column with two units would be read wrong by everybody who does not look into `channels`."""
    rows = connection.execute(
        "SELECT name, unit FROM channels JOIN runs USING (run) WHERE layout = 'wide' ORDER BY run"
    )
    units = dict(rows.fetchall())
    for channel in stream.channels:
        unit = units.get(channel.name, channel.unit)
        if unit != channel.unit:
            message = f"channel {channel.name!r} is in {channel.unit!r}, and its column holds {unit!r} of earlier runs"
            raise SinkError(path, message, f"{_OTHER_FILE}, or layout: long")


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]


def _column_type(channel: Channel) -> str:
    return "INTEGER" if channel.is_raw else "REAL"


def _channel_row(channel: Channel) -> tuple[str | float | int | None, ...]:
    low, high = channel.range or (None, None)
    details = json.dumps(dict(channel.details), ensure_ascii=False, default=str)
    calibration = channel.details.get("calibration")
    return (
        channel.name, channel.unit, channel.kind, channel.scale, channel.offset, low, high,
        channel.physical_channel, details,
        None if calibration is None else json.dumps(calibration, ensure_ascii=False, default=str),
    )  # fmt: skip


def _check_text(path: Path, what: str, name: str) -> None:
    """A name that SQLite can hold: it ends at the first NUL, and half a surrogate pair has no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SinkError(path, f"{what} {name!r} is not Unicode text", "choose another name") from None
    if "\0" in name:
        raise SinkError(path, f"{what} {name!r} has a NUL in it, which SQLite cannot hold", "choose another name")
