"""Where blocks, holes and the end of a simulated source are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.boards.timeline import BlockTimeline, Piece
from dtopipe.model.span import Cause, Span

spans = st.builds(lambda at, n: Span(at, at + n), st.integers(0, 60), st.integers(1, 25))


def pieces(timeline: BlockTimeline, start: int, stop: int) -> list[Piece]:
    found = []
    while start < stop and (piece := timeline.piece_at(start)):
        found.append(piece)
        start = piece.span.stop
    return found


@given(st.integers(0, 40), st.integers(1, 9), st.lists(spans, max_size=4), st.none() | st.integers(41, 100))
def test_every_sample_is_in_one_block_or_in_one_hole(
    start: int, samples_per_block: int, holes: list[Span], end: int | None
) -> None:
    timeline = BlockTimeline(start, samples_per_block, holes, end)
    found = pieces(timeline, start, 100)
    assert [piece.span.start for piece in found] == [start, *(piece.span.stop for piece in found[:-1])]
    assert end is None or found[-1].span.stop == end
    for piece in found:
        for index in range(piece.span.start, min(piece.span.stop, 100)):
            in_hole = any(hole.start <= index < hole.stop for hole in holes)
            assert (piece.cause is Cause.BOARD_OVERRUN) == in_hole
        assert piece.cause or len(piece.span) <= samples_per_block


@given(st.integers(0, 40), st.integers(1, 9), st.lists(spans, max_size=4), st.none() | st.integers(41, 100))
def test_boundaries_are_found_without_stepping(
    start: int, samples_per_block: int, holes: list[Span], end: int | None
) -> None:
    timeline = BlockTimeline(start, samples_per_block, holes, end)
    boundaries = [start, *(piece.span.stop for piece in pieces(timeline, start, 130))]
    for index in range(start, 130):
        assert timeline.boundary_before(index) == max(b for b in boundaries if b <= index)


def test_a_block_is_cut_where_an_overrun_begins_and_full_blocks_follow_it() -> None:
    timeline = BlockTimeline(0, 100, [Span(250, 283)])
    assert pieces(timeline, 0, 400) == [
        Piece(Span(0, 100)),
        Piece(Span(100, 200)),
        Piece(Span(200, 250)),
        Piece(Span(250, 283), Cause.BOARD_OVERRUN),
        Piece(Span(283, 383)),
        Piece(Span(383, 483)),
    ]


def test_the_remotest_index_costs_no_more_than_the_first() -> None:
    timeline = BlockTimeline(0, 7)
    assert timeline.boundary_before(7 * 10**17 + 5) == 7 * 10**17
    assert timeline.piece_at(7 * 10**17) == Piece(Span(7 * 10**17, 7 * 10**17 + 7))
