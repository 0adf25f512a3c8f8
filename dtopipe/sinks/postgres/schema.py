"""The tables of a Postgres output: what is in them, and which names and units they cannot take.

`runs` has one row a run, and every data table carries `run`, the key into it, so that many runs stand side by side,
also while they are written. A channel is a column of `samples` for good: its unit is that of the first run that wrote
it. The index of the samples is a BRIN, which costs next to nothing since rows come in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dtopipe.model.clock import utc_ns
from dtopipe.model.errors import SinkError, SinkSchemaError
from dtopipe.model.facts import strict_json
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.postgres.columns import MARKS
from dtopipe.sinks.postgres.config import PostgresConfig, check_name
from dtopipe.sinks.postgres.connection import advisory_key
from dtopipe.sinks.postgres.limits import MOST_POSTGRES_COLUMNS, SYSTEM_COLUMNS, postgres_row_fits

# What `runs.layout` says of a run of readings.
READINGS_LAYOUT = "readings"
SAMPLE_COLUMNS = {
    "run": "bigint",
    "sample_index": "bigint",
    "t_mono_ns": "bigint",
    "t_utc": "timestamp with time zone",
}
_LONG_COLUMNS = {
    "run": "bigint",
    "device": "text",
    "task": "text",
    "channel": "text",
    "block_index": "bigint",
    "sample_index": "bigint",
    "t_mono_ns": "bigint",
    "t_utc": "timestamp with time zone",
    "value": "double precision",
    "unit": "text",
    "error_type": "text",
    "error_message": "text",
}
_NULLABLE = ("value", "error_type", "error_message")
READING_TYPES = {
    ColumnKind.INTEGER: "bigint",
    ColumnKind.FLOAT: "double precision",
    ColumnKind.TEXT: "text",
    ColumnKind.TIME: "timestamp with time zone",
}
_RUNS = {
    "run": "bigint",
    "run_id": "text",
    "task": "text",
    "device": "text",
    "started_at": "timestamp with time zone",
    "rate_hz": "double precision",
    "simulated": "boolean",
    "layout": "text",
    "dtype": "text",
    "samples_per_block": "bigint",
    "metadata": "jsonb",
    "start": "bigint",
    "committed": "bigint",
    "durable": "bigint",
    "samples": "bigint",
    "gap_samples": "bigint",
    "dropped": "bigint",
    # How many commits the writers of this run have made.
    "commits": "bigint",
    "finished": "boolean",
}
_CHANNELS = {
    "run": "bigint",
    "in_table": "text",
    "channel": "integer",
    "name": "text",
    "unit": "text",
    "kind": "text",
    "scale": "double precision",
    "offset": "double precision",
    "range_low": "double precision",
    "range_high": "double precision",
    "physical_channel": "integer",
    "details": "jsonb",
    "calibration": "jsonb",
}
_BLOCKS = {
    "run": "bigint",
    "block_index": "bigint",
    "first_sample_index": "bigint",
    "samples_per_channel": "bigint",
    "t_mono_ns": "bigint",
    "t_utc": "timestamp with time zone",
    # To the nanosecond, which a timestamp cannot tell.
    "t_utc_ns": "bigint",
}
# Of the samples that are not null; `channel` as in `channels`.
_BLOCK_STATS = {
    "run": "bigint",
    "first_sample_index": "bigint",
    "channel": "integer",
    "n_values": "bigint",
    "min": "double precision",
    "max": "double precision",
    "mean": "double precision",
}
_GAPS = {
    "run": "bigint",
    "start": "bigint",
    "stop": "bigint",
    "cause": "text",
    "t_utc": "timestamp with time zone",
    "t_utc_ns": "bigint",
}
# Where values are null though the board gave a sample; `channel` as in `channels`.
_NULLS = {
    "run": "bigint",
    "channel": "bigint",
    "start": "bigint",
    "stop": "bigint",
    "samples": "bigint",
    "cause": "text",
}
_OTHER_SCHEMA = "give another schema"
_JSON_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def quoted(name: str) -> str:
    """The name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one schema, and what they may be called."""

    config: PostgresConfig

    def path(self, table: str) -> str:
        """The table's name for SQL."""
        return f"{quoted(self.config.schema)}.{quoted(table)}"

    def data_table(self, stream: Stream, layout: Layout) -> str:
        """The one that holds the stream's values."""
        if stream.polled:
            return self.config.table_readings
        return "samples" if layout is Layout.WIDE else "samples_long"

    def check(self) -> None:
        """Raise SinkError if two tables would be one."""
        taken = {"runs", "channels", "samples", "samples_long", "gaps", "block_stats", "null_ranges", "marks"}
        for option in ("table_readings", "table_blocks"):
            name = getattr(self.config, option)
            if name in taken:
                raise SinkError(None, f"{option} cannot be {name!r}: that table has another use", "choose another name")
            taken.add(name)


