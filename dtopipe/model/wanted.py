"""Bounds of what is wanted of an output's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LAST = 2**62
_LEAST_NS, _MOST_NS = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """Samples with `start <= index < stop`, of these those with `utc_start_ns <= t_utc < utc_stop_ns`."""

    start: int = 0
    stop: int = _LAST
    utc_start_ns: int = _LEAST_NS
    utc_stop_ns: int = _MOST_NS

    @property
    def by_time(self) -> bool:
        """True if the index alone does not tell which samples are meant."""
        return self.utc_start_ns > _LEAST_NS or self.utc_stop_ns < _MOST_NS

    def may_have(self, first: int, stop: int, utc_first_ns: int, utc_last_ns: int) -> bool:
        """False for samples `first` to `stop`, exclusive, taken between these times, of which none is wanted."""
        if stop <= self.start or first >= self.stop:
            return False
        return utc_last_ns >= self.utc_start_ns and utc_first_ns < self.utc_stop_ns

    def mask(self, sample_index: NDArray[np.int64], t_utc_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) bool: which of these rows are wanted."""
        inside = (sample_index >= self.start) & (sample_index < self.stop)
        if self.by_time:
            inside &= (t_utc_ns >= self.utc_start_ns) & (t_utc_ns < self.utc_stop_ns)
        return inside
