"""`progress` of a run record: how a run went over time, in a part of it that stays small."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from parts import BLOCK, RATE_HZ, Bench, sink

from dtopipe.model.stretch import SinkStretch, Stretch, stretches_from
from dtopipe.supervisor.course import MOST_OF_SINKS, MOST_STRETCHES, Course, CourseWatch

_DAY_S = 86_400


def _stretch(at_s: float, for_s: float, n_sinks: int = 1) -> Stretch:
    lag_s = 77.0 if at_s - for_s < 40_000 <= at_s else 0.5
    sinks = {f"table{n}": SinkStretch(round(at_s), 0, lag_s) for n in range(n_sinks)}
    return Stretch(round(at_s * 1e9), for_s, round(at_s), round(at_s), 0, 3.0, sinks)


@pytest.mark.parametrize(("days", "n_sinks", "least"), [(1, 1, 60), (31, 1, 60), (1, 60, 5), (1, 700, 1)])
def test_it_is_bounded_however_long_the_run_and_hides_no_peak(days: int, n_sinks: int, least: int) -> None:
    course, at_s = Course(), 0.0
    while at_s < days * _DAY_S:
        at_s += course.for_s
        course.append(_stretch(at_s, course.for_s, n_sinks))
    found = course.stretches
    assert least <= len(found) <= MOST_STRETCHES
    assert len(found) == 1 or len(found) * n_sinks <= MOST_OF_SINKS
    assert len(json.dumps([each.to_json() for each in found], indent=2)) < 150_000
    assert sum(each.for_s for each in found) == found[-1].t_utc_ns / 1e9 >= days * _DAY_S
    assert max(each.sinks["table0"].lag_s for each in found) == 77.0


def test_it_sees_the_longest_lag_between_two_stretches_and_the_last_moments(a_bench: Callable[..., Bench]) -> None:
    bench = a_bench(sink("table"))
    watch = CourseWatch(bench.progress, bench.memory, bench.sinks)

    def pass_by(turns: int) -> None:
        for _ in range(turns):
            bench.turn(0.25)
            watch.look(bench.now_ns)

    pass_by(4)
    assert stretches_from(watch.facts(), 100) == []
    bench.run()
    pass_by(1)
    bench.publish(4)
    pass_by(2)
    bench.commit("table", 4 * BLOCK)
    pass_by(2)
    (first,) = stretches_from(watch.facts(), 100)
    # In step at the end of the second, and behind within it.
    assert first.sinks == {"table": SinkStretch(4 * BLOCK, 0, 4 * BLOCK / RATE_HZ)}
    assert (first.samples, first.end_sample_index, first.headroom_s) == (4 * BLOCK, 4 * BLOCK, 4 * BLOCK / RATE_HZ)
    bench.publish(1)
    pass_by(1)
    assert [each.samples for each in stretches_from(watch.facts(), 100)] == [4 * BLOCK, 5 * BLOCK]