def check_channels(stream: Stream, layout: Layout) -> None:
    """Refuse what Postgres cannot hold. Raises SinkError."""
    names = [channel.name for channel in stream.channels]
    if layout is Layout.LONG or stream.polled:
        for column in reading_columns(stream.channels) if stream.polled else ():
            check_name("column", column.name)
        for name in names:
            if "\0" in name:
                raise SinkError(None, f"channel {name!r} has a NUL in it, which Postgres cannot hold", "rename it")
        return
    for name in names:
        check_name("channel", name)
        if name in SAMPLE_COLUMNS or name in SYSTEM_COLUMNS:
            raise SinkError(None, f"channel {name!r} is also a fixed column", "rename the channel, or use layout: long")
    widths = [4 if column_type(channel, stream.dtype) == "integer" else 8 for channel in stream.channels]
    if not postgres_row_fits([*(8 for _ in SAMPLE_COLUMNS), *widths]):
        raise SinkError(None, f"{len(names)} channels are too many columns for Postgres", "use layout: long")


def column_type(channel: Channel, dtype: str) -> str:
    """The type of a channel's column in `samples`: codes as they are fit into 32 bits."""
    return "integer" if channel.is_raw and not dtype.startswith("float") else "double precision"


async def lock_tables(connection: Any, tables: Tables) -> None:
    """Until the transaction ends: who comes second finds all that the first one made, and makes nothing beside it."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", advisory_key("tables", tables.config.schema))


async def ensure_tables(connection: Any, tables: Tables, stream: Stream, layout: Layout) -> None:
    """Make the tables, or what those that are there lack, ready for `stream`. Raises SinkError, asyncpg's errors."""
    schema = tables.config.schema
    await lock_tables(connection, tables)
    if await connection.fetchval("SELECT to_regnamespace($1)::oid", quoted(schema)) is None:
        if not tables.config.create_tables:
            raise _missing(tables, f"there is no schema {schema!r}", f"CREATE SCHEMA {quoted(schema)}")
        await connection.execute(f"CREATE SCHEMA {quoted(schema)}")
    for name, columns, definition in _definitions(tables, stream, layout):
        # An earlier version had none; who may make no tables does without until there is a mark.
        if name == "marks" and not tables.config.create_tables:
            continue
        await ensure_table(connection, tables, name, columns, definition)
    if layout is Layout.WIDE and not stream.polled:
        await _check_units(connection, tables, stream)


async def insert_run(connection: Any, tables: Tables, stream: Stream, layout: Layout, start: int) -> int:
    """Note a new run and its channels; returns its key."""
    run = await connection.fetchval(
        f"INSERT INTO {tables.path('runs')} (run_id, task, device, started_at, rate_hz, simulated, layout, dtype,"
        " samples_per_block, metadata, start, committed, durable, samples, gap_samples, dropped,"
        " commits, finished)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11, 0, 0, 0, 0, false) RETURNING run",
        stream.run_id, text(stream.task), text(stream.device), _timestamp(stream.started_at), stream.rate_hz,
        stream.simulated, READINGS_LAYOUT if stream.polled else layout.value, stream.dtype, stream.samples_per_block,
        json_of(dict(stream.metadata)), start,
    )  # fmt: skip
    await insert_channels(connection, tables, run, stream, layout)
    return int(run)


