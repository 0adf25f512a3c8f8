"""Whether a repair can help, from what the outputs lack and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.remedy import Repair, help_of_repair, repair_from
from dtopipe.core.verdict import SinkOutcome, VerdictState, judge
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span

WHOLE = SinkOutcome("archive", Policy.BLOCK, start=0, stop=1000, samples=1000, gaps=0)


def lacking(name: str, *gaps: tuple[int, int, Cause], failure: str = "", policy: Policy = Policy.BLOCK) -> SinkOutcome:
    absent = tuple(Gap(Span(start, stop), cause, 0) for start, stop, cause in gaps)
    n = sum(map(len, absent))
    overruns = sum(len(gap) for gap in absent if gap.cause is Cause.BOARD_OVERRUN)
    return SinkOutcome(name, policy, 0, 1000, 1000 - n, n, failure, overruns, absent)


def helps(*outcomes: SinkOutcome, follows: bool = False, lacks_end: bool = False) -> Repair:
    return help_of_repair(outcomes, follows=follows, lacks_end=lacks_end)


def test_what_is_whole_needs_none() -> None:
    assert helps(WHOLE, lacking("view", (0, 900, Cause.POLICY_DROP), policy=Policy.DROP_OLDEST)) is Repair.NEEDLESS


def test_what_another_output_has_can_be_had_from_it() -> None:
    assert helps(WHOLE, lacking("table", (100, 200, Cause.WORKER_FAILED))) is Repair.HELPS
    # Also where that lacks other samples, or is one that drops.
    view = lacking("view", (300, 900, Cause.POLICY_DROP), policy=Policy.DROP_OLDEST)
    assert helps(view, lacking("table", (100, 200, Cause.STALLED))) is Repair.HELPS
    assert helps(view, lacking("table", (310, 320, Cause.STALLED))) is Repair.NOT_HERE
    assert helps(view, lacking("table", (310, 901, Cause.STALLED))) is Repair.HELPS


@pytest.mark.parametrize("cause", [Cause.BOARD_OVERRUN, Cause.ACQUIRER_RESTART])
def test_what_the_board_lost_nobody_can_bring_back(cause: Cause) -> None:
    assert helps(lacking("archive", (0, 5, cause)), lacking("table", (0, 5, cause))) is Repair.NEVER_CAME
    both = lacking("table", (0, 5, cause), (7, 9, Cause.STALLED))
    assert helps(lacking("archive", (0, 5, cause)), both) is Repair.HELPS


def test_what_no_other_output_has_needs_a_copy_of_the_run() -> None:
    assert helps(lacking("table", (100, 200, Cause.WORKER_FAILED), failure="gave up")) is Repair.NOT_HERE
    # A journal that has retired it has it no more.
    retired = replace(WHOLE, retained_from=200)
    assert helps(retired, lacking("table", (100, 200, Cause.STALLED))) is Repair.NOT_HERE
    assert helps(retired, lacking("table", (100, 201, Cause.STALLED))) is Repair.HELPS
    # One that came later never had it.
    late = replace(WHOLE, start=200, samples=800)
    assert helps(late, lacking("table", (100, 200, Cause.STALLED))) is Repair.NOT_HERE


def test_an_output_that_is_spoilt_is_written_anew_from_another_one() -> None:
    spoilt = replace(WHOLE, name="table", failure="12 samples differ from archive")
    assert helps(WHOLE, spoilt) is Repair.HELPS
    assert helps(spoilt) is Repair.NOT_HERE
    assert helps(WHOLE, replace(WHOLE, name="table", samples=990)) is Repair.HELPS


def test_gaps_that_are_not_known_one_by_one_may_be_anywhere() -> None:
    table = SinkOutcome("table", Policy.BLOCK, 0, 1000, 900, 100)
    assert helps(WHOLE, table) is Repair.HELPS
    assert helps(table) is Repair.NOT_HERE
    assert helps(replace(table, overruns=100)) is Repair.NEVER_CAME


def test_what_a_link_cost_and_the_end_of_the_run_may_be_on_the_other_machine() -> None:
    gap = lacking("copy", (10, 20, Cause.TRANSPORT))
    assert helps(gap, follows=True) is Repair.HELPS_FROM_SOURCE
    assert helps(gap) is Repair.NOT_HERE
    assert helps(WHOLE, follows=True, lacks_end=True) is Repair.HELPS_FROM_SOURCE
    assert helps(lacking("copy", (10, 20, Cause.BOARD_OVERRUN)), follows=True) is Repair.NEVER_CAME


def test_what_was_interrupted_is_always_to_be_repaired() -> None:
    verdict = judge([WHOLE], end_sample_index=1000, interrupted=True)
    assert (verdict.state, verdict.repair) == (VerdictState.INTERRUPTED, Repair.HELPS)
    assert verdict.facts()["repair"] == "helps"
    assert "repair" not in judge([WHOLE], end_sample_index=1000).facts()


def test_a_record_may_say_what_it_likes() -> None:
    assert repair_from("helps") is Repair.HELPS
    strange: list[object] = ["", None, 7, [], "rm -rf"]
    assert {repair_from(value) for value in strange} == {Repair.NEEDLESS}


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=6)


def apart(pairs: list[tuple[int, int]]) -> list[tuple[int, int, Cause]]:
    found: list[tuple[int, int, Cause]] = []
    for start, length in sorted(pairs):
        at = max(start, found[-1][1] if found else 0)
        found.append((at, at + length, Cause.STALLED))
    return found


@given(spans, spans)
def test_it_helps_if_and_only_if_a_sample_that_is_absent_here_is_there(
    a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    here, there = lacking("a", *apart(a)), lacking("b", *apart(b))
    lost_here = {i for gap in here.absent for i in range(gap.span.start, gap.span.stop)}
    lost_there = {i for gap in there.absent for i in range(gap.span.start, gap.span.stop)}
    expected = (
        Repair.NEEDLESS
        if not lost_here and not lost_there
        else Repair.HELPS
        if lost_here ^ lost_there
        else Repair.NOT_HERE
    )
    assert helps(here, there) is expected
