"""Two ends of the ring: one is interrupted by the other, or killed, before each of its accesses to shared memory."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from stepped_ring import ANCHOR, Feed, Killed, SteppedRing, assert_true, codes_at, ring_of

from dtopipe.core.ledger import Stall
from dtopipe.model.clock import Anchor
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.shm.layout import Stat
from dtopipe.shm.reader import RingReader
from dtopipe.shm.table import SubscriberTable

N_SLOTS = 4
PLENTY = 3 * N_SLOTS


def scenes(n_slots: int = N_SLOTS) -> Iterator[tuple[int, SteppedRing]]:
    """A fresh ring for every access that can be interrupted, until there is none that was not."""
    for step in itertools.count():
        with ring_of(n_slots) as ring:
            yield step, ring
            if not ring.steps.came:
                assert step > 0, "nothing was interrupted"
                return


def killed(step: int, ring: SteppedRing, what: Callable[..., Any], *arguments: Any) -> None:
    """Do something, and die over it before the access that follows `step` others."""

    def die() -> None:
        raise Killed

    with contextlib.suppress(Killed), ring.steps.interrupted(step, die):
        what(*arguments)


def several(*calls: tuple[Any, ...]) -> None:
    """One thing after the other."""
    for what, *arguments in calls:
        what(*arguments)


def assert_reads_all_and_then_holds_nothing(feed: Feed, reader: RingReader, first: int) -> None:
    """From number `first` on it gets everything, holds one turn of the ring, and then lets all of it go."""
    n_slots = feed.ring.layout.n_slots
    feed.publish(3 * n_slots)
    assert feed.writer.head == first + n_slots, "the acquirer is held exactly one turn of the ring ahead of the pin"
    blocks = reader.take(3 * n_slots)
    assert [block.block_index for block in blocks] == list(range(first, first + n_slots))
    for block in blocks:
        assert_true(block)
    reader.release()
    assert feed.publish(3 * n_slots) == n_slots


# In the larger ring the acquirer can make sure of a new turn while the joining reader still reads the head.
@pytest.mark.parametrize(("n_slots", "before", "meanwhile"), [(4, 0, 1), (4, 3, 1), (4, 3, 5), (8, 7, 2), (8, 6, 4)])
def test_a_reader_that_joins_while_blocks_are_published_is_never_overtaken(
    n_slots: int, before: int, meanwhile: int
) -> None:
    for step, ring in scenes(n_slots):
        feed, table = Feed(ring), SubscriberTable(ring)
        feed.publish(before)
        with ring.steps.interrupted(step, feed.publish, meanwhile):
            row = table.open_at_head(Policy.BLOCK)
        assert_reads_all_and_then_holds_nothing(feed, RingReader(ring, row), table.status(row).cursor)


@pytest.mark.parametrize("before", range(N_SLOTS + 1))
def test_an_acquirer_that_publishes_while_a_reader_joins_does_not_overtake_it(before: int) -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        feed.publish(before)
        with ring.steps.interrupted(step, table.open_at_head, Policy.BLOCK):
            feed.publish(N_SLOTS)
        row = ring.steps.answer if ring.steps.came else table.open_at_head(Policy.BLOCK)
        assert_reads_all_and_then_holds_nothing(feed, RingReader(ring, row), table.status(row).cursor)


@pytest.mark.parametrize("successor_before_predecessor", [True, False])
def test_a_pin_that_moves_to_its_successor_while_the_acquirer_looks_is_not_passed_over(
    successor_before_predecessor: bool,
) -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        other = table.open_at_head(Policy.DROP_OLDEST)
        dead = table.open_at_head(Policy.BLOCK)
        if successor_before_predecessor:
            table.close(other)
        feed.publish(N_SLOTS)
        assert isinstance(feed.writer.lease(), Stall)
        with ring.steps.interrupted(step, table.open_successor, dead):
            assert isinstance(feed.writer.lease(), Stall)
        row = ring.steps.answer if ring.steps.came else table.open_successor(dead)
        assert (row < dead) is successor_before_predecessor
        assert_reads_all_and_then_holds_nothing(feed, RingReader(ring, row), 0)


@pytest.mark.parametrize("last_words", ["a block", "the end"])
def test_a_reader_that_falls_asleep_over_a_publication_is_woken_or_stays_awake(last_words: str) -> None:
    def speak(feed: Feed) -> list[int]:
        if last_words == "a block":
            feed.publish()
        else:
            feed.writer.end()
        return list(feed.writer.rows_to_wake())

    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        row = table.open_at_head(Policy.BLOCK)
        reader = RingReader(ring, row)
        with ring.steps.interrupted(step, speak, feed):
            sleeps = reader.falls_asleep()
        if ring.steps.came:
            assert not sleeps or ring.steps.answer == [row]
        else:
            assert sleeps
            assert speak(feed) == [row]


def test_an_acquirer_that_publishes_over_a_reader_that_falls_asleep_wakes_it() -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        row = table.open_at_head(Policy.BLOCK)
        reader = RingReader(ring, row)
        with ring.steps.interrupted(step, reader.falls_asleep):
            feed.publish()
            woken = list(feed.writer.rows_to_wake())
        if ring.steps.answer:
            assert woken == [row]


def test_a_reader_in_a_row_that_was_used_before_is_woken_from_its_first_sleep() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, table = Feed(ring), SubscriberTable(ring)
        for _ in range(3):
            row = table.open_at_head(Policy.BLOCK)
            assert row == 0
            assert RingReader(ring, row).falls_asleep()
            feed.publish()
            assert list(feed.writer.rows_to_wake()) == [row]
            assert list(feed.writer.rows_to_wake()) == [], "one sleep is woken from once"
            table.close(row)


def test_an_acquirer_that_falls_asleep_over_a_release_is_woken_or_stays_awake() -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        reader = RingReader(ring, table.open_at_head(Policy.BLOCK))
        feed.publish(N_SLOTS)
        reader.take(N_SLOTS)
        stall = feed.writer.lease()
        assert stall == Stall((0,))
        with ring.steps.interrupted(step, reader.release):
            sleeps = feed.writer.waits(stall)
        if ring.steps.came:
            assert ring.steps.answer or not sleeps
        else:
            assert sleeps
            assert reader.release()


def test_of_two_readers_that_release_at_the_same_time_one_wakes_the_acquirer() -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        one, other = (RingReader(ring, table.open_at_head(Policy.BLOCK)) for _ in range(2))
        feed.publish(N_SLOTS)
        for reader in (one, other):
            reader.take(N_SLOTS)
        stall = feed.writer.lease()
        assert stall == Stall((0, 1))
        assert feed.writer.waits(stall)
        with ring.steps.interrupted(step, other.release):
            one_wakes = one.release()
        if ring.steps.came:
            assert one_wakes or ring.steps.answer
        else:
            assert not one_wakes, "the other still holds the slot"
            assert other.release()


@pytest.mark.parametrize("meanwhile", range(1, 2 * N_SLOTS + 1))
def test_a_drop_reader_that_is_overtaken_while_it_reads_returns_nothing_torn(meanwhile: int) -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        reader = RingReader(ring, table.open_at_head(Policy.DROP_OLDEST))
        feed.publish(N_SLOTS - 1)
        with ring.steps.interrupted(step, feed.publish, meanwhile):
            blocks = reader.take(PLENTY)
        blocks += reader.take(PLENTY)
        numbers = [block.block_index for block in blocks]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == feed.writer.head - 1
        for block in blocks:
            assert_true(block)


def test_blocks_published_by_an_acquirer_that_is_killed_are_whole_and_its_successor_goes_on_behind_them() -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        reader = RingReader(ring, table.open_at_head(Policy.BLOCK))
        killed(step, ring, several, (feed.publish,), (feed.lose, 5), (feed.publish,))
        successor = Feed(ring)
        end, overrun = ring.end()
        assert (end, overrun) in [(0, 0), (3, 0), (8, 5), (11, 5)], "what was said last is whole, or not there"
        successor.publish(PLENTY)
        blocks = reader.take(PLENTY)
        covered = sorted([block.span for block in blocks] + [gap.span for gap in ring.board_gaps()])
        assert covered[0].start == 0
        assert all(before.stop == after.start for before, after in itertools.pairwise(covered))
        assert covered[-1].stop == ring.end()[0]
        codes = np.concatenate([codes_at(block.first_sample_index, block.n_samples) for block in blocks], axis=1)
        assert np.array_equal(codes, np.concatenate([block.codes for block in blocks], axis=1))
        stats = ring.stats()
        assert np.array_equal(stats[Stat.MIN], codes.min(axis=1)), "killed acquirers change no statistics"
        assert np.array_equal(stats[Stat.MAX], codes.max(axis=1))
        assert np.array_equal(stats[Stat.AT_RAIL], np.count_nonzero(np.abs(codes + 0.5) == 32767.5, axis=1))


def test_who_asks_for_end_and_overruns_gets_them_from_one_instant() -> None:
    for step, ring in scenes():
        feed = Feed(ring)
        feed.publish(2)
        with ring.steps.interrupted(step, several, (feed.lose, 5), (feed.publish,), (feed.lose, 7)):
            assert ring.end() in [(6, 0), (11, 5), (14, 5), (21, 12)]


def test_statistics_are_those_of_one_head() -> None:
    for step, ring in scenes():
        feed = Feed(ring)
        feed.publish()
        with ring.steps.interrupted(step, feed.publish, 3):
            stats = ring.stats()
        # The first three samples reach from one rail up, the others continue.
        assert stats[Stat.MAX, 0] - stats[Stat.MIN, 0] + 1 in (3, 12)
        assert stats[Stat.AT_RAIL, 0] == 1


def test_a_clock_pair_is_whole_also_after_its_writer_was_killed_over_it() -> None:
    for step, ring in scenes():
        feed = Feed(ring)
        feed.writer.set_clock_pair(Anchor(1, 10, 100))
        killed(step, ring, feed.writer.set_clock_pair, Anchor(2, 20, 200))
        possible = [(1, Anchor(1, 10, 100)), (2, Anchor(2, 20, 200)), (0, Anchor(0, 0, 0))]
        assert ring.clock_pair() in possible
        successor = Feed(ring).writer
        assert ring.clock_pair() in possible
        successor.set_clock_pair(Anchor(3, 30, 300))
        assert ring.clock_pair()[1] == Anchor(3, 30, 300)


BEFORE = Position(start=10, committed=40, durable=20, samples=25, gap_samples=5, dropped=5)
AFTER = Position(start=10, committed=90, durable=50, samples=60, gap_samples=20, dropped=10)


def shown(table: SubscriberTable, row: int) -> Position:
    status = table.status(row)
    return Position(
        status.start, status.committed, status.durable, status.samples, status.gap_samples, status.dropped
    )  # fmt: skip


def test_a_worker_killed_over_its_report_has_said_all_of_it_or_nothing() -> None:
    for step, ring in scenes():
        table = SubscriberTable(ring)
        row = table.open_at_head(Policy.BLOCK)
        reader = RingReader(ring, row)
        reader.report(BEFORE)
        killed(step, ring, reader.report, AFTER)
        assert shown(table, row) in (BEFORE, AFTER)


def test_who_reads_a_report_while_others_are_made_gets_a_whole_one() -> None:
    for step, ring in scenes():
        table = SubscriberTable(ring)
        row = table.open_at_head(Policy.BLOCK)
        reader = RingReader(ring, row)
        reader.report(AFTER)
        reader.report(BEFORE)
        with ring.steps.interrupted(step, several, (reader.report, AFTER), (reader.report, AFTER)):
            assert shown(table, row) in (BEFORE, AFTER)


def test_an_end_that_comes_while_a_reader_looks_for_it_passes_over_no_block() -> None:
    for step, ring in scenes():
        feed, table = Feed(ring), SubscriberTable(ring)
        reader = RingReader(ring, table.open_at_head(Policy.DROP_OLDEST))
        with ring.steps.interrupted(step, several, (feed.publish,), (feed.writer.end,)):
            ended = reader.ended()
        assert not ended or not ring.steps.came
        assert len(reader.take(PLENTY)) == feed.writer.head
        feed.writer.end()
        assert reader.ended()


def test_anchors_are_kept_with_their_blocks() -> None:
    with ring_of(N_SLOTS) as ring:
        feed, table = Feed(ring), SubscriberTable(ring)
        reader = RingReader(ring, table.open_at_head(Policy.BLOCK))
        later = Anchor(3, 5, 7)
        for number, anchor in enumerate((ANCHOR, later, ANCHOR)):
            assert feed.writer.lease() == number
            feed.writer.publish(number, 3 * number, codes_at(3 * number, 3), None, anchor, 0)
        assert [block.anchor for block in reader.take(3)] == [ANCHOR, later, ANCHOR]
