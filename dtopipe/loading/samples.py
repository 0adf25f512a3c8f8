"""Rows of one output, put together: for the channels and the span that are wanted, in the order of the sample clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.stream import Channel
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputReader, OutputRows, PartReader


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Whole rows, in the order of the sample clock.

    `sample_index`, `t_mono_ns`, `t_utc_ns`: (n,) int64. `values[c]`: (n,) float64 of `channels[c]`, NaN for null.
    """

    channels: tuple[Channel, ...]
    sample_index: NDArray[np.int64]
    t_mono_ns: NDArray[np.int64]
    t_utc_ns: NDArray[np.int64]
    values: tuple[NDArray[np.float64], ...]

    def __len__(self) -> int:
        return len(self.sample_index)


def samples_of(reader: OutputReader, channels: Sequence[Channel], chosen: Sequence[int], wanted: Wanted) -> Samples:
    """What of the output is wanted; `chosen` are numbers among its `channels`. Raises SinkError."""
    parts = [part for rows in rows_of(reader, chosen, wanted) if (part := within(rows, wanted)) is not None]
    picked = tuple(channels[number] for number in chosen)
    if any(part.channel is not None for part in parts):
        return _from_long(parts, picked, chosen)
    return Samples(picked, *_sorted(_whole(parts, len(chosen))))


def rows_of(reader: OutputReader, chosen: Sequence[int], wanted: Wanted) -> Iterator[OutputRows]:
    """At least the rows that are wanted, in batches, with the channels of these numbers in that order.

    Raises SinkError.
    """
    if isinstance(reader, PartReader):
        yield from reader.rows_within(wanted, chosen)
        return
    for rows in reader.batches():
        taken = rows.of_channels(chosen)
        if taken is not None:
            yield taken


def within(rows: OutputRows, wanted: Wanted) -> OutputRows | None:
    """The rows that are wanted; None where none is."""
    inside = wanted.mask(rows.sample_index, rows.t_utc_ns)
    if inside.all():
        return rows if len(inside) else None
    if not inside.any():
        return None
    index, t_mono_ns, t_utc_ns = rows.sample_index[inside], rows.t_mono_ns[inside], rows.t_utc_ns[inside]
    return OutputRows(index, t_mono_ns, t_utc_ns, [column[inside] for column in rows.values], rows.channel)


def _whole(parts: Sequence[OutputRows], n_channels: int) -> OutputRows:
    def joined(columns: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.concatenate([np.empty(0, np.int64), *columns])

    return OutputRows(
        joined(part.sample_index for part in parts),
        joined(part.t_mono_ns for part in parts),
        joined(part.t_utc_ns for part in parts),
        [np.concatenate([np.empty(0), *(part.values[c] for part in parts)]) for c in range(n_channels)],
    )


def _sorted(
    rows: OutputRows,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.float64], ...]]:
    """In the order of the index; what stands there twice, as in files that were copied together, counts once."""
    index = rows.sample_index
    if len(index) < 2 or bool((np.diff(index) > 0).all()):
        return index, rows.t_mono_ns, rows.t_utc_ns, tuple(rows.values)
    once, at = np.unique(index, return_index=True)
    return once, rows.t_mono_ns[at], rows.t_utc_ns[at], tuple(column[at] for column in rows.values)


def _from_long(parts: Sequence[OutputRows], channels: tuple[Channel, ...], chosen: Sequence[int]) -> Samples:
    """Rows of one channel each, as rows of all: NaN where a channel has no row."""
    of_channel = []
    for number in chosen:
        own = [part for part in parts if part.channel == number]
        of_channel.append(_sorted(_whole(own, 1)))
    every = np.concatenate([np.empty(0, np.int64), *(one[0] for one in of_channel)])
    index, at = np.unique(every, return_index=True)
    t_mono_ns = np.concatenate([np.empty(0, np.int64), *(one[1] for one in of_channel)])[at]
    t_utc_ns = np.concatenate([np.empty(0, np.int64), *(one[2] for one in of_channel)])[at]
    values = []
    for own_index, _, _, (column,) in of_channel:
        whole = np.full(len(index), np.nan)
        whole[np.searchsorted(index, own_index)] = column
        values.append(whole)
    return Samples(channels, index, t_mono_ns, t_utc_ns, tuple(values))
