"""The worst of all that is true."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from dtopipe.core.remark import Remark, remarks_from
from dtopipe.core.verdict import SinkOutcome, VerdictState, judge
from dtopipe.model.policy import Policy

WHOLE = SinkOutcome("archive", Policy.BLOCK, start=0, stop=1000, samples=1000, gaps=0)
LACKING = SinkOutcome("table", Policy.BLOCK, start=0, stop=1000, samples=900, gaps=100)
DROPPED = SinkOutcome("view", Policy.DROP_OLDEST, start=0, stop=1000, samples=300, gaps=700)
FAILED = SinkOutcome("db", Policy.BLOCK, start=0, stop=1000, samples=0, gaps=1000, failure="gave up after 6 failures")


def verdict(*sinks: SinkOutcome, **more: object) -> tuple[VerdictState, str]:
    found = judge(sinks, end_sample_index=1000, **more)  # type: ignore[arg-type]
    return found.state, found.text


def test_a_whole_run_is_good_and_what_a_drop_output_lacks_does_not_matter() -> None:
    assert verdict(WHOLE, DROPPED) == (VerdictState.GOOD, "1000 samples per channel, whole in 1 output")
    assert verdict(WHOLE, replace(WHOLE, name="b")) == (
        VerdictState.GOOD,
        "1000 samples per channel, whole in 2 outputs",
    )


def test_a_block_output_with_a_gap_of_any_cause_is_incomplete() -> None:
    assert verdict(WHOLE, LACKING) == (VerdictState.INCOMPLETE, "table lacks 100 of 1000 samples")


def test_what_the_board_lost_is_said_once_for_all_that_lack_nothing_else() -> None:
    sinks = [replace(LACKING, name=name, overruns=100) for name in ("a", "b", "c")]
    other = replace(LACKING, samples=850, gaps=150, overruns=100)
    assert verdict(*sinks, other) == (
        VerdictState.INCOMPLETE,
        "the board lost 100 samples per channel, named as gaps in a, b and c; table lacks 150 of 1000 samples",
    )


def test_a_sink_that_gave_up_degrades_the_run_whatever_its_policy() -> None:
    assert verdict(WHOLE, LACKING, FAILED) == (VerdictState.DEGRADED, "db: gave up after 6 failures")
    assert verdict(WHOLE, replace(FAILED, policy=Policy.DROP_OLDEST))[0] is VerdictState.DEGRADED


def test_samples_that_are_not_accounted_for_are_named() -> None:
    assert verdict(replace(WHOLE, samples=990)) == (
        VerdictState.DEGRADED,
        "archive: +10 samples are not accounted for",
    )
    assert verdict(replace(WHOLE, samples=1010))[1] == "archive: -10 samples are not accounted for"


def test_a_simulated_run_says_so_in_its_verdict() -> None:
    assert verdict(WHOLE, simulated=True)[1].endswith("(simulated board)")
    assert verdict(LACKING, simulated=True)[1].endswith("(simulated board)")


WITH: dict[VerdictState, tuple[list[SinkOutcome], dict[str, object]]] = {
    VerdictState.INCOMPLETE: ([LACKING], {}),
    VerdictState.DEGRADED: ([FAILED], {}),
    VerdictState.ABORTED: ([], {"aborted": "the board is gone"}),
    VerdictState.INTERRUPTED: ([], {"interrupted": True}),
}


@pytest.mark.parametrize(("better", "worse"), [*combinations(WITH, 2)])
def test_the_worst_wins(better: VerdictState, worse: VerdictState) -> None:
    sinks = [WHOLE, *WITH[better][0], *WITH[worse][0]]
    assert verdict(*sinks, **WITH[better][1], **WITH[worse][1])[0] is worse


def test_exit_codes_are_those_of_the_contract() -> None:
    assert {state.value: state.exit_code for state in VerdictState} == {
        "GOOD": 0, "GOOD (repaired)": 0, "INCOMPLETE": 3, "DEGRADED": 4, "ABORTED": 5, "INTERRUPTED": 5,
    }  # fmt: skip


def test_the_accounting_identity_counts_from_where_a_sink_was_to_begin() -> None:
    assert SinkOutcome("late", Policy.BLOCK, start=400, stop=1000, samples=550, gaps=50).adds_up
    assert not SinkOutcome("late", Policy.BLOCK, start=400, stop=1000, samples=950, gaps=50).adds_up


def test_an_early_end_is_said_first_and_is_no_fault_by_itself() -> None:
    whole = SinkOutcome("a", Policy.BLOCK, 0, 100, 100, 0)
    verdict = judge([whole], end_sample_index=100, ended_early="the disk is full")
    assert (verdict.state, verdict.state.exit_code) == (VerdictState.GOOD, 0)
    assert verdict.text == "ended early: the disk is full; 100 samples per channel, whole in 1 output"
    lacking = SinkOutcome("a", Policy.BLOCK, 0, 100, 90, 10)
    verdict = judge([lacking], end_sample_index=100, ended_early="the disk is full")
    assert verdict.state is VerdictState.INCOMPLETE
    assert verdict.text.startswith("ended early: the disk is full; a lacks 10 of 100")


def test_a_run_without_a_sample_is_not_good() -> None:
    empty = replace(WHOLE, stop=0, samples=0)
    found = judge([empty], end_sample_index=0)
    assert (found.state, found.text) == (VerdictState.INCOMPLETE, "no sample was acquired")
    begun_later = replace(WHOLE, start=500, stop=500, samples=0)
    assert judge([begun_later], end_sample_index=500, first_sample_index=500).state is VerdictState.INCOMPLETE


def test_what_board_and_clocks_did_stands_in_the_verdict_and_only_a_lack_changes_it() -> None:
    step, silent = Remark("the wall clock was set back by 3600.000 s"), Remark("no sample since noon", is_lack=True)
    state, text = verdict(WHOLE, remarks=[step])
    assert state is VerdictState.GOOD
    assert text == "1000 samples per channel, whole in 1 output; the wall clock was set back by 3600.000 s"
    assert verdict(WHOLE, remarks=[silent, step]) == (
        VerdictState.INCOMPLETE,
        "no sample since noon; the wall clock was set back by 3600.000 s",
    )


def test_remarks_are_read_back_from_a_record_and_a_strange_one_has_none() -> None:
    remarks = (Remark("a"), Remark("b", is_lack=True))
    assert remarks_from([remark.facts() for remark in remarks]) == remarks
    assert remarks_from("x") == remarks_from([1, {"text": 2}, None]) == ()
