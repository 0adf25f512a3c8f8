"""A ring read without a row: copies that were checked, and places found by sample index."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dtopipe.core.catch_up import Seen
from dtopipe.model.clock import Anchor
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.shm.layout import Layout
from dtopipe.shm.observer import RingObserver
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.writer import RingWriter

N_SLOTS, N = 8, 10


@pytest.fixture
def ring() -> Iterator[Ring]:
    name = new_name()
    made = Ring.create(name, Layout(N_SLOTS, 2, N, "int16"), 500)
    yield made
    made.close()
    unlink(name)


def publish(ring: Ring, writer: RingWriter, first: int) -> None:
    number = writer.lease()
    assert isinstance(number, int)
    codes = np.full((2, N), first % 30_000, np.int16)
    writer.publish(number, first, codes, None, Anchor(500, 1, 2), 3)


def test_what_is_there_is_read_and_what_is_not_is_said(ring: Ring) -> None:
    writer, observer = RingWriter(ring), RingObserver(ring)
    assert observer.take(0, 4) == []
    assert observer.number_before(500) is None
    assert observer.oldest_within(0.75) == (500, 0)
    for n in range(20):
        publish(ring, writer, 500 + N * n)
    assert observer.head == 20
    assert observer.is_overtaken(12)
    assert not observer.is_overtaken(13)
    # What nobody has begun to write anew is there still.
    assert observer.take(11, 4) == []
    assert observer.seen() == Seen(head=20, oldest=12, n_slots=8, journal_end=0, journal_lives=False)
    assert observer.take(12, 1)[0].block_index == 12
    taken = observer.take(13, 100)
    assert [block.block_index for block in taken] == list(range(13, 20))
    assert [block.first_sample_index for block in taken] == [500 + N * n for n in range(13, 20)]
    assert all((block.codes == block.first_sample_index).all() for block in taken)
    assert [block.block_index for block in observer.take(15, 2)] == [15, 16]
    assert observer.resume() == 16
    assert observer.oldest_within(0.5) == (500 + N * 16, 16)


def test_a_place_is_found_by_its_sample_and_holes_belong_to_the_block_before(ring: Ring) -> None:
    writer, observer = RingWriter(ring), RingObserver(ring)
    firsts = [500 + N * n + (25 if n > 14 else 0) for n in range(20)]
    for n, first in enumerate(firsts):
        if n == 15:
            writer.record_gap(Gap(Span(650, 675), Cause.BOARD_OVERRUN, 9))
        publish(ring, writer, first)
    for n in range(13, 20):
        assert observer.number_before(firsts[n]) == n
        assert observer.number_before(firsts[n] + N - 1) == n
    assert observer.number_before(660) == 14
    assert observer.number_before(firsts[12]) == 12
    assert observer.number_before(firsts[11]) is None
    assert observer.number_before(10**9) == 19


def test_a_run_begins_where_it_begins(ring: Ring) -> None:
    assert ring.end() == (500, 0)
    assert ring.status().first_sample_index == 500
