"""A hole taken apart by cause."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.gaps import explained
from dtopipe.model.span import Cause, Gap, Span


def t_utc_ns_at(index: int) -> int:
    return 1_000 + 10 * index


def board_gap(start: int, stop: int, cause: Cause = Cause.BOARD_OVERRUN) -> Gap:
    return Gap(Span(start, stop), cause, t_utc_ns_at(start))


def test_the_boards_gaps_keep_their_cause_and_the_rest_has_the_readers() -> None:
    board = [board_gap(20, 30), board_gap(40, 45, Cause.ACQUIRER_RESTART)]
    assert explained(Span(10, 50), board, Cause.POLICY_DROP, t_utc_ns_at) == [
        Gap(Span(10, 20), Cause.POLICY_DROP, 1_100),
        Gap(Span(20, 30), Cause.BOARD_OVERRUN, 1_200),
        Gap(Span(30, 40), Cause.POLICY_DROP, 1_300),
        Gap(Span(40, 45), Cause.ACQUIRER_RESTART, 1_400),
        Gap(Span(45, 50), Cause.POLICY_DROP, 1_450),
    ]


def test_a_board_gap_that_is_cut_has_the_time_of_the_first_sample_that_is_left() -> None:
    assert explained(Span(25, 28), [board_gap(20, 30)], Cause.STALLED, t_utc_ns_at) == [
        Gap(Span(25, 28), Cause.BOARD_OVERRUN, 1_250)
    ]


def test_nothing_absent_needs_no_gap() -> None:
    assert explained(Span(10, 10), [board_gap(0, 50)], Cause.POLICY_DROP, t_utc_ns_at) == []


def test_board_gaps_beside_the_hole_are_not_its_own() -> None:
    board = [board_gap(0, 10), board_gap(20, 30)]
    assert explained(Span(10, 20), board, Cause.STALLED, t_utc_ns_at) == [Gap(Span(10, 20), Cause.STALLED, 1_100)]


SPANS = st.builds(lambda start, length: Span(start, start + length), st.integers(0, 60), st.integers(0, 20))
BOARD_CAUSES = st.sampled_from([Cause.BOARD_OVERRUN, Cause.ACQUIRER_RESTART])


@given(absent=SPANS, board=st.lists(st.builds(lambda span, cause: Gap(span, cause, 0), SPANS, BOARD_CAUSES)))
def test_every_absent_sample_is_in_exactly_one_gap_whatever_the_board_lost(absent: Span, board: list[Gap]) -> None:
    gaps = explained(absent, board, Cause.WORKER_FAILED, t_utc_ns_at)
    covered = [index for gap in gaps for index in range(gap.span.start, gap.span.stop)]
    assert covered == list(range(absent.start, absent.stop))
    assert all(one.span.stop == other.span.start for one, other in pairwise(gaps))
    for gap in gaps:
        assert gap.t_utc_ns == t_utc_ns_at(gap.span.start)
        for index in range(gap.span.start, gap.span.stop):
            causes = {lost.cause for lost in board if lost.span.start <= index < lost.span.stop}
            assert gap.cause in causes if causes else gap.cause is Cause.WORKER_FAILED
