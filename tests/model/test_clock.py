"""Times of samples, exact at any index and any rate."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtopipe.model.clock import Anchor, SampleClock, iso_utc, utc_ns
from dtopipe.model.stream import Block

RATES = st.one_of(
    st.floats(0.001, 1e9, allow_nan=False),
    st.integers(1, 10**9).map(float),
    st.sampled_from([1e9 / 3, 44_100.0, 97_656.25, 0.1, 1 / 3, 1e9]),
)
# Nanoseconds in 64 bits reach 292 years: a run of a century at any rate.
CENTURY_S = 3 * 10**9
RATES_AND_INDICES = RATES.flatmap(lambda rate: st.tuples(st.just(rate), st.integers(0, int(rate * CENTURY_S))))


def exactly(rate_hz: float, index: int) -> int:
    """The contract's formula, with the rate as it is written down; Python rounds a Fraction's ties to even."""
    return round(index * 10**9 / Fraction(str(rate_hz)))


@given(sample=RATES_AND_INDICES, count=st.integers(0, 40))
@example(sample=(2e9 / 3, 0), count=9)
@example(sample=(44_100.0, 3 * 10**12), count=40)
@example(sample=(0.123456789, 10**8), count=3)
def test_every_sample_has_the_time_of_the_formula_exactly(sample: tuple[float, int], count: int) -> None:
    rate_hz, first = sample
    clock = SampleClock(rate_hz)
    expected = [exactly(rate_hz, first + k) for k in range(count)]
    offsets = clock.offsets_ns(first, count)
    assert offsets.dtype == np.int64
    assert offsets.tolist() == expected
    assert [clock.offset_ns(first + k) for k in range(count)] == expected


def test_a_tie_goes_to_the_even_nanosecond() -> None:
    # 400 MHz is 2.5 ns a sample, so that every odd index is a tie.
    assert SampleClock(4e8).offsets_ns(0, 8).tolist() == [0, 2, 5, 8, 10, 12, 15, 18]
    assert SampleClock(4e8).offsets_ns(1, 7).tolist() == [2, 5, 8, 10, 12, 15, 18]
    assert SampleClock(4e8).offsets_ns(5, 3).tolist() == [12, 15, 18]


@given(sample=RATES_AND_INDICES, cut=st.integers(0, 30), count=st.integers(0, 30))
def test_a_sample_has_one_time_in_whichever_block_it_lies(sample: tuple[float, int], cut: int, count: int) -> None:
    rate_hz, first = sample
    clock = SampleClock(rate_hz)
    parts = np.concatenate([clock.offsets_ns(first, cut), clock.offsets_ns(first + cut, count)])
    assert parts.tolist() == clock.offsets_ns(first, cut + count).tolist()


@given(sample=RATES_AND_INDICES)
def test_times_rise_strictly(sample: tuple[float, int]) -> None:
    rate_hz, first = sample
    assert np.all(np.diff(SampleClock(rate_hz).offsets_ns(first, 50)) > 0)


def test_samples_before_the_anchor_lie_before_it() -> None:
    assert SampleClock(1000.0).offsets_ns(-3, 5).tolist() == [-3_000_000, -2_000_000, -1_000_000, 0, 1_000_000]


def test_an_epochs_anchor_may_be_told_at_any_of_its_samples() -> None:
    assert SampleClock(1000.0).anchor_at(Anchor(10, 50_000_000, 70_000_000), 12) == Anchor(12, 52_000_000, 72_000_000)


@given(sample=RATES_AND_INDICES)
def test_the_index_at_a_time_is_that_of_the_last_whole_period(sample: tuple[float, int]) -> None:
    rate_hz, index = sample
    period_ns = 10**9 / Fraction(str(rate_hz))
    clock = SampleClock(rate_hz)
    elapsed_ns = -((-index * period_ns) // 1)
    found = clock.index_at(int(elapsed_ns))
    assert found * period_ns <= elapsed_ns < (found + 1) * period_ns


def test_a_blocks_times_start_at_its_anchor() -> None:
    block = Block(7, 1_003, np.zeros((2, 3), np.int16), Anchor(1_000, 5_000_000_000, 9))
    assert block.t_mono_ns(SampleClock(1000.0)).tolist() == [5_003_000_000, 5_004_000_000, 5_005_000_000]


# From 1678 to 2261: what nanoseconds in 64 bits can hold.
@given(t_utc_ns=st.integers(-(2**63) + 10**9, 2**63 - 10**9))
@example(t_utc_ns=-1)
@example(t_utc_ns=0)
def test_a_time_written_out_reads_back_as_the_same_nanosecond(t_utc_ns: int) -> None:
    text = iso_utc(t_utc_ns)
    assert len(text) == 30
    assert text.endswith("Z")
    assert utc_ns(text) == t_utc_ns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01", 1_000_000_000),
        ("1970-01-01T00:00:01.5", 1_500_000_000),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("1969-12-31T23:00:00.25-01:00", 250_000_000),
        ("1970-01-01T00:00:00.1234567899Z", 123_456_789),
        ("2026-11-22T23:41:00Z", 1_795_390_860_000_000_000),
    ],
)
def test_times_of_other_writers_are_read(text: str, expected: int) -> None:
    assert utc_ns(text) == expected


def test_a_time_before_1970_is_a_time_as_every_other() -> None:
    assert iso_utc(-1) == "1969-12-31T23:59:59.999999999Z"
    assert utc_ns("1969-12-31T23:59:59.999999999Z") == -1
    with pytest.raises(ValueError, match="no year"):
        iso_utc(10**30)
