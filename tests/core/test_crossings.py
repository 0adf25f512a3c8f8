"""Crossings of a limit: the same however samples are cut into blocks, and wherever a watcher is succeeded."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.crossings import LimitWatch
from dtopipe.model.limits import MOST_TOLD, Crossing, LimitSeen, Side, Then

NAN = math.nan


def _utc(index: int) -> int:
    return 1000 * index


def _watch(side: Side = Side.HIGH, limit: float = 10.0, for_samples: int = 0) -> LimitWatch:
    return LimitWatch("tc1", side, limit, for_samples)


def _saw(watch: LimitWatch, values: list[float], first: int = 0) -> LimitWatch:
    watch.saw(np.array(values, float), first, _utc)
    return watch


def test_a_crossing_is_told_when_it_counts_and_when_it_is_over() -> None:
    watch = _saw(_watch(for_samples=2), [1, 11, 12, 13])
    (begun,) = watch.seen().news
    assert begun == Crossing(1, 1, 11.0, 1000, 3, 13.0, 13.0, 3)
    (over,) = _saw(watch, [15, 14, 2], first=4).seen().news
    assert over == replace(begun, extreme=15.0, extreme_at=4, stop=6, then=Then.INSIDE)
    assert watch.seen() == LimitSeen("tc1", Side.HIGH, crossings=1, outside=5, extreme=15.0)


def test_a_crossing_that_is_too_short_is_none() -> None:
    watch = _saw(_watch(for_samples=3), [11, 11, 11, 1, 11])
    seen = watch.seen()
    assert (seen.crossings, seen.news, seen.lasting) == (0, (), None)
    assert seen.current is not None
    assert seen.current.start == 4


def test_the_value_at_a_limit_is_inside() -> None:
    assert not _saw(_watch(), [10.0]).has_news
    assert _saw(_watch(Side.LOW, -5.0), [-5.0, -5.1]).seen().news[0].start == 1


def test_no_value_ends_a_crossing_and_is_none() -> None:
    watch = _saw(_watch(), [NAN, 11, NAN, NAN, 12, 1])
    first, second = watch.seen().news
    assert (first.start, first.stop, first.then) == (1, 2, Then.NO_VALUE)
    assert (second.start, second.stop, second.then) == (4, 5, Then.INSIDE)


def test_a_gap_ends_a_crossing() -> None:
    watch = _saw(_saw(_watch(), [11, 12]), [13], first=7)
    first, second = watch.seen().news
    assert (first.stop, first.then) == (2, Then.GAP)
    assert (second.start, second.stop) == (7, None)


def test_the_end_ends_a_crossing() -> None:
    watch = _saw(_watch(), [11, 12])
    watch.end()
    (over,) = watch.seen().news
    assert (over.stop, over.then) == (2, Then.END)
    assert watch.seen().lasting is None


def test_many_crossings_are_counted_and_few_are_told() -> None:
    watch = _saw(_watch(), [11.0, 1.0] * 1000 + [20.0])
    seen = watch.seen()
    assert (seen.crossings, seen.outside, seen.extreme) == (1001, 1000, 20.0)
    assert len(seen.news) <= MOST_TOLD + 1
    assert seen.lasting is not None
    assert seen.lasting.number == 1001


values = st.lists(st.sampled_from([NAN, -math.inf, 0.0, 5.0, 9.0, math.inf]), max_size=38)


@given(values, st.integers(0, 4), st.lists(st.integers(0, 38), max_size=4), st.sampled_from(Side), st.booleans())
def test_it_is_the_same_however_samples_are_cut(
    samples: list[float], for_samples: int, cuts: list[int], side: Side, is_succeeded: bool
) -> None:
    watch, at = LimitWatch("c", side, 5.0, for_samples), 0
    told: dict[int, Crossing] = {}
    for cut in [*sorted(min(cut, len(samples)) for cut in cuts), len(samples)]:
        _saw(watch, samples[at:cut], at)
        at = max(at, cut)
        seen = watch.seen()
        told |= {crossing.start: crossing for crossing in seen.news}
        if is_succeeded:
            # As a worker that is killed is succeeded by one that knows what it had seen.
            watch = LimitWatch("c", side, 5.0, for_samples, known=replace(seen, news=()), upto=at)
    watch.end()
    seen = watch.seen()
    told |= {crossing.start: crossing for crossing in seen.news}
    wanted = _one_by_one(samples, for_samples, side)
    assert [(each.start, each.stop, each.extreme) for each in told.values()] == wanted
    assert (seen.crossings, seen.outside) == (len(wanted), sum(stop - start for start, stop, _ in wanted))


def _one_by_one(samples: list[float], for_samples: int, side: Side) -> list[tuple[int, int, float]]:
    found, since = [], None
    for index, value in enumerate([*samples, NAN]):
        is_out = value > 5.0 if side is Side.HIGH else value < 5.0
        if is_out and since is None:
            since = index
        elif not is_out and since is not None:
            run = samples[since:index]
            if len(run) > for_samples:
                found.append((since, index, max(run) if side is Side.HIGH else min(run)))
            since = None
    return found
