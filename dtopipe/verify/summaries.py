"""Holds the table of blocks of an output against the values in it, as its rows are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.errors import DtopipeError
from dtopipe.model.span import Span
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.rows.block_stats import BlockSummaries, block_stats
from dtopipe.verify.recount import joined, spans_of

# The sum behind a mean may have been added up in another order.
_MEAN_TOLERANCE = 1e-9
_LEAST_HELD = 2**17
_HOW_MANY, _LOW, _HIGH, _MEAN = range(4)


class Summaries:
    """The blocks of one channel's rows, or of rows of all channels, in order of their sample indices.

    `channel`: whose rows will come; None: those of the wide layout. `blocks` reads the table. `failure`: why it could
    not be read to its end, in words, or empty.
    """

    def __init__(self, blocks: Iterator[BlockSummaries], channel: int | None, samples_per_block: int) -> None:
        self._channel = channel
        # A block that claims to be larger than any must not make all rows wait for it.
        self._most_held = 4 * max(samples_per_block, _LEAST_HELD)
        self.failure = ""
        self._blocks = blocks
        self._batch: BlockSummaries | None = None
        self._at = 0
        self._held: OutputRows | None = None
        self._wrong: list[Span] = []

    def add(self, rows: OutputRows) -> None:
        """The next rows; they may follow on a hole."""
        if len(rows.sample_index) == 0:
            return
        self._held = rows if self._held is None else _appended(self._held, rows)
        self._settle(is_end=False)

    def misstated(self) -> list[Span]:
        """All rows have come: the samples of the blocks whose summaries are not theirs, or which have none."""
        self._settle(is_end=True)
        return joined(self._wrong)

    def _settle(self, *, is_end: bool) -> None:
        """Hold the blocks that are whole by now against the table."""
        while (batch := self._next_batch()) is not None:
            held = self._held
            rest = slice(self._at, None)
            first, n_samples = batch.first_sample_index[rest], batch.n_samples[rest]
            if is_end:
                n_whole = len(first)
            else:
                last = -1 if held is None else int(held.sample_index[-1])
                n_whole = int(np.searchsorted(first + n_samples, last + 1, side="right"))
            if held is not None and len(held.sample_index) > self._most_held:
                n_whole = max(n_whole, 1)
            if n_whole:
                self._hold_against(batch, slice(self._at, self._at + n_whole))
                self._at += n_whole
            if self._at < len(batch.first_sample_index):
                return
        if self._held is not None:
            # Rows behind the last block of the table.
            self._wrong += [] if self.failure else spans_of(self._held.sample_index)
            self._held = None

    def _next_batch(self) -> BlockSummaries | None:
        while self._batch is None or self._at >= len(self._batch.first_sample_index):
            try:
                self._batch, self._at = next(self._blocks, None), 0
            except (DtopipeError, ValueError, TypeError, OverflowError) as error:
                self.failure, self._batch, self._blocks = str(error), None, iter(())
            if self._batch is None:
                return None
        return self._batch

    def _hold_against(self, batch: BlockSummaries, which: slice) -> None:
        first, n_samples = batch.first_sample_index[which], batch.n_samples[which]
        stop = int((first + n_samples).max())
        rows, self._held = _split(self._held, stop)
        index = np.empty(0, np.int64) if rows is None else rows.sample_index
        starts = np.searchsorted(index, first)
        stops = np.searchsorted(index, first + n_samples)
        # Rows that are in no block: those before each one, and behind the last.
        edges = np.concatenate(([0], np.maximum.accumulate(stops))) if len(stops) else np.array([0])
        for begin, end in zip(edges.tolist(), [*starts.tolist(), len(index)], strict=True):
            if begin < end:
                self._wrong += spans_of(index[begin:end])
        apart = starts >= edges[:-1]
        fits = (stops - starts == n_samples) & (n_samples > 0) & apart
        if rows is None or not fits.any():
            self._name(first, n_samples, ~fits)
            return
        begins = np.where(fits, starts, 0)
        is_right = fits & (batch.t_mono_ns[which] == rows.t_mono_ns[begins])
        is_right &= batch.t_utc_ns[which] == rows.t_utc_ns[begins]
        at = np.flatnonzero(fits)
        is_right[at] &= self._stats_fit(batch.stats[:, :, which][:, :, at], rows, starts[at], stops[at])
        # Numbers rise. Where a repair has filled in blocks of another machine they may go back, and stay there.
        number = batch.block_index[which]
        is_right[1:-1] &= ~((number[1:-1] < number[:-2]) & (number[2:] >= number[:-2]))
        self._name(first, n_samples, ~is_right)

    def _stats_fit(
        self, told: NDArray[np.float64], rows: OutputRows, starts: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        values = np.vstack(rows.values)
        if self._channel is not None:
            told = told[:, self._channel : self._channel + 1]
        # Blocks may leave rows out: each is followed by what is not in one.
        edges = np.empty(2 * len(starts), np.int64)
        edges[0::2], edges[1::2] = starts, stops
        follows = np.concatenate((stops[:-1] == starts[1:], [False]))
        keep = np.ones(len(edges), dtype=bool)
        keep[1::2] = ~follows
        if edges[-1] >= values.shape[1]:
            keep[-1] = False
        made = list(block_stats(values, edges[keep]))
        is_block = np.zeros(len(edges), dtype=bool)
        is_block[0::2] = True
        which = is_block[keep]
        how_many, low, high, mean = (column[:, which] for column in made)
        fit = (told[_HOW_MANY] == how_many) & _equal(told[_LOW], low) & _equal(told[_HIGH], high)
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(told[_MEAN] - mean) <= _MEAN_TOLERANCE * np.maximum(np.abs(low), np.abs(high))
        fit &= near | _equal(told[_MEAN], mean)
        found: NDArray[np.bool_] = fit.all(axis=0)
        return found

    def _name(self, first: NDArray[np.int64], n_samples: NDArray[np.int64], wrong: NDArray[np.bool_]) -> None:
        for at in np.flatnonzero(wrong).tolist():
            start = int(first[at])
            self._wrong.append(Span(start, start + max(1, int(n_samples[at]))))


def _equal(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (one == other) | (np.isnan(one) & np.isnan(other))
    return found


def _appended(one: OutputRows, other: OutputRows) -> OutputRows:
    return OutputRows(
        np.concatenate((one.sample_index, other.sample_index)),
        np.concatenate((one.t_mono_ns, other.t_mono_ns)),
        np.concatenate((one.t_utc_ns, other.t_utc_ns)),
        [np.concatenate(pair) for pair in zip(one.values, other.values, strict=True)],
        other.channel,
    )


def _split(rows: OutputRows | None, stop: int) -> tuple[OutputRows | None, OutputRows | None]:
    """The rows before sample `stop`, and those from there on."""
    if rows is None:
        return None, None
    at = int(np.searchsorted(rows.sample_index, stop))
    if at == len(rows.sample_index):
        return rows, None
    return (_part(rows, slice(at)) if at else None), _part(rows, slice(at, None))


def _part(rows: OutputRows, which: slice) -> OutputRows:
    return OutputRows(
        rows.sample_index[which],
        rows.t_mono_ns[which],
        rows.t_utc_ns[which],
        [values[which] for values in rows.values],
        rows.channel,
    )
