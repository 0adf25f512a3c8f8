"""The rows of an output as `samples_of` gives them, a piece at a time: memory does not grow with the span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from dtopipe.loading.samples import Samples, rows_of, within
from dtopipe.model.errors import SinkError
from dtopipe.model.stream import Channel
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputReader, OutputRows

# A channel whose rows are so far from those of the others is not waited for any longer.
_MOST_WAITING = 2**23


def pieces_of(
    reader: OutputReader, channels: Sequence[Channel], chosen: Sequence[int], wanted: Wanted
) -> Iterator[Samples]:
    """The same rows as of `samples_of`, in pieces, in the order of the sample clock. Raises SinkError.

    SinkError also of an output whose rows are in no order: only what holds all of them could sort them.
    """
    picked = tuple(channels[number] for number in chosen)
    parts = (part for rows in rows_of(reader, chosen, wanted) if (part := within(rows, wanted)) is not None)
    first = next(parts, None)
    if first is None:
        return
    every = chain([first], parts)
    found = _wide(every, picked) if first.channel is None else _from_long(every, picked, chosen)
    last = -1
    for piece in found:
        if piece.sample_index[0] <= last or (np.diff(piece.sample_index) <= 0).any():
            raise SinkError(None, "its rows are in no order", "load the span as a whole: dtopipe.load")
        last = int(piece.sample_index[-1])
        yield piece


def _wide(parts: Iterator[OutputRows], picked: tuple[Channel, ...]) -> Iterator[Samples]:
    for part in parts:
        yield Samples(picked, part.sample_index, part.t_mono_ns, part.t_utc_ns, tuple(part.values))


def _from_long(parts: Iterator[OutputRows], picked: tuple[Channel, ...], chosen: Sequence[int]) -> Iterator[Samples]:
    """Rows of one channel each, as rows of all: a row is given on once every channel has got past it."""
    waiting: dict[int, list[OutputRows]] = {number: [] for number in chosen}
    ends = dict.fromkeys(chosen, -1)
    for part in parts:
        if part.channel is None:
            raise SinkError(None, "it has rows of both layouts", "see: dtopipe verify")
        waiting[part.channel].append(part)
        ends[part.channel] = max(ends[part.channel], int(part.sample_index[-1]))
        n_waiting = sum(len(rows.sample_index) for held in waiting.values() for rows in held)
        if n_waiting > _MOST_WAITING:
            raise SinkError(
                None, "its channels' rows are far from each other", "load the span as a whole: dtopipe.load"
            )
        yield from _merged(waiting, picked, min(ends.values()) + 1)
    yield from _merged(waiting, picked, None)


def _merged(waiting: dict[int, list[OutputRows]], picked: tuple[Channel, ...], stop: int | None) -> Iterator[Samples]:
    """Take what is before `stop` out of what waits, as rows of all channels: NaN where one has none."""
    before = Wanted() if stop is None else Wanted(stop=stop)
    behind = None if stop is None else Wanted(start=stop)
    taken = {}
    for number, held in waiting.items():
        taken[number] = [part for rows in held if (part := within(rows, before)) is not None]
        waiting[number] = (
            [] if behind is None else [part for rows in held if (part := within(rows, behind)) is not None]
        )
    every = [rows for held in taken.values() for rows in held]
    if not every:
        return
    index, at = np.unique(np.concatenate([rows.sample_index for rows in every]), return_index=True)
    values = []
    for held in taken.values():
        column = np.full(len(index), np.nan)
        for rows in reversed(held):
            column[np.searchsorted(index, rows.sample_index)] = rows.values[0]
        values.append(column)
    t_mono_ns = np.concatenate([rows.t_mono_ns for rows in every])[at]
    t_utc_ns = np.concatenate([rows.t_utc_ns for rows in every])[at]
    yield Samples(picked, index, t_mono_ns, t_utc_ns, tuple(values))
