"""What writer, reader and table promise, one thing at a time."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from stepped_ring import ANCHOR, Feed, Killed, SteppedRing, assert_true, codes_at, ring_of

from dtopipe.core.ledger import Stall
from dtopipe.model.errors import RingError
from dtopipe.model.policy import Policy
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable
from dtopipe.shm.writer import RingWriter

N_SLOTS = 6
PLENTY = 100


def reader_of(ring: Ring, policy: Policy) -> RingReader:
    return RingReader(ring, SubscriberTable(ring).open_at_head(policy))


def publish(ring: Ring, codes: object, sensor_status: object = None) -> None:
    """One block of given codes."""
    writer = RingWriter(ring)
    lease = writer.lease()
    assert not isinstance(lease, Stall)
    status = None if sensor_status is None else np.array(sensor_status, np.int8)
    writer.publish(lease, ring.end()[0], np.array(codes, ring.layout.dtype), status, ANCHOR, 0)


def test_a_drop_reader_that_was_overtaken_goes_on_half_a_ring_behind_the_head() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, reader = Feed(ring), reader_of(ring, Policy.DROP_OLDEST)
        feed.publish(N_SLOTS - 1)
        assert [block.block_index for block in reader.take(1)] == [0]
        feed.publish(N_SLOTS)
        assert [block.block_index for block in reader.take(PLENTY)] == [8, 9, 10]


def test_drop_readers_never_hold_the_acquirer() -> None:
    with ring_of(N_SLOTS) as ring:
        feed = Feed(ring)
        readers = [reader_of(ring, policy) for policy in (Policy.DROP_OLDEST, Policy.DROP_NEWEST)]
        assert feed.publish(PLENTY) == PLENTY
        assert not any(reader.waited_for() for reader in readers)


def test_a_dead_block_reader_holds_until_its_row_is_closed() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, table = Feed(ring), SubscriberTable(ring)
        rows = [table.open_at_head(Policy.BLOCK) for _ in range(2)]
        assert feed.publish(PLENTY) == N_SLOTS
        assert feed.writer.lease() == Stall(tuple(rows))
        table.close(rows[0])
        assert feed.writer.lease() == Stall((rows[1],))
        table.close(rows[1])
        assert feed.publish(PLENTY) == PLENTY


def test_the_acquirer_says_for_whom_it_waits_and_since_when() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, slow, quick = Feed(ring), reader_of(ring, Policy.BLOCK), reader_of(ring, Policy.BLOCK)
        feed.publish(N_SLOTS)
        quick.take(PLENTY)
        quick.release()
        stall = feed.writer.lease()
        assert isinstance(stall, Stall)
        assert feed.writer.waits(stall)
        status = ring.status()
        assert (status.waiting_for, status.waiting_since_ns > 0) == ((0,), True)
        assert (slow.waited_for(), quick.waited_for()) == (True, False)
        slow.take(PLENTY)
        assert slow.release(), "who held the slot last wakes the acquirer"
        feed.writer.woke()
        feed.writer.waited()
        assert not slow.release(), "an acquirer that is awake is not woken"
        status = ring.status()
        assert (status.waiting_for, status.waiting_since_ns, status.waited_ns > 0) == ((), 0, True)
        assert not slow.waited_for()


def test_views_under_block_are_read_only_and_copies_under_drop_are_ones_own() -> None:
    with ring_of(N_SLOTS) as ring:
        readers = [reader_of(ring, policy) for policy in (Policy.BLOCK, Policy.DROP_OLDEST)]
        publish(ring, codes_at(0, 3), np.zeros((2, 3)))
        [view], [copy] = (reader.take(1) for reader in readers)
        for array in (view.codes, view.sensor_status):
            assert array is not None
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 1
        copy.codes[0, 0] += 1
        assert_true(view)


@pytest.mark.parametrize("policy", [Policy.BLOCK, Policy.DROP_OLDEST])
def test_short_blocks_and_sensor_status_arrive_as_they_were_published(policy: Policy) -> None:
    with ring_of(N_SLOTS) as ring:
        reader = reader_of(ring, policy)
        publish(ring, codes_at(0, 3), [[0, 1, 0], [2, 0, 3]])
        publish(ring, codes_at(3, 1))
        publish(ring, codes_at(4, 2), [[1, 0], [0, 1]])
        blocks = reader.take(PLENTY)
        assert [block.first_sample_index for block in blocks] == [0, 3, 4]
        for block in blocks:
            assert_true(block)
        statuses = [None if block.sensor_status is None else block.sensor_status.tolist() for block in blocks]
        assert statuses == [[[0, 1, 0], [2, 0, 3]], None, [[1, 0], [0, 1]]]


def test_the_end_mark_is_seen_once_everything_was_taken() -> None:
    with ring_of(N_SLOTS) as ring:
        feed = Feed(ring)
        readers = [reader_of(ring, policy) for policy in Policy]
        feed.publish(N_SLOTS)
        feed.writer.end()
        for reader in readers:
            assert not reader.ended()
            reader.take(PLENTY)
            assert reader.ended()
            assert not reader.falls_asleep(), "nobody sleeps over the end"


def test_a_drop_reader_comes_to_the_end_though_the_acquirer_died_over_the_slot_that_it_was_to_read() -> None:
    for step in range(60):
        with ring_of(N_SLOTS) as ring:
            feed, reader = Feed(ring), reader_of(ring, Policy.DROP_OLDEST)
            feed.publish(N_SLOTS)
            publish_until(feed, step)
            Feed(ring).writer.end()
            for _ in range(3):
                for block in reader.take(PLENTY):
                    assert_true(block)
            assert reader.ended()


def publish_until(feed: Feed, step: int) -> None:
    """What the acquirer does of two publications before the access that follows `step` others."""

    def die() -> None:
        raise Killed

    assert isinstance(feed.ring, SteppedRing)
    with contextlib.suppress(Killed), feed.ring.steps.interrupted(step, die):
        feed.publish(2)


def test_a_block_that_is_overwritten_under_a_pin_is_an_error_and_not_a_hang() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, table = Feed(ring), SubscriberTable(ring)
        row = table.open_at_head(Policy.BLOCK)
        reader = RingReader(ring, row)
        table.close(row)
        feed.publish(N_SLOTS + 1)
        with pytest.raises(RingError, match=f"block 0 was overwritten.*: {N_SLOTS} is there"):
            reader.take(1)
