"""Counting rows from their sample indices."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.model.span import Span
from dtopipe.verify.recount import Recount, joined, without

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda p: Span(p[0], p[0] + p[1])), max_size=8)


def members(spans: list[Span]) -> set[int]:
    return {index for span in spans for index in range(span.start, span.stop)}


@given(SPANS)
def test_joined_spans_hold_the_same_samples_apart_from_each_other(spans: list[Span]) -> None:
    result = joined(spans)
    assert members(result) == members(spans)
    assert all(one.stop < two.start for one, two in itertools.pairwise(result))


@given(SPANS, SPANS)
def test_without_removes_just_the_samples_removed(spans: list[Span], removed: list[Span]) -> None:
    assert members(without(spans, removed)) == members(spans) - members(removed)


@given(st.lists(st.lists(st.integers(0, 30), max_size=10), max_size=6))
def test_a_recount_finds_every_sample_and_every_double(batches: list[list[int]]) -> None:
    recount = Recount()
    for batch in batches:
        recount.add(np.array(batch, dtype=np.int64))
    flat = [index for batch in batches for index in batch]
    counted = recount.result()
    assert counted.rows == len(flat)
    assert members(list(counted.covered)) == set(flat)
    assert members(list(counted.doubled)) == {index for index in flat if flat.count(index) > 1}
    assert (counted.disordered == 0) == all(two > one for one, two in itertools.pairwise(flat))
