"""The FIFO of a converter against one that is simulated sample by sample."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.boards.fifo import Fifo, FifoStatus
from dtopipe.boards.timeline import BlockTimeline, Piece
from dtopipe.model.span import Cause, Span


class SlowFifo:
    """What the contract says, one sample at a time."""

    def __init__(self, timeline: BlockTimeline, capacity: int) -> None:
        self.timeline, self.capacity = timeline, capacity
        self.now = self.sorted_to = 0
        self.items: list[Piece] = []
        self.lent = 0
        self.stopped = False

    def tick_to(self, reached: int) -> None:
        while self.now < reached and not self.stopped:
            self.now += 1
            piece = self.timeline.piece_at(self.sorted_to)
            if piece and piece.span.stop == self.now:
                self.complete(piece)

    def complete(self, piece: Piece) -> None:
        occupied = self.lent + sum(item.cause is None for item in self.items)
        if piece.cause is None and occupied >= self.capacity:
            piece = Piece(piece.span, Cause.BOARD_OVERRUN)
        if piece.cause and self.items and self.items[-1].cause:
            piece = Piece(Span(self.items.pop().span.start, piece.span.stop), piece.cause)
        self.items.append(piece)
        self.sorted_to = piece.span.stop

    def take(self) -> Piece | None:
        piece = self.items.pop(0) if self.items else None
        self.lent += piece is not None and piece.cause is None
        return piece

    def stop(self, reached: int) -> None:
        self.tick_to(reached)
        piece = self.timeline.piece_at(self.sorted_to)
        if not self.stopped and piece and piece.span.start < reached:
            self.complete(Piece(Span(piece.span.start, reached), piece.cause))
        self.stopped = True


holes = st.lists(st.builds(lambda at, n: Span(at, at + n), st.integers(0, 150), st.integers(1, 30)), max_size=3)
steps = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["take", "take", "look", "stop"])), max_size=40)


@given(st.integers(1, 8), st.integers(3, 5), holes, st.none() | st.integers(1, 200), steps)
def test_it_holds_and_loses_what_a_fifo_stepped_sample_by_sample_holds_and_loses(
    samples_per_block: int, capacity: int, holes: list[Span], end: int | None, steps: list[tuple[int, str]]
) -> None:
    timeline = BlockTimeline(0, samples_per_block, holes, end)
    fifo, slow = Fifo(timeline, capacity, 0), SlowFifo(timeline, capacity)
    now = 0
    stopped_at: int | None = None
    for elapsed, step in steps:
        now += elapsed
        slow.tick_to(now)
        if step == "stop":
            stopped_at = now if stopped_at is None else stopped_at
            fifo.stop(now)
            slow.stop(now)
            continue
        fifo.advance(now)
        if step == "take":
            piece = fifo.take()
            assert piece == slow.take()
            # The reader keeps the buffer for a while, too.
            now += 3
            slow.tick_to(now)
            fifo.give_back(now)
            slow.lent = 0
    everything = []
    fifo.stop(now)
    slow.stop(now)
    while fifo.end is None:
        piece = fifo.take()
        assert piece is not None
        everything.append(piece)
        fifo.give_back(now)
    assert everything == slow.items
    reached = now if stopped_at is None else stopped_at
    assert fifo.end == slow.sorted_to == (reached if end is None else min(reached, end))


def test_a_week_without_a_reader_is_one_overrun() -> None:
    fifo = Fifo(BlockTimeline(0, 1000), 4, 0)
    week = 7 * 24 * 3600 * 10_000 + 123
    fifo.advance(week)
    assert fifo.status() == FifoStatus(capacity=4, ready=4, lent=0)
    taken = [fifo.take() for _ in range(4)]
    assert taken == [Piece(Span(k * 1000, (k + 1) * 1000)) for k in range(4)]
    assert fifo.take() == Piece(Span(4000, week // 1000 * 1000), Cause.BOARD_OVERRUN)
    assert fifo.take() is None


def test_a_lent_buffer_occupies_its_place_until_it_is_given_back() -> None:
    fifo = Fifo(BlockTimeline(0, 10), 3, 0)
    fifo.advance(30)
    fifo.take()
    fifo.advance(40)
    assert fifo.status() == FifoStatus(capacity=3, ready=2, lent=1)
    fifo.give_back(50)
    fifo.advance(60)
    assert [fifo.take() for _ in range(4)] == [
        Piece(Span(10, 20)),
        Piece(Span(20, 30)),
        Piece(Span(30, 50), Cause.BOARD_OVERRUN),
        Piece(Span(50, 60)),
    ]


def test_a_stop_completes_the_buffer_that_is_being_filled() -> None:
    fifo = Fifo(BlockTimeline(0, 10), 3, 0)
    fifo.stop(17)
    assert [fifo.take(), fifo.take(), fifo.take()] == [Piece(Span(0, 10)), Piece(Span(10, 17)), None]
    assert fifo.end == 17
