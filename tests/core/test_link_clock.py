"""Two clocks held against each other: the quickest answer of a round counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.link_clock import LinkClock, LinkPair

SECOND = 1_000_000_000


def asked(clock: LinkClock, now_ns: int) -> int:
    question = clock.question(now_ns)
    assert question == now_ns
    return now_ns


def test_a_round_is_eight_questions_one_after_the_other_and_its_best_answer() -> None:
    clock = LinkClock()
    found = None
    for number in range(8):
        assert found is None
        at = asked(clock, number * SECOND)
        # Nothing is asked while an answer is awaited.
        assert clock.question(at + 1000) is None
        took = 5_000_000 if number == 3 else 50_000_000
        found = clock.answered(at, at + took // 2 + 700, at + took // 2 + 900, at + took, at + took)
    assert found is not None
    assert (found.round_trip_ns, found.offset_ns, found.mono_offset_ns) == (5_000_000, 900, 700)
    assert found.uncertainty_ns == 2_500_000
    assert clock.question(7 * SECOND + 100) is None


def test_the_next_round_comes_after_ten_seconds() -> None:
    clock = LinkClock()
    for number in range(8):
        at = asked(clock, number)
        clock.answered(at, 0, 0, at + 1, at + 1)
    assert clock.question(9 * SECOND) is None
    asked(clock, 10 * SECOND)


def test_a_question_without_an_answer_is_asked_again_and_a_late_answer_is_nobodys() -> None:
    clock = LinkClock()
    first = asked(clock, 0)
    assert clock.question(SECOND) is None
    second = asked(clock, 2 * SECOND)
    assert clock.answered(first, 1, 1, 2 * SECOND, 2 * SECOND) is None
    assert clock.answered(second, 1, 1, 3 * SECOND, 3 * SECOND) is None
    # Neither was the last of its round.
    for number in range(5):
        at = asked(clock, 4 * SECOND + number)
        assert clock.answered(at, 1, 1, at + 1, at + 1) is None
    at = asked(clock, 5 * SECOND)
    assert clock.answered(at, 1, 1, at + 1, at + 1) is not None


@given(
    offset=st.integers(-(10**18), 10**18),
    there_ns=st.integers(0, 10**9),
    back_ns=st.integers(0, 10**9),
    start=st.integers(0, 10**18),
)
def test_the_true_offset_is_never_further_away_than_the_uncertainty(
    offset: int, there_ns: int, back_ns: int, start: int
) -> None:
    clock = LinkClock()
    pair: LinkPair | None = None
    now = start
    while pair is None:
        at = asked(clock, now)
        answer = at + there_ns + back_ns
        pair = clock.answered(at, at + there_ns + offset, at + there_ns + offset, answer, answer)
        now = answer
    assert abs(pair.offset_ns - offset) <= pair.uncertainty_ns
    assert abs(pair.mono_offset_ns - offset) <= pair.uncertainty_ns
