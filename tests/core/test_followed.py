"""A follower is whole only with the source's end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dtopipe.core.ending import BY_CTRL_C, bounded_by
from dtopipe.core.followed import Followed, followed_from, known_end
from dtopipe.core.remedy import Repair
from dtopipe.core.verdict import SinkOutcome, VerdictState, judge, judge_recorded
from dtopipe.model.policy import Policy

COPY = SinkOutcome("copy", Policy.BLOCK, start=0, stop=1000, samples=1000, gaps=0)
FOLLOWED = Followed("tcp://daq-pc:5700")


def judged(followed: Followed, **more: Any) -> Any:
    return judge([COPY], end_sample_index=1000, followed=followed, **more)


def test_with_the_sources_end_a_follower_is_good() -> None:
    verdict = judged(replace(FOLLOWED, source_end=1000))
    assert verdict.state is VerdictState.GOOD
    assert verdict.repair is Repair.NEEDLESS


def test_a_follower_that_was_cut_off_is_incomplete_and_tells_since_when() -> None:
    verdict = judged(replace(FOLLOWED, away_since="2026-11-25T10:00:00Z"), ended_by=BY_CTRL_C)
    assert verdict.state is VerdictState.INCOMPLETE
    assert verdict.text == (
        "followed up to sample 1000: the source was away since 2026-11-25T10:00:00Z, and what it has beyond is not here"
        "; ended by Ctrl-C"
    )
    assert verdict.repair is Repair.HELPS_FROM_SOURCE


def test_a_follower_that_was_stopped_while_the_source_went_on_is_incomplete() -> None:
    verdict = judged(FOLLOWED, ended_by=BY_CTRL_C)
    assert verdict.state is VerdictState.INCOMPLETE
    assert verdict.text == (
        "followed up to sample 1000, and the source went on: what it has beyond is not here; ended by Ctrl-C"
    )


def test_an_end_that_is_known_and_not_reached_is_named() -> None:
    verdict = judged(replace(FOLLOWED, source_end=60_000))
    assert (verdict.state, verdict.text) == (VerdictState.INCOMPLETE, "followed up to sample 1000 of 60000")


def test_a_follower_that_was_to_go_so_far_and_no_further_has_what_it_was_to_have() -> None:
    bounded = replace(FOLLOWED, asked_end=1000)
    assert judged(bounded, ended_by=bounded_by(1.0)).state is VerdictState.GOOD
    assert judged(replace(FOLLOWED, asked_end=1001)).state is VerdictState.INCOMPLETE


def test_a_repair_that_has_not_reached_the_sources_end_does_not_make_it_good() -> None:
    assert judged(FOLLOWED, repaired=True).state is VerdictState.INCOMPLETE
    assert judged(replace(FOLLOWED, source_end=1000), repaired=True).state is VerdictState.REPAIRED


def test_it_is_told_beside_whatever_is_worse() -> None:
    lost = replace(COPY, failure="gave up")
    verdict = judge([lost], end_sample_index=1000, followed=FOLLOWED)
    assert verdict.state is VerdictState.DEGRADED
    assert verdict.text.startswith("copy: gave up; followed up to sample 1000, ")


def test_a_former_verdicts_text_is_not_told_twice() -> None:
    first = judged(FOLLOWED, aborted="the acquirer gave up", simulated=True)
    again = judged(FOLLOWED, aborted=first.text, simulated=True)
    assert again == first


def test_the_record_tells_the_same_again() -> None:
    for followed in (FOLLOWED, replace(FOLLOWED, source_end=7, asked_end=9, away_since="2026-11-25T10:00:00Z")):
        assert followed_from(followed.facts()) == followed
    record = {"acquired": {"end_sample_index": 1000}, "source": FOLLOWED.facts(), "ended_by": BY_CTRL_C.facts()}
    assert judge_recorded(record, [COPY]) == judged(FOLLOWED, ended_by=BY_CTRL_C)
    assert judge_recorded({"acquired": {"end_sample_index": 1000}}, [COPY]).state is VerdictState.GOOD


@pytest.mark.parametrize("end", [None, "1000", True, -1, 10.5, [1]])
def test_a_record_that_knows_no_end_makes_no_follower_good(end: Any) -> None:
    followed = followed_from({"endpoint": 7, "end_sample_index": end, "asked_end_sample_index": end})
    assert followed is not None
    assert judged(followed).state is VerdictState.INCOMPLETE


def test_a_copy_of_the_run_knows_its_end_if_it_has_a_verdict_and_is_no_follower_that_lacks_it() -> None:
    record: dict[str, Any] = {"acquired": {"end_sample_index": 60}, "verdict": {"state": "GOOD", "text": ""}}
    assert known_end(record) == 60
    assert known_end({**record, "verdict": None}) is None
    assert known_end({**record, "source": FOLLOWED.facts()}) is None
    assert known_end({**record, "source": replace(FOLLOWED, source_end=60).facts()}) == 60
