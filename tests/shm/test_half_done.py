"""An end of the ring that stands still half-way through something, while the other goes on."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from stepped_ring import ANCHOR, Feed, Killed, SteppedRing, assert_true, codes_at, ring_of

from dtopipe.core.ledger import Stall
from dtopipe.model.policy import Policy
from dtopipe.shm.layout import Stat
from dtopipe.shm.reader import RingReader
from dtopipe.shm.table import SubscriberTable

N_SLOTS = 4
PLENTY = 3 * N_SLOTS


class Steps:
    """Two ends of one ring: the first is interrupted at `outer`, and the second stands still from `inner` on."""

    def __init__(self, ring: SteppedRing, outer: int, inner: int) -> None:
        self._ring, self._outer, self._inner = ring, outer, inner
        self.inner_was_reached = False

    def stand_still(self, what: Any, *arguments: Any) -> None:
        """Half of it is done; its end may come or not, nobody can tell."""

        def die() -> None:
            raise Killed

        # The steps are those of whoever is at work: the interrupted one's count goes on afterwards.
        with contextlib.suppress(Killed), self._ring.steps.interrupted(self._inner, die):
            what(*arguments)
        self.inner_was_reached = self._ring.steps.came


def scenes() -> Iterator[tuple[SteppedRing, int, Steps]]:
    """Every pair of places, until neither end has one left."""
    for outer in itertools.count():
        for inner in itertools.count():
            with ring_of(N_SLOTS) as ring:
                steps = Steps(ring, outer, inner)
                ring.steps.came = False
                yield ring, outer, steps
            if not steps.inner_was_reached:
                break
        if inner == 0:
            assert outer > 0, "nobody was interrupted"
            return


@pytest.mark.parametrize("ahead", [0, 1, N_SLOTS - 1, N_SLOTS, 2 * N_SLOTS])
def test_a_drop_reader_takes_nothing_from_a_slot_that_is_half_written(ahead: int) -> None:
    for ring, outer, steps in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        reader = RingReader(ring, table.open_at_head(Policy.DROP_OLDEST))
        feed.publish(N_SLOTS - 1)

        def half_a_block(feed: Feed = feed, steps: Steps = steps) -> None:
            feed.publish(ahead)
            steps.stand_still(feed.publish)

        with ring.steps.interrupted(outer, half_a_block):
            blocks = reader.take(PLENTY)
        blocks += reader.take(PLENTY)
        numbers = [block.block_index for block in blocks]
        assert numbers == sorted(set(numbers))
        for block in blocks:
            assert_true(block)
        # It never stands still itself, although the writer does.
        assert reader.take(PLENTY) == []
        assert numbers[-1] == feed.writer.head - 1


def test_the_end_is_that_of_one_block_however_far_the_writer_goes_meanwhile() -> None:
    for meanwhile in range(1, 2 * N_SLOTS + 2):
        for step in range(12):
            with ring_of(N_SLOTS) as ring:
                feed = Feed(ring)
                feed.publish(2)
                ends = [feed.at]

                def publish_some(feed: Feed = feed, ends: list[int] = ends, count: int = meanwhile) -> None:
                    for number in range(count):
                        feed.publish(1, n_samples=1 + number % 2)
                        ends.append(feed.at)

                with ring.steps.interrupted(step, publish_some):
                    end, overrun = ring.end()
                assert end in ends
                assert overrun == 0


def test_the_reader_that_lets_exactly_one_slot_go_wakes_the_acquirer() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, table = Feed(ring), SubscriberTable(ring)
        reader = RingReader(ring, table.open_at_head(Policy.BLOCK))
        feed.publish(N_SLOTS)
        reader.take(1)
        assert not reader.release(), "nobody sleeps"
        feed.publish(1)
        stall = feed.writer.lease()
        assert isinstance(stall, Stall)
        assert feed.writer.waits(stall)
        reader.take(1)
        assert reader.waited_for()
        assert reader.release()
        assert feed.publish(2) == 1


def test_a_successor_begins_where_its_predecessor_had_committed() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, table = Feed(ring), SubscriberTable(ring)
        row = table.open_at_head(Policy.BLOCK)
        reader = RingReader(ring, row)
        feed.publish(3)
        reader.take(1)
        reader.release()
        reader.take(1)
        successor = RingReader(ring, table.open_successor(row))
        assert [block.block_index for block in successor.take(PLENTY)] == [1, 2]
        assert successor.held == 2


def test_statistics_are_not_those_of_a_head_that_was_left_behind() -> None:
    """The look at the set comes late: the writer is back at it."""
    with ring_of(N_SLOTS) as ring:
        feed = Feed(ring)
        feed.publish()
        sets = ring.stat_sets()

        class Late:
            """The sets, with two blocks published, the second half, after the first look."""

            looks = 0

            def __getitem__(self, which: int) -> Any:
                self.looks += 1
                if self.looks == 1:
                    feed.publish(3)
                return sets[which]

        ring.stat_sets = Late  # type: ignore[method-assign,assignment]
        stats = ring.stats()
        codes = codes_at(0, 4 * 3)
        assert stats[Stat.MAX].tolist() == codes.max(axis=1).tolist()


def test_a_block_that_is_half_published_is_published_whole_by_the_acquirers_successor() -> None:
    for step in itertools.count():
        with ring_of(N_SLOTS) as ring:
            feed, table = Feed(ring), SubscriberTable(ring)
            reader = RingReader(ring, table.open_at_head(Policy.BLOCK))
            steps = Steps(ring, 0, step)
            steps.stand_still(feed.publish)
            assert all(block.block_index < feed.writer.head for block in reader.take(PLENTY))
            successor = Feed(ring)
            # The successor's block is another one, as its board has gone on.
            lease = successor.writer.lease()
            assert isinstance(lease, int)
            successor.writer.publish(lease, 100, codes_at(100, 2), None, ANCHOR, 0)
            last = reader.take(PLENTY)[-1]
            assert (last.block_index, last.first_sample_index, last.n_samples) == (lease, 100, 2)
            assert_true(last)
            if not steps.inner_was_reached:
                assert step > 0
                return
