"""What the outputs that were chosen can hold: how many columns, and of which names.

Every command that begins a sink asks here: `check`, `up`, `attach` and `convert`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dtopipe.model.capacity import (
    MOST_CHANNELS,
    MOST_POSTGRES_COLUMNS,
    MOST_SQLITE_COLUMNS,
    MOST_TEXT_COLUMNS,
    SQLITE_ROW_NAME,
    SYSTEM_COLUMNS,
    most_that_fit,
    postgres_row_fits,
)
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Layout
from dtopipe.model.postgres_config import MOST_NAME_BYTES

Found = Iterator[tuple[str, str, str]]

FIXED_COLUMNS = ("sample_index", "t_mono_ns", "t_utc", "t_utc_ns", "run")
_WIDE_FILES = ("csv", "jsonl", "parquet")
_N_TIMES = 3
# Of `samples`: the run, and the times; of the readings these, six more, and two of errors.
_N_FIXED, _N_FIXED_OF_READINGS = 4, 12
_BIG, _SMALL = 8, 4
# A longer text is stored elsewhere, and a pointer to it here.
_TEXT_BYTES = 18


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of a channel: the key of its name, the name, and whether its codes are stored as they are."""

    key: str
    name: str
    is_raw: bool = False


def check_capability(columns: Sequence[Column], sinks: Sequence[SinkPlan], *, polled: bool) -> Found:
    """Every problem (key, what, remedy) with channels that an output cannot hold as it is set."""
    for sink in sinks:
        if sink.layout is Layout.LONG and not polled:
            continue
        chosen = None if sink.channels is None else set(sink.channels)
        own = [column for column in columns if chosen is None or column.name in chosen]
        if sink.type == "sqlite":
            yield from _names_for_sqlite(sink, own, polled=polled)
        elif sink.type == "postgres":
            yield from _names_for_postgres(sink, own, polled=polled)
        most, what = _most(sink, own, polled=polled)
        if len(own) > most:
            remedy = f"choose channels for it: sinks.{sink.name}.channels: [...]"
            remedy = remedy if polled else f"set sinks.{sink.name}.layout: long, or {remedy}"
            yield f"sinks.{sink.name}", f"{len(own):,} channels are too many columns: {what} of {most:,}", remedy


def check_number(columns: Sequence[Column]) -> Found:
    """A problem with a number of channels that is beyond reason, whatever the outputs are."""
    if len(columns) > MOST_CHANNELS:
        what = f"{len(columns):,} channels are more than a run takes: {MOST_CHANNELS:,}"
        yield "task.channels", what, "make several topologies of them"


def _most(sink: SinkPlan, own: Sequence[Column], *, polled: bool) -> tuple[int, str]:
    """How many channels a row of this sink takes, and what it is that takes no more."""
    if sink.type == "sqlite":
        fixed, a_channel = (_N_FIXED_OF_READINGS, 2) if polled else (_N_FIXED, 1)
        return (MOST_SQLITE_COLUMNS - fixed) // a_channel, "SQLite takes a row"
    if sink.type == "postgres":
        return _most_in_postgres(own, polled=polled), "Postgres takes a row"
    if sink.type in _WIDE_FILES:
        fixed, a_channel = (_N_FIXED_OF_READINGS, 2) if polled else (_N_TIMES, 1)
        return (MOST_TEXT_COLUMNS - fixed) // a_channel, "programs that read such a file take a row"
    return len(own), ""


def _most_in_postgres(own: Sequence[Column], *, polled: bool) -> int:
    if polled:
        # A value, and its unit.
        return most_that_fit([_BIG] * 8 + [_TEXT_BYTES] * 4, (_BIG, 2))
    fixed = [_BIG] * _N_FIXED
    if len(own) <= MOST_POSTGRES_COLUMNS and postgres_row_fits([*fixed, *(_width(column) for column in own)]):
        return len(own)
    return most_that_fit(fixed, (_SMALL if all(column.is_raw for column in own) else _BIG,))


def _width(column: Column) -> int:
    return _SMALL if column.is_raw else _BIG


def _names_for_postgres(sink: SinkPlan, own: Sequence[Column], *, polled: bool) -> Found:
    """Names that Postgres would cut, or has for columns of its own; readings have one more name for each unit."""
    most = MOST_NAME_BYTES - (len("_unit") if polled else 0)
    for column in own:
        name = column.name
        if len(name.encode(errors="replace")) > most:
            remedy = "shorten it" if polled else f"shorten it, or set sinks.{sink.name}.layout: long"
            what = f"{name!r} has more than {most} bytes, the most that a column of sink {sink.name} takes"
            yield column.key, what, remedy
        elif name in SYSTEM_COLUMNS:
            remedy = "rename this channel" if polled else f"rename it, or set sinks.{sink.name}.layout: long"
            yield column.key, f"{name!r} is a column that every table of Postgres has (sink {sink.name})", remedy


def _names_for_sqlite(sink: SinkPlan, own: Sequence[Column], *, polled: bool) -> Found:
    """SQLite takes ASCII capitals and small letters of a column for the same, and a row has a name of its own."""
    seen = {column: column for column in FIXED_COLUMNS}
    for column in own:
        folded = "".join(letter.lower() if letter.isascii() else letter for letter in column.name)
        if folded == SQLITE_ROW_NAME:
            remedy = "rename this channel" if polled else f"rename it, or set sinks.{sink.name}.layout: long"
            yield column.key, f"{column.name!r} is what SQLite calls a row by (sink {sink.name})", remedy
        other = seen.setdefault(folded, column.name)
        # Columns of readings have names of their own where these would be alike.
        if other != column.name and not polled:
            remedy = "rename one of them, or set layout: long"
            yield column.key, f"{column.name!r} and {other!r} are the same column in SQLite (sink {sink.name})", remedy
