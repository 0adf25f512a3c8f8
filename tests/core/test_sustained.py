"""A condition that must hold for a time: the same however its samples are cut into blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.sustained import Sustained


def _told(holds: list[bool], for_samples: int, cuts: list[int]) -> list[bool]:
    condition, found, at = Sustained(for_samples), [], 0
    for cut in [*sorted(cuts), len(holds)]:
        found += condition.of(np.array(holds[at:cut], bool), 100 + at).tolist()
        at = max(at, cut)
    return found


def _one_by_one(holds: list[bool], for_samples: int) -> list[bool]:
    found, since = [], None
    for index, each in enumerate(holds):
        since = (index if since is None else since) if each else None
        found.append(since is not None and index - since >= for_samples)
    return found


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 5), st.lists(st.integers(0, 60), max_size=5))
def test_it_is_the_same_however_samples_are_cut(holds: list[bool], for_samples: int, cuts: list[int]) -> None:
    assert _told(holds, for_samples, [min(cut, len(holds)) for cut in cuts]) == _one_by_one(holds, for_samples)


def test_what_is_absent_ends_it() -> None:
    condition = Sustained(3)
    assert condition.of(np.ones(3, bool), 0).tolist() == [False] * 3
    assert condition.since == 0
    assert condition.of(np.ones(5, bool), 10).tolist() == [False, False, False, True, True]
    assert condition.since == 10
