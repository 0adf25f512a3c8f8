"""What an HDF5 output has as datasets: of either layout, and of readings.

Wide: `sample_index`, `t_mono_ns`, `t_utc_ns`, and in the group `channels` the codes of each channel, just as the board
gave them, with `scale`, `offset`, `unit`, `kind` and `range` as attributes: value = code * scale + offset. With an
attribute `calibration` that is the input, in `input_unit`, and the calibration leads from there to `unit`. The group
`sensor_status` has 0 where a value counts (else it is null, as 1 open, 2 low, 3 high, 4 absent, 5 out of range). Where
a channel needs others, `channels` has values, as float64. With the option `values` the group `values` has the same in
units, NaN for null. Long: a dataset for each of the columns that every sink has, and `channel_number`. Readings: a
dataset a column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.engineering import ERROR_MESSAGES, ERROR_TYPES, engineering_values
from dtopipe.model.facts import strict_json
from dtopipe.model.policy import Layout
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import ColumnKind, ReadingColumn
from dtopipe.model.stream import Channel, Stream
from dtopipe.sinks.grouped.codes import TailPart

# An item of a dataset of texts: how long one is, and where it is in a global heap.
TEXT = np.dtype([("n_bytes", "<u4"), ("heap", "<u8"), ("number", "<u4")])
# Of whole numbers and times; texts that are null are empty, floats NaN.
NULL = -(2**63)
TIMES = ("sample_index", "t_mono_ns", "t_utc_ns")
# And what would be taken for an escape.
_ESCAPED = re.compile(r"[/\0]|%(?=[0-9A-F]{2})")
CHANNELS, STATUS, VALUES = "channels", "sensor_status", "values"

Texts = Callable[[Sequence[str | None]], NDArray[np.void]]
Attributes = Mapping[str, str | float | tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """A dataset: the group that it is in ("" for the root), its name, its items.

    `is_sparse`: what is zero need not be stored.
    """

    group: str
    name: str
    dtype: np.dtype[Any]
    attributes: Attributes = field(default_factory=dict)
    is_sparse: bool = False

    @property
    def path(self) -> str:
        """As readers name it."""
        name = link_name(self.name)
        return f"{self.group}/{name}" if self.group else name


def link_name(name: str) -> str:
    """A name that no path takes apart, as URLs have them; most are as they are."""
    if not name or set(name) == {"."}:
        return name.replace(".", "%2E") or "%00"
    return _ESCAPED.sub(lambda at: f"%{ord(at[0]):02X}", name)


def plans(stream: Stream, layout: Layout, *, values: bool) -> list[ColumnPlan]:
    """The datasets of this stream, in order."""
    if stream.polled:
        return [_reading_plan(column, stream.channels) for column in reading_columns(stream.channels)]
    whole, real, small = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<i4")
    if layout is Layout.LONG:
        texts = [ColumnPlan("", name, TEXT) for name in ("device", "task", "channel")]
        numbers = [ColumnPlan("", "channel_number", small), ColumnPlan("", "block_index", whole)]
        rest = [
            ColumnPlan("", "value", real),
            *(ColumnPlan("", n, TEXT) for n in ("unit", "error_type", "error_message")),
        ]
        return [*texts, *numbers, *(ColumnPlan("", name, whole) for name in TIMES), *rest]
    codes = np.dtype(stream.dtype).newbyteorder("<")
    found = [ColumnPlan("", name, whole) for name in TIMES]
    found += [ColumnPlan(CHANNELS, each.name, codes, _attributes(each)) for each in stream.channels]
    found += [ColumnPlan(STATUS, each.name, np.dtype("<i1"), is_sparse=True) for each in stream.channels]
    if values:
        found += [ColumnPlan(VALUES, each.name, real, {"unit": each.unit}) for each in stream.channels]
    return found


def columns(stream: Stream, layout: Layout, part: TailPart, texts: Texts, *, values: bool) -> Iterator[NDArray[Any]]:
    """The items of each dataset, in order; in the long layout one channel's samples stand behind the other's."""
    numbers = range(len(stream.channels))
    times = part.sample_index(), part.t_mono_ns(stream.clock), part.t_utc_ns(stream.clock)
    if layout is Layout.WIDE:
        yield from times
        yield from (part.codes(number) for number in numbers)
        yield from (_status(part, number) for number in numbers)
        if values:
            yield from (_values(stream, part, number) for number in numbers)
        return
    n, n_channels = part.n_samples, len(numbers)
    yield np.repeat(texts([stream.device]), n * n_channels)
    yield np.repeat(texts([stream.task]), n * n_channels)
    yield np.repeat(texts([channel.name for channel in stream.channels]), n)
    yield np.repeat(np.arange(n_channels, dtype=np.int32), n)
    yield np.tile(part.block_index(), n_channels)
    yield from (np.tile(column, n_channels) for column in times)
    yield np.concatenate([_values(stream, part, number) for number in numbers])
    yield np.repeat(texts([channel.unit for channel in stream.channels]), n)
    for words in (ERROR_TYPES, ERROR_MESSAGES):
        yield np.concatenate([texts(words)[_status(part, number)] for number in numbers])


def reading_arrays(stream: Stream, values: Sequence[Sequence[Any]], texts: Texts) -> Iterator[NDArray[Any]]:
    """The same of readings, of which `values` are the columns."""
    for column, items in zip(reading_columns(stream.channels), values, strict=True):
        if column.kind is ColumnKind.TEXT:
            yield texts(items)
        elif column.kind is ColumnKind.FLOAT:
            yield np.array([np.nan if item is None else item for item in items], np.float64)
        else:
            yield np.array([NULL if item is None else item for item in items], np.int64)


def _reading_plan(column: ReadingColumn, channels: Sequence[Channel]) -> ColumnPlan:
    if column.kind is ColumnKind.TEXT:
        return ColumnPlan("", column.name, TEXT)
    if column.kind is ColumnKind.FLOAT:
        attributes = {} if column.channel is None else {"unit": channels[column.channel].unit}
        return ColumnPlan("", column.name, np.dtype("<f8"), attributes)
    return ColumnPlan("", stored_name(column), np.dtype("<i8"))


def stored_name(column: ReadingColumn) -> str:
    """Times are whole numbers here, under names that say so."""
    return f"{column.name}_ns" if column.kind is ColumnKind.TIME else column.name


def _attributes(channel: Channel) -> Attributes:
    scale, offset = channel.input_scaling
    found: dict[str, str | float | tuple[float, ...]] = {"name": channel.name, "unit": channel.unit}
    found |= {"kind": channel.kind, "scale": scale, "offset": offset}
    if channel.range is not None:
        found["range"] = channel.range
    if channel.details:
        found["details"] = strict_json(channel.details)
    meaning = channel.meaning()
    if meaning is not None:
        # Of code * scale + offset, while `unit` is that of the value.
        found |= {"calibration": strict_json(meaning), "input_unit": channel.input_unit}
    return found


def _status(part: TailPart, number: int) -> NDArray[np.int8]:
    status = part.sensor_status(number)
    return np.zeros(part.n_samples, np.int8) if status is None else status


def _values(stream: Stream, part: TailPart, number: int) -> NDArray[np.float64]:
    return engineering_values(stream.channels[number], part.codes(number), part.sensor_status(number))
