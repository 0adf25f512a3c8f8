"""The tables of a SQLite output: what is in them, and which names and units they cannot take.

`runs` has one row a run, and every data table carries `run`, the key into it, so that one file holds many runs.
A channel is a column of `samples` for good: its unit is that of the first run that wrote it. `samples` has no index:
its rows are in order, and a key would cost a fifth of the speed of writing; who wants one adds it afterwards.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from dtopipe.model.errors import SinkError
from dtopipe.model.facts import parsed, strict_json
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.sqlite.limits import ROW_NAME
from dtopipe.sinks.sqlite.readings import ensure_readings_table
from dtopipe.sinks.sqlite.tables import OTHER_FILE, RUN_COLUMN, check_columns, check_text, columns_of, folded, quoted
from dtopipe.wire.describe import stream_from

SAMPLE_COLUMNS = ("run", "sample_index", "t_mono_ns", "t_utc_ns")
BLOCK_COLUMNS = ("run", "block_index", "first_sample_index", "samples_per_channel", "t_mono_ns", "t_utc_ns")
BLOCK_STATS_COLUMNS = ("run", "first_sample_index", "channel", "n_values", "min", "max", "mean")
# What `runs.layout` says of a run of readings.
READINGS_LAYOUT = "readings"
GAP_COLUMNS = ("run", "start", "stop", "cause", "t_utc_ns")
MARK_COLUMNS = (
    "run", "number", "label", "text", "sample_index", "t_mono_ns", "t_utc_ns", "set_by", "set_at_ns",
)  # fmt: skip
NULL_COLUMNS = ("run", "channel", "start", "stop", "samples", "cause")
LONG_COLUMNS = (
    "run", "device", "task", "channel", "block_index", "sample_index", "t_mono_ns", "t_utc_ns", "value", "unit",
    "error_type", "error_message",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableNames:
    """The tables that may be called otherwise; `readings` belongs to polled tasks."""

    readings: str = "readings"
    blocks: str = "blocks"

    def data_table(self, stream: Stream, layout: Layout) -> str:
        """The one whose columns the stream's channels are."""
        if stream.polled:
            return self.readings
        return "samples" if layout is Layout.WIDE else "samples_long"

    def checked(self, path: Path) -> TableNames:
        """These names, if no two tables would be one. Raises SinkError."""
        fixed = ("runs", "channels", "samples", "samples_long", "gaps", "null_ranges", "block_stats", "marks")
        taken = {folded(name): name for name in fixed}
        for option, name in (("table_readings", self.readings), ("table_blocks", self.blocks)):
            check_text(path, "table name", name)
            if not name or folded(name) in taken or folded(name).startswith(b"sqlite_"):
                raise SinkError(path, f"{option} cannot be {name!r}: that table has another use", "choose another name")
            taken[folded(name)] = name
        return self


def check_channels(path: Path, stream: Stream, layout: Layout) -> None:
    """Refuse what SQLite cannot hold. Raises SinkError."""
    names = [channel.name for channel in stream.channels]
    if layout is Layout.WIDE or stream.polled:
        _check_row_name(path, names)
    if layout is Layout.WIDE and not stream.polled:
        _check_columns_of_samples(path, names)
        return
    for name in names:
        check_text(path, "channel", name)


def _check_row_name(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if name.lower() == ROW_NAME:
            raise SinkError(path, f"channel {name!r} is what SQLite calls a row by", "rename the channel")


def _check_columns_of_samples(path: Path, names: Sequence[str]) -> None:
    seen = {folded(name): name for name in SAMPLE_COLUMNS}
    for name in names:
        check_text(path, "channel", name)
        other = seen.get(folded(name))
        if other is not None:
            what = "is also a fixed column" if other in SAMPLE_COLUMNS else f"and {other!r} are one name to SQLite"
            raise SinkError(path, f"channel {name!r} {what}", "rename the channel, or use layout: long")
        seen[folded(name)] = name


def create_tables(
    connection: sqlite3.Connection, path: Path, stream: Stream, layout: Layout, tables: TableNames
) -> None:
    """Make the tables, or what an older output lacks of them, ready for `stream`. Raises SinkError."""
    create_fixed_tables(connection, path, tables)
    ensure_readings_table(connection, path, tables.readings, stream.channels if stream.polled else ())
    if stream.polled:
        return
    if layout is Layout.LONG:
        _create(connection, path, "samples_long", _SAMPLES_LONG)
        return
    columns = [f"{quoted(channel.name)} {_column_type(channel)}" for channel in stream.channels]
    existing = columns_of(connection, "samples")
    if existing:
        _check_units(connection, path, stream)
        _add_columns(connection, path, stream.channels, existing)
        return
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_COLUMN)
    if len(columns) + len(SAMPLE_COLUMNS) > most:
        raise SinkError(path, f"{len(columns)} channels are too many columns for SQLite", "use layout: long")
    connection.execute(f"CREATE TABLE samples {_SAMPLES}, {', '.join(columns)})")


