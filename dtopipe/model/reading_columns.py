"""The columns of a readings table: the same in every sink.

Fixed columns, one column a channel, one `<channel>_unit` column a channel, then the error's, as the sinks of the
driver library have them, behind the reading's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.readings import ColumnKind, ReadingColumn
from dtopipe.model.stream import Channel

_BEFORE = (
    ReadingColumn("sample_index", ColumnKind.INTEGER),
    ReadingColumn("t_mono_ns", ColumnKind.INTEGER),
    ReadingColumn("t_utc", ColumnKind.TIME),
    ReadingColumn("device", ColumnKind.TEXT),
    ReadingColumn("task", ColumnKind.TEXT),
    ReadingColumn("t_midpoint_mono_ns", ColumnKind.INTEGER),
    ReadingColumn("requested_at", ColumnKind.TIME),
    ReadingColumn("received_at", ColumnKind.TIME),
    ReadingColumn("latency_s", ColumnKind.FLOAT),
)
# Of the readings of an instrument beside the run, whose `device` is the instrument's name: which of them it is, from 1
# on; null in those of the run's own board. A table has this column once there was an instrument.
READING_NUMBER = "reading_number"
_BEHIND = (ReadingColumn("error_type", ColumnKind.TEXT), ReadingColumn("error_message", ColumnKind.TEXT))


def reading_columns(channels: Sequence[Channel]) -> tuple[ReadingColumn, ...]:
    """All columns in order. A channel named like another column, capitals aside, gets `_value` behind its name."""
    fixed = (*_BEFORE, *_BEHIND)
    # SQLite has times as integers, under names that say so.
    taken = {"run", READING_NUMBER, *(column.name for column in fixed), *(f"{column.name}_ns" for column in fixed)}
    values = [
        ReadingColumn(_free(channel.name, "_value", taken), ColumnKind.FLOAT, number)
        for number, channel in enumerate(channels)
    ]
    units = [ReadingColumn(_free(f"{channel.name}_unit", "_text", taken), ColumnKind.TEXT) for channel in channels]
    return (*_BEFORE, *values, *units, *_BEHIND)


def instrument_row(reading: InstrumentReading, task: str, channels: Sequence[Channel]) -> list[Any]:
    """The values of such a row, in order, of an instrument whose values are the ones that `channels` name."""
    known: dict[str, Any] = {
        "sample_index": reading.sample_index,
        "t_mono_ns": reading.t_mono_ns,
        "t_utc": reading.t_utc_ns,
        "device": reading.instrument,
        "task": task,
    }
    values = [reading.values.get(channel.name) for channel in channels]
    units = [reading.units.get(channel.name) if channel.name in reading.values else None for channel in channels]
    return [*(known.get(column.name) for column in _BEFORE), *values, *units, *(None for _ in _BEHIND)]


def value_places(names: Sequence[str]) -> range | None:
    """Where the channels' values stand among the columns of this table; None if it is no table of readings."""
    before, behind = ([column.name for column in columns] for columns in (_BEFORE, _BEHIND))
    n_channels, odd = divmod(len(names) - len(before) - len(behind), 2)
    if n_channels < 0 or odd or list(names[: len(before)]) != before or list(names[-len(behind) :]) != behind:
        return None
    return range(len(before), len(before) + n_channels)


def _free(name: str, ending: str, taken: set[str]) -> str:
    """`name`, with as many endings as make it unlike every other; it is taken then."""
    while name.lower() in taken:
        name += ending
    taken.add(name.lower())
    return name