async def insert_channels(connection: Any, tables: Tables, run: int, stream: Stream, layout: Layout) -> None:
    """Note the channels that a run has in its table."""
    table = tables.data_table(stream, layout)
    names = ", ".join(quoted(name) for name in _CHANNELS)
    places = ", ".join(f"${number}" for number in range(1, len(_CHANNELS) + 1))
    await connection.executemany(
        f"INSERT INTO {tables.path('channels')} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING",
        [(run, table, number, *_channel_row(channel)) for number, channel in enumerate(stream.channels)],
    )


async def find_run(connection: Any, tables: Tables, run_id: str | None) -> tuple[int, Position, int] | None:
    """Key, position and number of commits of the newest run with this id, or of all; None where there is none."""
    if await connection.fetchval("SELECT to_regclass($1)::oid", tables.path("runs")) is None:
        return None
    row = await connection.fetchrow(
        "SELECT run, start, committed, durable, samples, gap_samples, dropped, commits"
        f" FROM {tables.path('runs')} WHERE run_id = coalesce($1, run_id) ORDER BY run DESC LIMIT 1",
        run_id,
    )
    return None if row is None else (row["run"], Position(*row[1:7]), row["commits"])


async def delete_run(connection: Any, tables: Tables, run: int) -> None:
    """Take a run out of every table that is there."""
    config = tables.config
    values = ("samples", "samples_long", config.table_readings, config.table_blocks, "block_stats")
    for name in (*values, "gaps", "null_ranges", "marks", "channels", "runs"):
        if await connection.fetchval("SELECT to_regclass($1)::oid", tables.path(name)) is not None:
            await connection.execute(f"DELETE FROM {tables.path(name)} WHERE run = $1", run)


async def move_aside(connection: Any, tables: Tables, run: int, run_id: str) -> None:
    """Give a run another id, `ID.1` or the next one that is free."""
    number = 1
    while await find_run(connection, tables, f"{run_id}.{number}"):
        number += 1
    await connection.execute(f"UPDATE {tables.path('runs')} SET run_id = $2 WHERE run = $1", run, f"{run_id}.{number}")


def text(value: str) -> str:
    """What Postgres can hold of a text: no NUL, no half surrogate pair."""
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()


def _definitions(tables: Tables, stream: Stream, layout: Layout) -> list[tuple[str, Mapping[str, str], str]]:
    """(name, columns, the rest of its CREATE statement) of every table."""
    config = tables.config
    definitions: list[tuple[str, Mapping[str, str], str]] = [
        ("runs", _RUNS, "PRIMARY KEY (run)"),
        ("channels", _CHANNELS, "PRIMARY KEY (run, in_table, channel)"),
        ("gaps", _GAPS, "PRIMARY KEY (run, start)"),
        ("null_ranges", _NULLS, "PRIMARY KEY (run, channel, start)"),
        ("marks", MARKS, "PRIMARY KEY (run, number)"),
        (config.table_blocks, _BLOCKS, "PRIMARY KEY (run, first_sample_index)"),
        ("block_stats", _BLOCK_STATS, "PRIMARY KEY (run, first_sample_index, channel)"),
    ]
    readings = {column.name: READING_TYPES[column.kind] for column in reading_columns(stream.channels)}
    if stream.polled:
        definitions.append((config.table_readings, {"run": "bigint", **readings}, ""))
        return definitions
    empty = {column.name: READING_TYPES[column.kind] for column in reading_columns(())}
    definitions.append((config.table_readings, {"run": "bigint", **empty}, ""))
    if layout is Layout.LONG:
        definitions.append(("samples_long", _LONG_COLUMNS, ""))
    else:
        channels = {channel.name: column_type(channel, stream.dtype) for channel in stream.channels}
        definitions.append(("samples", {**SAMPLE_COLUMNS, **channels}, ""))
    return definitions


async def ensure_table(connection: Any, tables: Tables, name: str, columns: Mapping[str, str], constraint: str) -> None:
    """One table, with at least these columns. Raises SinkError where it is somebody else's."""
    existing = await columns_of(connection, tables, name)
    statements = _statements(tables, name, columns, constraint, existing)
    if statements and not tables.config.create_tables:
        missing = f"the table {name!r} lacks columns" if existing else f"there is no table {name!r}"
        raise _missing(tables, missing, "; ".join(statements))
    for statement in statements:
        await connection.execute(statement)