def create_fixed_tables(connection: sqlite3.Connection, path: Path, tables: TableNames) -> None:
    """Make those that no stream changes, or what a run that an earlier version began lacks of them."""
    for name, definition in _fixed_tables(tables).items():
        _create(connection, path, name, definition)


def insert_run(connection: sqlite3.Connection, stream: Stream, layout: Layout, start: int, table: str) -> int:
    """Note a new run and its channels, which are in `table`; returns its key."""
    cursor = connection.execute(
        "INSERT INTO runs (run_id, task, device, started_at, rate_hz, simulated, layout, dtype, samples_per_block,"
        " metadata, start, committed, durable, samples, gap_samples, dropped, finished)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0)",
        (
            stream.run_id, stream.task, stream.device, stream.started_at, stream.rate_hz, stream.simulated,
            READINGS_LAYOUT if stream.polled else layout.value, stream.dtype, stream.samples_per_block,
            strict_json(dict(stream.metadata)), start, start, start,
        ),
    )  # fmt: skip
    run = cursor.lastrowid or 0
    insert_channels(connection, run, stream, table)
    return run


def insert_channels(connection: sqlite3.Connection, run: int, stream: Stream, table: str) -> None:
    """Note the channels that a run has in `table`."""
    connection.executemany(
        "INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(run, table, number, *_channel_row(channel)) for number, channel in enumerate(stream.channels)],
    )


def find_run(connection: sqlite3.Connection, run_id: str | None) -> tuple[int, Position] | None:
    """Key and position of the newest run with this id, or of all; None where there is none."""
    row = connection.execute(
        "SELECT run, start, committed, durable, samples, gap_samples, dropped FROM runs"
        " WHERE run_id = ifnull(?, run_id) ORDER BY run DESC LIMIT 1",
        (run_id,),
    ).fetchone()
    return None if row is None else (row[0], Position(*row[1:]))


def run_stream(connection: sqlite3.Connection, run: int) -> Stream:
    """What the tables say of the run with this key. Raises WireError where that is damaged, sqlite3.Error."""
    columns = ("run_id", "task", "device", "started_at", "rate_hz", "simulated", "layout", "dtype", "samples_per_block")
    row = connection.execute(f"SELECT {', '.join(columns)}, metadata FROM runs WHERE run = ?", (run,)).fetchone()  # noqa: S608  (ours)
    facts = dict(zip((*columns, "metadata"), row, strict=True))
    of_channels = connection.execute(
        "SELECT name, unit, kind, scale, offset, range_low, range_high, physical_channel, details FROM channels"
        " WHERE run = ? ORDER BY channel",
        (run,),
    )
    channels = [
        {
            **dict(zip(("name", "unit", "kind", "scale", "offset"), found, strict=False)),
            "range": None if found[5] is None else [found[5], found[6]],
            "physical_channel": found[7],
            "details": parsed(found[8]),
        }
        for found in of_channels
    ]
    told = {"channels": channels, "metadata": parsed(facts["metadata"]), "simulated": bool(facts["simulated"])}
    return stream_from({**facts, **told, "polled": facts.pop("layout") == READINGS_LAYOUT})


def holds_run(path: Path, run_id: str) -> bool:
    """True if there is a database at `path` that has this run; False also where it cannot be read."""
    if not path.is_file():
        return False
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
        return has_runs(connection) and find_run(connection, run_id) is not None
    return False


def has_runs(connection: sqlite3.Connection) -> bool:
    """True if there is a table `runs`."""
    return bool(columns_of(connection, "runs"))


