"""The number of rows of views follows from positions and gaps alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.row_count import RowShape, rows_of
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span


@given(
    st.integers(0, 40), st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=12), st.integers(1, 30),
    st.integers(1, 3),
)  # fmt: skip
def test_it_is_what_counting_gives(start: int, pieces: list[tuple[bool, int]], every: int, a_sample: int) -> None:
    at, gaps, windows, samples = start, [], 0, 0
    last_was_there, last = False, -1
    for is_there, length in pieces:
        if is_there:
            samples += length
            for index in range(at, at + length):
                begins = index // every != last or not last_was_there
                windows += begins
                last, last_was_there = index // every, True
        else:
            gaps.append(Gap(Span(at, at + length), Cause.POLICY_DROP, 0))
            last_was_there = False
        at += length
    position = Position(start, at, at, samples, at - start - samples)
    wanted = samples if every == 1 else windows
    assert rows_of(RowShape(every, a_sample), position, [*gaps, *gaps[-2:]]) == wanted * a_sample