def _statements(
    tables: Tables, name: str, columns: Mapping[str, str], constraint: str, existing: Mapping[str, str]
) -> list[str]:
    """What makes the table as it should be."""
    path, always = tables.path(name), _always(name)
    if not existing:
        body = ", ".join(_column(name, column, kind) for column, kind in columns.items())
        statements = [f"CREATE TABLE {path} ({body}{', ' if constraint else ''}{constraint})"]
        if name in ("samples", "samples_long") or name == tables.config.table_readings:
            statements.append(f"CREATE INDEX ON {path} USING brin (run, sample_index)")
        return statements
    absent = [column for column in always or columns if column in columns and column not in existing]
    if absent:
        message = f"the table {name!r} there is not one of ours: it has no column {absent[0]!r}"
        raise SinkError(tables.config.target(), message, _OTHER_SCHEMA)
    for column, kind in columns.items():
        there = existing.get(column, kind)
        if there != kind:
            message = f"column {column!r} of {name!r} is {there} there, and this run's is {kind}"
            raise SinkSchemaError(tables.config.target(), message, f"{_OTHER_SCHEMA}, or rename the channel")
    new = [_column(name, column, kind) for column, kind in columns.items() if column not in existing]
    if len(new) + len(existing) > MOST_POSTGRES_COLUMNS:
        raise SinkError(tables.config.target(), f"{name!r} would have too many columns", _OTHER_SCHEMA)
    return [f"ALTER TABLE {path} {', '.join(f'ADD COLUMN {column}' for column in new)}"] if new else []


def _always(name: str) -> tuple[str, ...]:
    """The fixed columns of a table that may get more; () for one that does not."""
    if name == "samples":
        return tuple(SAMPLE_COLUMNS)
    if name in ("runs", "channels", "gaps", "null_ranges", "marks", "block_stats", "samples_long"):
        return ()
    return ("run",)


def _column(table: str, name: str, kind: str) -> str:
    identity = " GENERATED BY DEFAULT AS IDENTITY" if (table, name) == ("runs", "run") else ""
    fixed = name in SAMPLE_COLUMNS or (table == "samples_long" and name not in _NULLABLE)
    return f"{quoted(name)} {kind}{' NOT NULL' if fixed else ''}{identity}"


async def columns_of(connection: Any, tables: Tables, table: str) -> dict[str, str]:
    """The type of each column, in order; empty where there is no such table."""
    rows = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) AS kind FROM pg_attribute"
        " WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        tables.path(table),
    )
    return {row["attname"]: row["kind"] for row in rows}


async def _check_units(connection: Any, tables: Tables, stream: Stream) -> None:
    """A column with two units would be read wrong by everybody who does not look into `channels`."""
    rows = await connection.fetch(
        f"SELECT name, unit FROM {tables.path('channels')} WHERE in_table = 'samples' ORDER BY run"
    )
    units = {row["name"]: row["unit"] for row in rows}
    for channel in stream.channels:
        unit = units.get(text(channel.name), text(channel.unit))
        if unit != text(channel.unit):
            message = f"channel {channel.name!r} is in {channel.unit!r}, and its column holds {unit!r} of earlier runs"
            raise SinkSchemaError(tables.config.target(), message, f"{_OTHER_SCHEMA}, or layout: long")


def _missing(tables: Tables, what: str, statement: str) -> SinkError:
    remedy = f"set create_tables: true, or let somebody execute: {statement}"
    return SinkError(tables.config.target(), f"{what}, and create_tables is false", remedy)


def _channel_row(channel: Channel) -> Sequence[Any]:
    low, high = channel.range or (None, None)
    meaning = channel.meaning()
    return (
        text(channel.name), text(channel.unit), channel.kind, channel.scale, channel.offset, low, high,
        channel.physical_channel, json_of(dict(channel.details)), None if meaning is None else json_of(meaning),
    )  # fmt: skip


def json_of(value: Any) -> str:
    """JSON that `jsonb` takes."""
    return _JSON_NUL.sub("\\1\ufffd", text(strict_json(value)))


def _timestamp(iso: str) -> datetime:
    return _UNIX_EPOCH + timedelta(microseconds=utc_ns(iso) // 1000)