def _fixed_tables(tables: TableNames) -> dict[str, str]:
    return {
        "runs": "(run INTEGER PRIMARY KEY, run_id TEXT NOT NULL, task TEXT NOT NULL, device TEXT NOT NULL,"
        " started_at TEXT NOT NULL, rate_hz REAL NOT NULL, simulated INTEGER NOT NULL, layout TEXT NOT NULL,"
        " dtype TEXT NOT NULL, samples_per_block INTEGER NOT NULL, metadata TEXT NOT NULL, start INTEGER NOT NULL,"
        " committed INTEGER NOT NULL, durable INTEGER NOT NULL, samples INTEGER NOT NULL,"
        " gap_samples INTEGER NOT NULL, dropped INTEGER NOT NULL, finished INTEGER NOT NULL)",
        # `in_table`: which table has the channel's values.
        "channels": f"{RUN_COLUMN}, in_table TEXT NOT NULL, channel INTEGER NOT NULL, name TEXT NOT NULL,"
        " unit TEXT NOT NULL, kind TEXT NOT NULL, scale REAL NOT NULL, offset REAL NOT NULL, range_low REAL,"
        " range_high REAL, physical_channel INTEGER, details TEXT NOT NULL, calibration TEXT,"
        " PRIMARY KEY (run, in_table, channel))",
        "gaps": f"{RUN_COLUMN}, start INTEGER NOT NULL, stop INTEGER NOT NULL, cause TEXT NOT NULL,"
        " t_utc_ns INTEGER NOT NULL, PRIMARY KEY (run, start))",
        # Where values are null though the board gave a sample; `channel` as in `channels`.
        "null_ranges": f"{RUN_COLUMN}, channel INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,"
        " samples INTEGER NOT NULL, cause TEXT NOT NULL, PRIMARY KEY (run, channel, start)) WITHOUT ROWID",
        "marks": f"{RUN_COLUMN}, number INTEGER NOT NULL, label TEXT NOT NULL, text TEXT NOT NULL,"
        " sample_index INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL, t_utc_ns INTEGER NOT NULL, set_by TEXT NOT NULL,"
        " set_at_ns INTEGER NOT NULL, PRIMARY KEY (run, number)) WITHOUT ROWID",
        tables.blocks: f"{RUN_COLUMN}, block_index INTEGER NOT NULL, first_sample_index INTEGER NOT NULL,"
        " samples_per_channel INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL, t_utc_ns INTEGER NOT NULL,"
        " PRIMARY KEY (run, first_sample_index))",
        # Of the samples that are not null; `channel` as in `channels`.
        "block_stats": f"{RUN_COLUMN}, first_sample_index INTEGER NOT NULL, channel INTEGER NOT NULL,"
        " n_values INTEGER NOT NULL, min REAL, max REAL, mean REAL,"
        " PRIMARY KEY (run, first_sample_index, channel)) WITHOUT ROWID",
    }


_SAMPLES = f"{RUN_COLUMN}, sample_index INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL, t_utc_ns INTEGER NOT NULL"
_SAMPLES_LONG = (
    f"{RUN_COLUMN}, device TEXT NOT NULL, task TEXT NOT NULL, channel TEXT NOT NULL, block_index INTEGER NOT NULL,"
    " sample_index INTEGER NOT NULL, t_mono_ns INTEGER NOT NULL, t_utc_ns INTEGER NOT NULL, value REAL,"
    " unit TEXT NOT NULL, error_type TEXT, error_message TEXT)"
)


def _create(connection: sqlite3.Connection, path: Path, name: str, definition: str) -> None:
    """One table; where it is there already it must have our columns, or it is somebody else's."""
    existing = columns_of(connection, name)
    if not existing:
        connection.execute(f"CREATE TABLE {quoted(name)} {definition}")
        return
    with contextlib.closing(sqlite3.connect(":memory:")) as ours:
        ours.execute(f"CREATE TABLE {quoted(name)} {definition}")
        check_columns(path, name, existing, columns_of(ours, name))


def _add_columns(
    connection: sqlite3.Connection, path: Path, channels: Sequence[Channel], existing: Collection[str]
) -> None:
    """Columns for the channels that no run before had."""
    names = {folded(name): name for name in existing}
    check_columns(path, "samples", existing, SAMPLE_COLUMNS)
    for channel in channels:
        there = names.get(folded(channel.name))
        if there is None:
            connection.execute(f"ALTER TABLE samples ADD COLUMN {quoted(channel.name)} {_column_type(channel)}")
        elif there != channel.name:
            raise SinkError(
                path, f"channel {channel.name!r} and its column {there!r} are one name to SQLite", OTHER_FILE
            )


def _check_units(connection: sqlite3.Connection, path: Path, stream: Stream) -> None:
    """A column with two units would be read wrong by everybody who does not look into `channels`."""
    rows = connection.execute("SELECT name, unit FROM channels WHERE in_table = 'samples' ORDER BY run")
    units = dict(rows.fetchall())
    for channel in stream.channels:
        unit = units.get(channel.name, channel.unit)
        if unit != channel.unit:
            message = f"channel {channel.name!r} is in {channel.unit!r}, and its column holds {unit!r} of earlier runs"
            raise SinkError(path, message, f"{OTHER_FILE}, or layout: long")


def _column_type(channel: Channel) -> str:
    return "INTEGER" if channel.is_raw else "REAL"


def _channel_row(channel: Channel) -> tuple[str | float | int | None, ...]:
    low, high = channel.range or (None, None)
    details = strict_json(dict(channel.details))
    meaning = channel.meaning()
    return (
        channel.name, channel.unit, channel.kind, channel.scale, channel.offset, low, high,
        channel.physical_channel, details,
        None if meaning is None else strict_json(meaning),
    )  # fmt: skip
