"""The summary of each block that the tables of SQL sinks hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def block_stats(values: NDArray[np.float64], starts: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """How many values there are, and their minimum, maximum and mean, NaN of none: four (n_channels, n_blocks) arrays.

    `values`: (n_channels, n), NaN for null; `starts`: (n_blocks,), where in it each block begins.
    """
    there = ~np.isnan(values)
    counts = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
    yield counts
    yield np.fmin.reduceat(values, starts, axis=1)
    yield np.fmax.reduceat(values, starts, axis=1)
    # The sum of both infinities is no number, and so null.
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(np.where(there, values, 0.0), starts, axis=1)
    yield np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


@dataclass(frozen=True, slots=True)
class BlockSummaries:
    """Rows of the table of blocks, in order of their first samples, with the statistics of every channel.

    (n,) int64: `block_index`, `first_sample_index`, `n_samples`, `t_mono_ns`, `t_utc_ns`. `stats`: (4, n_channels, n)
    float64, what `block_stats` gives: how many values, minimum, maximum, mean; NaN for null. How many is NaN where the
    statistics of a channel are not there. Statistics without a block come with `n_samples` 0.
    """

    block_index: NDArray[np.int64]
    first_sample_index: NDArray[np.int64]
    n_samples: NDArray[np.int64]
    t_mono_ns: NDArray[np.int64]
    t_utc_ns: NDArray[np.int64]
    stats: NDArray[np.float64]


def summaries_from(
    blocks: Sequence[Sequence[int]], stats: Sequence[Sequence[Any]], n_channels: int
) -> Iterator[BlockSummaries]:
    """The summaries from rows of the two tables of a database, both of the same range of first samples.

    `blocks`: block_index, first_sample_index, n_samples, t_mono_ns, t_utc_ns; `stats`: first_sample_index, channel,
    n_values, minimum, maximum, mean.
    """
    places = {row[1]: place for place, row in enumerate(blocks)}
    if blocks:
        table = np.full((4, n_channels, len(blocks)), np.nan)
        for first, channel, *numbers in stats:
            if first in places and 0 <= channel < n_channels:
                table[:, channel, places[first]] = [np.nan if number is None else number for number in numbers]
        index, first, n_samples, t_mono_ns, t_utc_ns = (
            np.array(column, np.int64) for column in zip(*blocks, strict=True)
        )
        yield BlockSummaries(index, first, n_samples, t_mono_ns, t_utc_ns, table)
    # Behind the blocks, whose order is that of the samples.
    strays = sorted({row[0] for row in stats if row[0] not in places or not 0 <= row[1] < n_channels})
    if strays:
        n = len(strays)
        zeros = np.zeros(n, np.int64)
        nothing = np.full((4, n_channels, n), np.nan)
        yield BlockSummaries(zeros, np.array(strays, np.int64), zeros, zeros, zeros, nothing)
