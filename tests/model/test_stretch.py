"""How a run went over time, as values: joined so that no peak is hidden, and read as a stranger's."""

from __future__ import annotations

import pytest

from dtopipe.model.facts import Misfit
from dtopipe.model.stretch import SinkStretch, Stretch, stretches_from, thinned


def stretch(at_s: int, lag_s: float = 0.5, room_s: float | None = 3.0, **sinks: SinkStretch) -> Stretch:
    own = sinks or {"table": SinkStretch(900 * at_s, at_s, lag_s)}
    return Stretch(at_s * 10**9, 1.0, 1000 * at_s, 1000 * at_s, 0, room_s, own)


def test_two_stretches_are_one_with_the_worst_of_both_and_the_counts_of_the_later() -> None:
    both = stretch(1, 4.0, 0.1).followed_by(stretch(2, 0.2, None))
    assert (both.t_utc_ns, both.for_s, both.samples, both.headroom_s) == (2 * 10**9, 2.0, 2000, 0.1)
    assert both.sinks == {"table": SinkStretch(1800, 2, 4.0)}


def test_a_sink_that_came_or_went_is_in_both() -> None:
    both = stretch(1, old=SinkStretch(1, 0, 9.0)).followed_by(stretch(2, new=SinkStretch(2, 0, 1.0)))
    assert both.sinks == {"old": SinkStretch(1, 0, 9.0), "new": SinkStretch(2, 0, 1.0)}


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8])
def test_thinning_keeps_the_whole_time_and_the_longest_lag(n: int) -> None:
    before = [stretch(at, float(at % 5)) for at in range(1, n + 1)]
    after = thinned(before)
    assert len(after) == (n + 1) // 2
    assert sum(each.for_s for each in after) == n
    lags = [sink.lag_s for each in after for sink in each.sinks.values()]
    assert max(lags, default=0) == max((float(at % 5) for at in range(1, n + 1)), default=0)


def test_a_line_says_the_same_again() -> None:
    assert Stretch.from_json(stretch(3).to_json()) == stretch(3)
    assert Stretch.from_json(stretch(3, room_s=None).to_json()).headroom_s is None


@pytest.mark.parametrize(
    "change",
    [
        {"t_utc": "soon"}, {"for_s": 0}, {"for_s": 1e300}, {"for_s": "1"}, {"samples": -1}, {"samples": True},
        {"sinks": []}, {"sinks": {"a": 1}}, {"sinks": {"a": {"samples": 1, "dropped": 0}}}, {"headroom_s": []},
        {"sinks": {str(n): {} for n in range(2000)}},
    ],
)  # fmt: skip
def test_what_is_no_stretch_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(Misfit):
        Stretch.from_json(stretch(1).to_json() | change)


def test_a_record_tells_of_so_many_at_most_and_of_the_whole_time() -> None:
    told = [stretch(at).to_json() for at in range(1, 101)]
    found = stretches_from(told, 30)
    assert len(found) == 25
    assert sum(each.for_s for each in found) == 100
    assert found[-1].samples == 100_000


@pytest.mark.parametrize("strange", [5, None, {"t_utc": "soon"}, [], stretch(1).to_json()])
def test_what_is_damaged_or_out_of_order_is_passed_over(strange: object) -> None:
    told = [stretch(2).to_json(), strange, stretch(3).to_json()]
    assert stretches_from(told, 30) == [stretch(2), stretch(3)]


@pytest.mark.parametrize("none", [None, {}, "no", [], 7])
def test_a_record_of_no_course_has_none(none: object) -> None:
    assert stretches_from(none, 30) == []
