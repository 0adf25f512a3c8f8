"""Compares an output's values with those of another output of the run, sample by sample, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.base import OutputReader, OutputRows

# Rows of the reference kept behind the newest: a long layout goes back by one batch a channel.
_KEPT_ROWS = 4_000_000


class Reference:
    """Rows of a raw file or of readings, read along with an output's; both rise in sample index.

    `channels[c]` is the number here of the output's channel `c`, or None where there is no such channel.
    """

    def __init__(self, reader: OutputReader, channels: Sequence[int | None]) -> None:
        self.channels = channels
        self._batches: Iterator[OutputRows] = sound_batches(reader, lambda damage: None)
        self._held: list[OutputRows] = []
        self._ended = False

    def values_at(self, sample_index: NDArray[np.int64], channel: int) -> NDArray[np.float64]:
        """(n,) float64 of one channel; NaN where the reference has no sample, or no value."""
        found = np.full(len(sample_index), np.nan)
        self._read_to(int(sample_index[-1]))
        for rows in self._held:
            if rows.sample_index[0] > sample_index[-1] or rows.sample_index[-1] < sample_index[0]:
                continue
            at = np.minimum(np.searchsorted(rows.sample_index, sample_index), len(rows.sample_index) - 1)
            there = rows.sample_index[at] == sample_index
            found[there] = rows.values[channel][at[there]]
        return found

    def has(self, sample_index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) bool: which of these samples the reference holds."""
        found = np.zeros(len(sample_index), dtype=bool)
        self._read_to(int(sample_index[-1]))
        for rows in self._held:
            at = np.minimum(np.searchsorted(rows.sample_index, sample_index), len(rows.sample_index) - 1)
            found |= rows.sample_index[at] == sample_index
        return found

    def _read_to(self, last: int) -> None:
        while not self._ended and (not self._held or self._held[-1].sample_index[-1] < last):
            rows = next(self._batches, None)
            if rows is None:
                self._ended = True
            elif len(rows.sample_index):
                self._held.append(rows)
        while len(self._held) > 1 and sum(len(rows.sample_index) for rows in self._held[1:]) > _KEPT_ROWS:
            self._held.pop(0)


def sound_batches(reader: OutputReader, on_damage: Callable[[str], None]) -> Iterator[OutputRows]:
    """The rows of an output; where its reader can, those behind a damaged place too, of which `on_damage` is told."""
    passing_over: Callable[[Callable[[str], None]], Iterator[OutputRows]] | None
    passing_over = getattr(reader, "sound_batches", None)
    return reader.batches() if passing_over is None else passing_over(on_damage)


def before(rows: OutputRows, stop: int) -> OutputRows:
    """Those rows whose sample index is below `stop`."""
    there = rows.sample_index < stop
    if there.all():
        return rows
    return replace(
        rows,
        sample_index=rows.sample_index[there],
        t_mono_ns=rows.t_mono_ns[there],
        t_utc_ns=rows.t_utc_ns[there],
        values=[values[there] for values in rows.values],
    )


def differing(rows: OutputRows, reference: Reference) -> NDArray[np.int64]:
    """Sample indices at which a value is not the reference's to the bit; null equals null."""
    if len(rows.sample_index) == 0:
        return rows.sample_index
    there = reference.has(rows.sample_index)
    wrong = np.zeros(len(rows.sample_index), dtype=bool)
    channels = range(len(rows.values)) if rows.channel is None else [rows.channel]
    for channel, values in zip(channels, rows.values, strict=True):
        number = reference.channels[channel]
        if number is not None:
            wanted = reference.values_at(rows.sample_index, number)
            wrong |= there & ~((values == wanted) | (np.isnan(values) & np.isnan(wanted)))
    return rows.sample_index[wrong]
