"""Channel statistics, kept up to date with every block: lowest and highest code, samples open, not OK, at a rail."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.stream import SensorStatus
from dtopipe.shm.layout import Stat


class ChannelStats:
    """What has been counted so far, in the codes' own type, as that is compared fastest.

    Samples that are not OK count as nothing else; NaN, which only boards that convert by themselves deliver, is no
    value. Without a sample the lowest code is the highest of the type, and the highest the lowest.
    """

    def __init__(self, before: NDArray[np.float64], dtype: str) -> None:
        """Go on from `before`, (Stat.ROWS, n_channels) rows of `Stat`, for codes of `dtype`."""
        self._extremes = before[: Stat.MAX + 1].astype(dtype)
        self._low, self._high = self._extremes
        self._counts = before[Stat.NOT_OK :].copy()
        self._not_ok, self._at_rail, self._open = self._counts
        self._lower: np.ufunc
        self._higher: np.ufunc
        if dtype == "float64":
            # They pass over NaN.
            self._lower, self._higher = np.fmin, np.fmax
            self._none = (np.inf, -np.inf)
        else:
            self._lower, self._higher = np.minimum, np.maximum
            limits = np.iinfo(dtype)
            self._none = (limits.max, limits.min)
        self._has_rails = dtype != "float64"

    def count(self, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None) -> None:
        """One block more, (n_channels, n)."""
        if codes.shape[1] == 0:
            return
        for_low = for_high = codes
        if sensor_status is not None:
            not_ok = sensor_status != 0
            self._not_ok += np.count_nonzero(not_ok, axis=1)
            self._open += np.count_nonzero(sensor_status == SensorStatus.OPEN, axis=1)
            for_low = np.where(not_ok, codes.dtype.type(self._none[0]), codes)
            for_high = np.where(not_ok, codes.dtype.type(self._none[1]), codes)
        low, high = self._lower.reduce(for_low, axis=1), self._higher.reduce(for_high, axis=1)
        self._lower(self._low, low, out=self._low)
        self._higher(self._high, high, out=self._high)
        if self._has_rails:
            highest, lowest = self._none
            self._count_at(lowest, low, for_low)
            self._count_at(highest, high, for_high)

    def _count_at(self, rail: float, extremes: NDArray[Any], codes: NDArray[Any]) -> None:
        """Samples at this rail, of the channels that have touched it: few have, and one is counted fast."""
        # Plain lists: for a few channels they are searched faster than arrays.
        for channel, extreme in enumerate(extremes.tolist()):
            if extreme == rail:
                self._at_rail[channel] += np.count_nonzero(codes[channel] == rail)

    def write(self, into: NDArray[np.float64]) -> None:
        """Write all of it as (Stat.ROWS, n_channels) float64, rows of `Stat`."""
        into[: Stat.NOT_OK] = self._extremes
        into[Stat.NOT_OK :] = self._counts


def no_samples(dtype: str, n_channels: int) -> NDArray[np.float64]:
    """The statistics of nothing: (Stat.ROWS, n_channels), the lowest code above the highest."""
    stats = np.zeros((Stat.ROWS, n_channels))
    if dtype == "float64":
        stats[Stat.MIN], stats[Stat.MAX] = np.inf, -np.inf
    else:
        limits = np.iinfo(dtype)
        stats[Stat.MIN], stats[Stat.MAX] = limits.max, limits.min
    return stats
