"""The ring's bytes, as PROTOCOL.md specifies them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest

from dtopipe.core.ring_size import bytes_before_slots
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import RingError
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.shm.calls import CallWords
from dtopipe.shm.layout import Call, Layout
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import Segment, names, new_name, unlink
from dtopipe.shm.table import SubscriberTable
from dtopipe.shm.writer import RingWriter


@pytest.fixture
def ring() -> Iterator[Ring]:
    """Three slots, two channels, four samples a block."""
    name = new_name()
    made = Ring.create(name, Layout(3, 2, 4, "int16"))
    yield made
    made.close()
    unlink(name)


def words(ring: Ring, offset: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}q", ring.segment.buffer, offset)


def test_the_segment_lies_as_specified(ring: Ring) -> None:
    layout = ring.layout
    assert (layout.rows_offset, layout.gaps_offset, layout.stats_offset) == (896, 896 + 62 * 640, 40_576 + 16_384 * 64)
    assert layout.slots_offset % 4096 == 0
    assert layout.slot_bytes == 192  # 128 header + 16 codes + 8 status, in whole 64s
    assert layout.segment_bytes == layout.slots_offset + 3 * 192
    assert bytes(ring.segment.buffer[:8]) == b"DTOPIPE\x03"
    assert words(ring, 8, 7) == (layout.segment_bytes, 3, 192, 2, 4, 2, 0)


def test_a_published_block_and_a_gap_lie_as_specified(ring: Ring) -> None:
    row = SubscriberTable(ring).open_at_head(Policy.DROP_OLDEST)
    writer = RingWriter(ring)
    anchor = Anchor(0, 1_000_000, 2_000_000)
    writer.begin_epoch(anchor)
    writer.record_gap(Gap(Span(0, 7), Cause.BOARD_OVERRUN, 2_000_000))
    codes = np.array([[1, 2, 3], [4, 5, -6]], np.int16)
    status = np.array([[0, 0, 1], [0, 0, 0]], np.int8)
    number = writer.lease()
    assert number == 0
    writer.publish(0, 7, codes, status, anchor, 1_500_000)
    assert words(ring, 8 * 8, 1) == (1,)  # rows
    assert words(ring, 16 * 8, 4) == (1, 1, 1, 1)  # head, epoch, stage, gaps
    assert words(ring, 896 + row * 640, 3) == (1, 1, 0)  # in use, drop_oldest, first generation
    assert words(ring, ring.layout.gaps_offset, 5) == (0, 7, 1, 2_000_000, 7)
    at = ring.layout.slots_offset
    assert words(ring, at, 10) == (1, 1, 7, 3, 1, 0, 1_000_000, 2_000_000, 1_500_000, 0)
    assert bytes(ring.segment.buffer[at + 128 : at + 140]) == codes.tobytes()
    assert bytes(ring.segment.buffer[at + 144 : at + 150]) == status.tobytes()
    # Of two sets, the one of this head: 2 channels x 5 numbers of 8 bytes behind the other.
    stats = struct.unpack_from("<10d", ring.segment.buffer, ring.layout.stats_offset + 80)
    assert stats == (1.0, -6.0, 2.0, 5.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # min, max, not ok, at rail, open
    assert ring.end() == (10, 7)


def test_a_reading_has_its_own_request_and_how_long_its_answer_took(ring: Ring) -> None:
    row = SubscriberTable(ring).open_at_head(Policy.BLOCK)
    writer = RingWriter(ring)
    writer.begin_epoch(Anchor(0, 1_000_000, 2_000_000))
    codes = np.array([[1], [2]], np.int16)
    for number in range(2):
        request = Anchor(number, 1_000_010 + number, 2_000_010 + number)
        writer.publish(number, number, codes, None, request, 1_500_000, latency_ns=300 + number)
    assert words(ring, ring.layout.slot_offset(1), 10) == (2, 1, 1, 1, 0, 1, 1_000_011, 2_000_011, 1_500_000, 301)
    taken = RingReader(ring, row).take(2)
    assert [(block.anchor.t_mono_ns, block.latency_ns) for block in taken] == [(1_000_010, 300), (1_000_011, 301)]
    del taken


def test_a_ring_that_does_not_fit_is_refused_with_what_to_do() -> None:
    name = new_name()
    with pytest.raises(RingError, match=r"(?s)no room for a ring.*make the ring smaller"):
        Segment.create(name, 2**46)
    assert name not in names()


def test_what_is_no_ring_is_not_attached_to() -> None:
    name = new_name()
    segment = Segment.create(name, 8192)
    try:
        with pytest.raises(RingError, match="not a ring of this version"):
            Ring.attach(name)
    finally:
        segment.close()
        unlink(name)
    with pytest.raises(RingError, match="could not be opened"):
        Ring.attach(name)
    assert len(new_name()) < 31  # with its slash, what macOS allows


def test_the_table_says_when_it_is_full(ring: Ring) -> None:
    table = SubscriberTable(ring)
    rows = [table.open_at_head(Policy.BLOCK) for _ in range(62)]
    assert rows == list(range(62))
    with pytest.raises(RingError, match="62 subscribers already"):
        table.open_at_head(Policy.BLOCK)
    table.close(5)
    assert table.open_at_head(Policy.DROP_NEWEST) == 5


def test_the_last_row_can_be_waited_for(ring: Ring) -> None:
    table = SubscriberTable(ring)
    for _ in range(62):
        row = table.open_at_head(Policy.BLOCK)
    writer = RingWriter(ring)
    writer.begin_epoch(Anchor(0, 1, 1))
    for number in range(3):
        writer.publish(number, number, np.zeros((2, 1), np.int16), None, Anchor(0, 1, 1), 0)
    stall = writer.lease()
    assert writer.waits(stall)  # type: ignore[arg-type]
    assert ring.status().waiting_for[-1] == row == 61


@pytest.mark.parametrize("n_channels", [1, 7, 63, 64, 65, 4096])
def test_what_a_ring_takes_is_known_before_there_is_one(n_channels: int) -> None:
    layout = Layout(5, n_channels, 10, "int16")
    assert bytes_before_slots(n_channels) + 5 * layout.slot_bytes == layout.segment_bytes
    assert 0 <= layout.slots_offset - (layout.stats_offset + 2 * 5 * n_channels * 8) < 4096


def test_timings_of_calls_lie_as_specified(ring: Ring) -> None:
    row = SubscriberTable(ring).open_at_head(Policy.BLOCK)
    calls = CallWords.of_row(ring, row)
    for call in (Call.READ, Call.APPEND, Call.READ, Call.APPEND, Call.COMMIT):
        calls.enter(call)
    timings = calls.timings()
    assert {call: timing.count for call, timing in timings.items()} == {Call.READ: 2, Call.APPEND: 2}
    appends = timings[Call.APPEND]
    assert 0 < appends.last_ns <= appends.max_ns <= appends.total_ns
    # 32 words into the row, four a call, of which append is number 3.
    assert words(ring, 896 + row * 640 + (32 + 3 * 4) * 8, 4) == (2, appends.total_ns, appends.last_ns, appends.max_ns)
    assert calls.read()[0] is Call.COMMIT
    assert CallWords.of_acquirer(ring).timings() == {}
