"""The line through the clock pairs of a run, from sums that do not grow with it."""

from __future__ import annotations

import math
from fractions import Fraction

from dtopipe.model.clock import Anchor

_LEAST_PAIRS = 3
_NS_PER_S = 1_000_000_000


class ClockFit:
    """A straight line through (t_mono_ns, sample_index) by least squares, one pair after the other.

    The sums are whole numbers, and so exact: a month of nanoseconds squared would leave a float no digit for jitter.
    """

    def __init__(self) -> None:
        self._first: Anchor | None = None
        self._n = self._t = self._i = self._tt = self._ti = self._ii = 0

    def add(self, pair: Anchor) -> None:
        """One more pair."""
        first = self._first = self._first or pair
        t, index = pair.t_mono_ns - first.t_mono_ns, pair.sample_index - first.sample_index
        self._n += 1
        self._t += t
        self._i += index
        self._tt += t * t
        self._ti += t * index
        self._ii += index * index

    def rate_and_jitter(self) -> tuple[float, float] | None:
        """Rate in Hz, and the standard deviation of the pairs from the line in ms; None where there is no line yet."""
        if self._n < _LEAST_PAIRS:
            return None
        # Each n**2 times the variance, or covariance.
        spread = self._n * self._tt - self._t**2
        common = self._n * self._ti - self._t * self._i
        counted = self._n * self._ii - self._i**2
        if spread <= 0 or common <= 0:
            return None
        # Of t - index / rate, which is 0 where the pairs lie on the line.
        residual_ns2 = spread * Fraction(counted * spread - common**2, common**2) / self._n**2
        return float(Fraction(common * _NS_PER_S, spread)), math.sqrt(residual_ns2) / 1e6
