"""The sample clock: from a sample's index to its time, in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_NS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Above this an int64 product of a block could overflow, and plain integers are used instead.
_INT64_SAFE = 2**62


@dataclass(frozen=True, slots=True)
class Anchor:
    """One instant read from the clocks: the sample with this index was taken at these times (ns)."""

    sample_index: int
    t_mono_ns: int
    t_utc_ns: int


@dataclass(frozen=True, slots=True)
class SampleClock:
    """Times of samples: `anchor + round((i - i0) * 1e9 / rate)`, exact, ties to even, for any index."""

    rate_hz: float

    @property
    def whole_period_ns(self) -> int | None:
        """The sample period, where it is a whole number of nanoseconds."""
        period = _period_ns(self.rate_hz)
        return period.numerator if period.denominator == 1 else None

    def offset_ns(self, n_samples: int) -> int:
        """Nanoseconds from the anchor to the sample that is `n_samples` after it."""
        period = _period_ns(self.rate_hz)
        if period.denominator == 1:
            return n_samples * period.numerator
        return round(n_samples * period)

    def offsets_ns(self, first: int, count: int, step: int = 1) -> NDArray[np.int64]:
        """Nanoseconds from the anchor to each of `count` samples, the first being `first` samples after it.

        `step`: samples from each to the next. Returns (count,) int64, strictly rising for rates up to 1 GHz.
        """
        period = _period_ns(self.rate_hz)
        whole, part = divmod(first * period.numerator, period.denominator)
        denominator = period.denominator
        if part + max(1, count) * step * period.numerator >= _INT64_SAFE:
            return np.array([round((first + k * step) * period) for k in range(count)], dtype=np.int64)
        numerators = np.arange(count, dtype=np.int64)
        numerators *= period.numerator * step
        if denominator == 1:
            numerators += whole
            return numerators
        numerators += part
        quotient, remainder = np.divmod(numerators, denominator)
        twice = 2 * remainder
        # Ties to even of the whole number, which `whole` is a part of: as Python's round().
        odd = (quotient + (whole & 1)) & 1
        up = (twice > denominator) | ((twice == denominator) & (odd == 1))
        rounded: NDArray[np.int64] = quotient + up + whole
        return rounded

    def anchor_at(self, anchor: Anchor, sample_index: int) -> Anchor:
        """The times of that sample, as they follow from the anchor: another one of the same epoch."""
        offset_ns = self.offset_ns(sample_index - anchor.sample_index)
        return Anchor(sample_index, anchor.t_mono_ns + offset_ns, anchor.t_utc_ns + offset_ns)

    def samples_in(self, time_s: float) -> int:
        """How many samples take so long at least: `ceil(rate * time)`, exactly."""
        return math.ceil(Fraction(repr(float(self.rate_hz))) * Fraction(repr(float(time_s))))

    def index_at(self, elapsed_ns: int) -> int:
        """How many whole sample periods fit into `elapsed_ns`."""
        return int(elapsed_ns / _period_ns(self.rate_hz))


@lru_cache(maxsize=64)
def _period_ns(rate_hz: float) -> Fraction:
    """The sample period in ns; the rate is taken as the decimal number that it prints as."""
    return _NS_PER_S / Fraction(repr(float(rate_hz)))


def iso_utc(t_utc_ns: int) -> str:
    """ISO 8601 with nine digits and `Z`, as in CSV, JSONL and the run record."""
    seconds, ns = divmod(t_utc_ns, _NS_PER_S)
    return f"{_second_utc(seconds)}.{ns:09d}Z"


@lru_cache(maxsize=64)
def _second_utc(seconds: int) -> str:
    # Not `fromtimestamp`, which knows no time before 1970 on Windows.
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    except OverflowError as error:
        raise ValueError(f"{seconds} s since 1970 is in no year that has a name") from error


def utc_ns(iso: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time; one without an offset is taken as UTC."""
    text = iso.removesuffix("Z")
    head, point, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))] if point else ""
    moment = datetime.fromisoformat(head + tail[len(digits) :])
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * _NS_PER_S + int(digits[:9].ljust(9, "0") or 0)
