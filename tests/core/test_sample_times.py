"""Which sample was taken at a moment, and which moment somebody means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.marked_moment import sample_at
from dtopipe.core.sample_times import SampleTimes
from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.errors import UsageError
from dtopipe.model.moments import Moment, moment_of

S = 1_000_000_000
UTC_NS = 1_795_910_460 * S
# The acquirer was killed at sample 500; its successor's first sample came a little late by the first one's clock.
TIMES = SampleTimes(
    SampleClock(1000.0),
    (Anchor(0, 10 * S, UTC_NS), Anchor(2000, 12 * S + 300_000, UTC_NS + 2 * S + 300_000)),
)


def test_the_times_of_a_sample_are_those_of_its_epoch() -> None:
    assert TIMES.of(0) == Anchor(0, 10 * S, UTC_NS)
    assert TIMES.of(1999).t_mono_ns == 10 * S + 1_999_000_000
    assert TIMES.of(2001) == Anchor(2001, 12 * S + 1_300_000, UTC_NS + 2 * S + 1_300_000)


def test_between_two_epochs_the_first_one_s_clock_goes_on_up_to_the_next() -> None:
    assert TIMES.at_mono(10 * S - 1) is None
    assert TIMES.at_mono(11 * S) == 1000
    assert TIMES.at_mono(12 * S + 299_999) == 1999
    assert TIMES.at_mono(12 * S + 300_000) == 2000
    assert TIMES.at_utc(UTC_NS + S) == 1000
    assert TIMES.at_utc(UTC_NS - 1) is None


@given(st.floats(0.1, 1e6), st.integers(0, 10**9))
def test_a_sample_is_found_by_its_own_time(rate_hz: float, index: int) -> None:
    times = SampleTimes(SampleClock(rate_hz), (Anchor(7, 5 * S, UTC_NS),))
    at = times.of(index + 7)
    assert times.at_mono(at.t_mono_ns) in (index + 6, index + 7)
    assert times.at_mono(at.t_mono_ns + 1) == index + 7


def test_a_moment_is_now_before_now_a_sample_or_a_time() -> None:
    for moment, expected in (
        (Moment(), 3000),
        (Moment(before_s=1.0), 2000),
        (Moment(before_s=3.0), 0),
        (Moment(sample_index=0), 0),
        (Moment(sample_index=3000), 3000),
        (Moment(t_utc_ns=UTC_NS + S), 1000),
    ):
        assert sample_at(moment, TIMES, 0, 3000) == expected


@pytest.mark.parametrize(
    "moment",
    [
        Moment(before_s=3.1), Moment(sample_index=3001), Moment(t_utc_ns=UTC_NS - 1), Moment(t_utc_ns=UTC_NS + 4 * S),
    ],
)  # fmt: skip
def test_a_moment_outside_of_the_run_is_refused_with_the_way_out(moment: Moment) -> None:
    with pytest.raises(UsageError) as refused:
        sample_at(moment, TIMES, 0, 3000)
    assert refused.value.remedy
    with pytest.raises(UsageError):
        sample_at(Moment(sample_index=4), TIMES, 5, 3000)


def test_moments_are_written_as_people_write_them() -> None:
    assert moment_of(None) == Moment()
    assert moment_of("-3s") == Moment(before_s=3.0)
    assert moment_of(" -500 ms ") == Moment(before_s=0.5)
    assert moment_of(20_000) == Moment(sample_index=20_000) == moment_of("20,000") == moment_of("20_000")
    assert moment_of("2026-11-29T00:41:00Z") == moment_of("2026-11-29T01:41:00+01:00")
    assert (
        moment_of("2026-11-29T00:41:00.000000001Z").t_utc_ns
        == int(datetime(2026, 11, 29, 0, 41, tzinfo=UTC).timestamp()) * S + 1
    )
    at = datetime(2026, 11, 29, 2, 41, tzinfo=timezone(timedelta(hours=2)))
    assert moment_of(at) == moment_of("2026-11-29T00:41:00Z")


@pytest.mark.parametrize(
    "at",
    [
        "", "yesterday", "-3", "-3 parsecs", "3s", "--3s", "2026-11-29T00:41:00", "2026-13-01T00:00:00Z", "9" * 30, 1.5,
        True, -5, datetime(2026, 11, 29), "1969-12-31T23:59:59Z",
    ],
)  # fmt: skip
def test_what_names_no_moment_is_refused_with_the_way_out(at: object) -> None:
    with pytest.raises(UsageError) as refused:
        moment_of(at)  # type: ignore[arg-type]
    assert refused.value.remedy
