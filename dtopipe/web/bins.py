"""The lowest and highest value of each bin of samples: what a page draws, and no spike is lost in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Finer than a pixel of a window of ten seconds.
BINS_PER_S = 200.0


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Bins `first` to `first + n`: (n_channels, n) lowest and highest values; NaN where there is none."""

    first: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def stop(self) -> int:
        """The bin behind the last one."""
        return self.first + int(self.low.shape[1])


def samples_per_bin(rate_hz: float) -> int:
    """How many samples of this rate a bin of a page has."""
    return max(1, round(rate_hz / BINS_PER_S))


class BinReducer:
    """Makes bins of samples that come in order; the last bin is kept until it is full, or something is absent."""

    def __init__(self, bin_samples: int) -> None:
        self._bin_samples = bin_samples
        self._open: Bins | None = None

    def add(self, first: int, values: NDArray[np.float64]) -> list[Bins]:
        """Every bin that is complete with these (n_channels, n) samples from index `first` on."""
        n, size = values.shape[1], self._bin_samples
        if not n:
            return []
        first_bin = first // size
        bins = np.arange(first_bin, (first + n - 1) // size + 1)
        edges = np.maximum(bins * size - first, 0)
        low, high = np.fmin.reduceat(values, edges, axis=1), np.fmax.reduceat(values, edges, axis=1)
        found: list[Bins] = []
        begun, self._open = self._open, None
        if begun is not None and begun.first == first_bin:
            low[:, 0], high[:, 0] = np.fmin(low[:, 0], begun.low[:, 0]), np.fmax(high[:, 0], begun.high[:, 0])
        elif begun is not None:
            found.append(begun)
        whole = len(bins) - (1 if (first + n) % size else 0)
        if whole:
            found.append(Bins(first_bin, low[:, :whole], high[:, :whole]))
        if whole < len(bins):
            self._open = Bins(first_bin + whole, low[:, whole:].copy(), high[:, whole:].copy())
        return found


class BinHistory:
    """The newest `n_bins` bins, as they are sent: float32, NaN where nothing came."""

    def __init__(self, n_channels: int, n_bins: int) -> None:
        self._n_bins = n_bins
        self._low = np.full((n_channels, n_bins), np.nan, np.float32)
        self._high = np.full((n_channels, n_bins), np.nan, np.float32)
        self.stop = 0
        self._first: int | None = None

    @property
    def start(self) -> int:
        """The oldest bin that is there."""
        return 0 if self._first is None else max(self._first, self.stop - self._n_bins)

    def add(self, bins: Bins) -> None:
        """Bins behind those that are there; what lies between is absent."""
        if self._first is None:
            self._first = self.stop = bins.first
        first, stop = max(bins.first, self.stop, bins.stop - self._n_bins), bins.stop
        if stop <= first:
            return
        hole = np.arange(max(self.stop, first - self._n_bins), first) % self._n_bins
        self._low[:, hole] = self._high[:, hole] = np.nan
        places = np.arange(first, stop) % self._n_bins
        # A value that float32 has not is drawn as absent, not as a warning.
        with np.errstate(over="ignore"):
            self._low[:, places] = bins.low[:, first - bins.first :]
            self._high[:, places] = bins.high[:, first - bins.first :]
        self.stop = stop

    def part(self, start: int, most: int) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
        """Up to `most` bins from `start` on, or from the oldest that is there: its number, lowest, highest."""
        start = max(start, self.start)
        places = np.arange(start, min(self.stop, start + most)) % self._n_bins
        return start, self._low[:, places], self._high[:, places]
