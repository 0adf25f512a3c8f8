"""A segment goes once every other BLOCK output has all of it for good, the oldest first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.retention import Complete, kept_for, segments_to_go, settled_before

SEGMENTS = (Complete(1, 100), Complete(2, 250), Complete(3, 250), Complete(4, 400))


def test_the_output_that_is_least_durable_says_what_is_settled() -> None:
    assert settled_before({"table": 250, "base": 900, "lines": 251}) == 250


def test_with_nobody_else_nothing_is_settled() -> None:
    assert settled_before({}) == 0
    assert segments_to_go(SEGMENTS, settled_before({})) == ()


def test_a_segment_goes_when_its_last_sample_is_settled_and_not_before() -> None:
    assert segments_to_go(SEGMENTS, 99) == ()
    assert segments_to_go(SEGMENTS, 100) == SEGMENTS[:1]
    assert segments_to_go(SEGMENTS, 249) == SEGMENTS[:1]
    assert segments_to_go(SEGMENTS, 250) == SEGMENTS[:3]
    assert segments_to_go(SEGMENTS, 10_000) == SEGMENTS


def test_a_segment_without_samples_does_not_go_before_anything_is_settled() -> None:
    assert segments_to_go([Complete(1, 0), Complete(2, 100)], 0) == ()
    assert segments_to_go([Complete(1, 0), Complete(2, 100)], 50) == (Complete(1, 0),)


def test_whoever_is_furthest_behind_is_whom_it_is_kept_for() -> None:
    assert kept_for({"table": 250, "base": 900, "lines": 250}, committed=1000) == ("table", "lines")
    assert kept_for({"table": 1000, "base": 1000}, committed=1000) == ()


DURABLE = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 500), min_size=1)


@given(durable=DURABLE, stops=st.lists(st.integers(0, 500)).map(sorted))
def test_nobody_needs_a_sample_of_what_goes_and_what_stays_begins_where_that_ends(
    durable: dict[str, int], stops: list[int]
) -> None:
    segments = [Complete(number, stop) for number, stop in enumerate(stops, start=1)]
    going = segments_to_go(segments, settled_before(durable))
    assert list(going) == segments[: len(going)]
    assert all(index >= segment.stop for segment in going for index in durable.values())
    if len(going) < len(segments):
        assert any(index < segments[len(going)].stop for index in durable.values()) or 0 in durable.values()
