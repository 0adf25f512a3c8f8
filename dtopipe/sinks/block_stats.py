"""The summary of each block that the tables of SQL sinks hold."""

from __future__ import annotations

from collections.abc import Iterator
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
