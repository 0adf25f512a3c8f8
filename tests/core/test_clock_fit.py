"""The measured rate of a run, in memory that does not grow with it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dtopipe.core.clock_fit import ClockFit
from dtopipe.model.clock import Anchor


def _fit(pairs: list[tuple[int, int]]) -> ClockFit:
    fit = ClockFit()
    for index, t_ns in pairs:
        fit.add(Anchor(index, t_ns, t_ns))
    return fit


def test_rate_and_jitter_are_those_of_least_squares() -> None:
    random = np.random.default_rng(7)
    t_ns = 5_000_000_000_000 + np.arange(200) * 1_000_000_000 + random.integers(-3_000_000, 3_000_000, 200)
    index = np.arange(200) * 10_001
    found = _fit(list(zip(index.tolist(), t_ns.tolist(), strict=True))).rate_and_jitter()
    t_s = (t_ns - t_ns[0]) / 1e9
    rate_hz = np.polyfit(t_s, index, 1)[0]
    assert found is not None
    assert found[0] == pytest.approx(rate_hz, rel=1e-9)
    assert found[1] == pytest.approx((t_s - index / rate_hz).std() * 1e3, rel=1e-6)


def test_a_line_needs_three_pairs_and_time_that_goes_on() -> None:
    assert _fit([(0, 0), (1000, 10**9)]).rate_and_jitter() is None
    assert _fit([(0, 5), (1000, 5), (2000, 5)]).rate_and_jitter() is None
    assert _fit([(0, 0), (0, 10**9), (0, 2 * 10**9)]).rate_and_jitter() is None


def test_a_year_of_pairs_takes_no_more_memory_than_ten_and_keeps_its_digits() -> None:
    second, year = 1_000_000_000, 31_536_000
    short = _fit([(i * 1000, i * second) for i in range(10)])
    long = _fit([(i * 1000 * year // 1000, i * second * year // 1000) for i in range(1000)])
    assert long.rate_and_jitter() == (1000.0, 0.0)
    size = {name: sys.getsizeof(value) for name, value in vars(short).items()}
    assert all(sys.getsizeof(value) <= size[name] + 32 for name, value in vars(long).items())
