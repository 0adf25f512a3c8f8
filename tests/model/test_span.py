"""Ranges of sample indices, causes and gaps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.model.clock import SampleClock
from dtopipe.model.span import Cause, Gap, Span, merged

CLOCK = SampleClock(3000.0)
SPANS = st.builds(lambda start, length: Span(start, start + length), st.integers(0, 40), st.integers(0, 15))


def indices(span: Span) -> set[int]:
    return set(range(span.start, span.stop))


@given(one=SPANS, other=SPANS)
def test_an_intersection_has_the_samples_of_both(one: Span, other: Span) -> None:
    both = one.intersection(other)
    assert indices(both) == indices(one) & indices(other)
    assert bool(both) == bool(indices(both))
    assert len(both) == len(indices(both))
    assert indices(other.intersection(one)) == indices(both)


def test_an_empty_span_is_false_and_has_no_length() -> None:
    assert not Span(5, 5)
    assert len(Span(7, 5)) == 0
    assert not Span(7, 5)
    assert Span(5, 6)


@given(spans=st.lists(SPANS.filter(bool), max_size=8), data=st.data())
def test_merged_gaps_have_the_same_samples_in_order_and_no_neighbours_of_one_cause(
    spans: list[Span], data: st.DataObject
) -> None:
    gaps = [Gap(span, Cause.POLICY_DROP, 10 * span.start) for span in spans]
    joined = list(merged(data.draw(st.permutations(gaps))))
    assert set().union(*(indices(gap.span) for gap in joined)) == set().union(*(indices(span) for span in spans))
    assert all(one.span.stop < other.span.start for one, other in pairwise(joined))
    assert all(gap.t_utc_ns == 10 * gap.span.start for gap in joined)


def test_what_is_left_of_a_gap_has_the_time_of_its_own_first_sample() -> None:
    gap = Gap(Span(10, 40), Cause.STALLED, 5_000_000)
    assert gap.trimmed(Span(0, 20), CLOCK) == Gap(Span(10, 20), Cause.STALLED, 5_000_000)
    assert gap.trimmed(Span(13, 50), CLOCK) == Gap(Span(13, 40), Cause.STALLED, 6_000_000)
    assert gap.trimmed(Span(0, 99), CLOCK) is gap


def test_neighbours_of_different_causes_stay_apart() -> None:
    gaps = [
        Gap(Span(0, 5), Cause.BOARD_OVERRUN, 0),
        Gap(Span(5, 9), Cause.POLICY_DROP, 5),
        Gap(Span(9, 12), Cause.POLICY_DROP, 9),
    ]
    assert list(merged(gaps)) == [gaps[0], Gap(Span(5, 12), Cause.POLICY_DROP, 5)]
    assert list(merged([])) == []


def test_the_numbers_of_causes_in_binary_records_never_change() -> None:
    assert {cause.value: cause.code for cause in Cause} == {
        "board_overrun": 1, "acquirer_restart": 2, "policy_drop": 3, "stalled": 4, "board_away": 8,
        "write_error": 5, "worker_failed": 6, "transport": 7, "not_triggered": 9,
    }  # fmt: skip
    assert [Cause.from_code(cause.code) for cause in Cause] == list(Cause)
    with pytest.raises(KeyError):
        Cause.from_code(0)
