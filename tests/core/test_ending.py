"""By what a run was ended, in the record and back."""

from __future__ import annotations

from typing import Any

import pytest

from dtopipe.core.ending import BY_BOARD, BY_CTRL_C, BY_KILL, bounded_by, end_of_duration, ending_from, stopped_by


@pytest.mark.parametrize("ending", [BY_CTRL_C, BY_BOARD, BY_KILL, stopped_by("ada", "lab-pc"), bounded_by(60.0)])
def test_what_a_record_says_is_read_back(ending: Any) -> None:
    assert ending_from(ending.facts()) == ending


@pytest.mark.parametrize(
    "facts", [None, "ctrl_c", {}, {"by": "ctrl_c"}, {"by": "magic", "text": ""}, {"by": [], "text": 1}]
)
def test_what_no_run_of_ours_would_say_says_nothing(facts: Any) -> None:
    assert ending_from(facts) is None


def test_who_typed_it_is_told_as_far_as_it_is_known() -> None:
    assert stopped_by("ada", "lab-pc").told_in_verdict == "ended by dtopipe stop (ada on lab-pc)"
    assert stopped_by("", "lab-pc").text == "dtopipe stop (lab-pc)"
    assert stopped_by("", "").text == "dtopipe stop"
    assert bounded_by(60.0).told_in_verdict == "ended by its duration of 60 s"
    assert BY_BOARD.told_in_verdict == ""


def test_a_duration_ends_at_the_first_sample_that_is_not_before_it() -> None:
    assert end_of_duration(10_000.0, 0.1, 0) == 1000
    assert end_of_duration(3.0, 1 / 3, 7) == 8
    assert end_of_duration(1000.0, 0.0015, 0) == 2
    assert end_of_duration(1000.0, None, 0) is None
