"""The real ring against a model: readers join, stall, die and are succeeded, acquirers are killed, slots wrap."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stepped_ring import Feed, Killed, SteppedRing, assert_true, make_ring

from dtopipe.core.gaps import explained
from dtopipe.core.ledger import Stall
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.shm.reader import RingReader
from dtopipe.shm.table import SubscriberTable

PLENTY = 100
MOST_READERS = 4


@dataclass
class Subscriber:
    """One row and all the workers that served it, as a sink sees them: `at` is how far it has accounted for."""

    row: int
    pins: bool
    reader: RingReader | None
    at: int
    first: int
    held: list[Block] = field(default_factory=list)
    got: list[int] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def pinned_from(self) -> int:
        """The lowest number that it has not committed."""
        return self.first + len(self.got)


class RingMachine(RuleBasedStateMachine):
    """`spans[s]` is what number `s` holds, `lost` what the board lost; the rest is the ring's own."""

    def __init__(self) -> None:
        super().__init__()
        self.ring: SteppedRing | None = None

    @initialize(n_slots=st.integers(2, 9))
    def make(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self.ring = make_ring(n_slots)
        self.table = SubscriberTable(self.ring)
        self.feed = Feed(self.ring)
        self.spans: list[Span] = []
        self.lost: list[Gap] = []
        self.subscribers: list[Subscriber] = []

    def teardown(self) -> None:
        """The run ends: everybody reads to the end mark, then nothing holds a slot."""
        if self.ring is None:
            return
        self.feed.writer.end()
        for subscriber in self.subscribers:
            if subscriber.reader is None:
                self.succeed(subscriber)
            while not self._reader(subscriber).ended():
                self.take(subscriber, PLENTY)
            self.release(subscriber)
            self._account(subscriber, self.ring.end()[0])
            self._check(subscriber)
        assert self.feed.publish(self.n_slots) == self.n_slots, "a slot leaked"
        # Views into the ring would keep its memory.
        self.subscribers.clear()
        self.ring.close()

    # the board and its acquirer

    @rule(most=st.integers(1, 12), n_samples=st.sampled_from([1, 2, 3]))
    def publish(self, most: int, n_samples: int) -> None:
        if self.do_publish(most, n_samples) < most:
            stall = self.feed.writer.lease()
            holders = [s.row for s in self.subscribers if s.pins and s.pinned_from + self.n_slots == len(self.spans)]
            assert isinstance(stall, Stall)
            assert sorted(stall.waiting_for) == sorted(holders), "it waits for those that hold the slot, and no others"

    @rule(n_samples=st.integers(1, 5))
    def lose(self, n_samples: int) -> None:
        self.lost.append(self.feed.lose(n_samples))

    @rule(step=st.integers(0, 40), most=st.integers(1, 3))
    def die_over_a_publication(self, step: int, most: int) -> None:
        """The acquirer is killed somewhere; what its successor finds is what readers will find."""
        assert self.ring
        before, published = self.feed.at, len(self.spans)

        def die() -> None:
            raise Killed

        with contextlib.suppress(Killed), self.ring.steps.interrupted(step, die):
            self.feed.publish(most)
        self.feed = Feed(self.ring)
        done = self.feed.writer.head - published
        length = self.ring.layout.samples_per_block
        self.spans += [Span(before + k * length, before + (k + 1) * length) for k in range(done)]
        assert self.feed.at == before + done * length

    # readers

    @precondition(lambda self: len(self.subscribers) < MOST_READERS)
    @rule(pins=st.booleans(), step=st.integers(0, 50), meanwhile=st.integers(0, 10))
    def join(self, pins: bool, step: int, meanwhile: int) -> None:
        assert self.ring
        with self.ring.steps.interrupted(step, self.do_publish, meanwhile, 2):
            row = self.table.open_at_head(Policy.BLOCK if pins else Policy.DROP_OLDEST)
        number = self.table.status(row).cursor
        at = self.spans[number - 1].stop if number else 0
        self.subscribers.append(Subscriber(row, pins, RingReader(self.ring, row), at, number))

    @precondition(lambda self: any(s.reader for s in self.subscribers))
    @rule(data=st.data(), most=st.integers(1, 9), step=st.integers(0, 30), meanwhile=st.integers(0, 12))
    def read(self, data: st.DataObject, most: int, step: int, meanwhile: int) -> None:
        """A reader that is paused anywhere while blocks go by, between its copy and its second look too."""
        assert self.ring
        subscriber = data.draw(st.sampled_from([s for s in self.subscribers if s.reader]))
        with self.ring.steps.interrupted(step, self.publish, meanwhile, 3):
            blocks = self._reader(subscriber).take(most)
        self._keep(subscriber, blocks)

    @precondition(lambda self: any(s.held for s in self.subscribers))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self.release(data.draw(st.sampled_from([s for s in self.subscribers if s.held])))

    @precondition(lambda self: any(s.reader for s in self.subscribers))
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """What was taken and not committed is not in the output."""
        subscriber = data.draw(st.sampled_from([s for s in self.subscribers if s.reader]))
        subscriber.reader = None
        subscriber.held.clear()

    @precondition(lambda self: any(s.reader is None for s in self.subscribers))
    @rule(data=st.data(), step=st.integers(0, 80))
    def be_succeeded(self, data: st.DataObject, step: int) -> None:
        """While the acquirer looks who holds what."""
        assert self.ring
        subscriber = data.draw(st.sampled_from([s for s in self.subscribers if s.reader is None]))
        with self.ring.steps.interrupted(step, self.succeed, subscriber):
            self.publish(self.n_slots, 3)
        if not self.ring.steps.came:
            self.succeed(subscriber)

    @precondition(lambda self: bool(self.subscribers))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        subscriber = data.draw(st.sampled_from(self.subscribers))
        self.subscribers.remove(subscriber)
        self.table.close(subscriber.row)

    # what must hold

    @invariant()
    def what_is_pinned_stands(self) -> None:
        for subscriber in self.subscribers if self.ring else ():
            for block in subscriber.held:
                assert_true(block)

    @invariant()
    def the_end_is_known(self) -> None:
        if self.ring:
            assert self.ring.end() == (self.feed.at, sum(len(gap) for gap in self.lost))
            assert self.ring.board_gaps() == self.lost
            assert self.ring.board_gaps_beyond(self.feed.at // 2) == [
                gap for gap in self.lost if gap.span.stop > self.feed.at // 2
            ]

    # how it is done

    def do_publish(self, most: int, n_samples: int) -> int:
        before = self.feed.at
        done = self.feed.publish(most, n_samples)
        self.spans += [Span(before + k * n_samples, before + (k + 1) * n_samples) for k in range(done)]
        assert self.feed.writer.head == len(self.spans)
        held_from = min((s.pinned_from for s in self.subscribers if s.pins), default=len(self.spans))
        assert len(self.spans) <= held_from + self.n_slots
        return done

    def take(self, subscriber: Subscriber, most: int) -> None:
        self._keep(subscriber, self._reader(subscriber).take(most))

    def release(self, subscriber: Subscriber) -> None:
        if subscriber.pins:
            subscriber.got += [block.block_index for block in subscriber.held]
            for block in subscriber.held:
                self._account(subscriber, block.first_sample_index)
                subscriber.at = block.span.stop
        subscriber.held.clear()
        self._reader(subscriber).release()

    def succeed(self, subscriber: Subscriber) -> None:
        assert self.ring
        subscriber.row = self.table.open_successor(subscriber.row)
        subscriber.reader = RingReader(self.ring, subscriber.row)

    def _reader(self, subscriber: Subscriber) -> RingReader:
        assert subscriber.reader
        return subscriber.reader

    def _keep(self, subscriber: Subscriber, blocks: list[Block]) -> None:
        """Blocks under BLOCK wait for a commit; copies under DROP are in the output at once."""
        for block in blocks:
            assert_true(block)
            assert block.span == self.spans[block.block_index]
            if subscriber.pins:
                subscriber.held.append(block)
            elif block.first_sample_index >= subscriber.at:
                self._account(subscriber, block.first_sample_index)
                subscriber.got.append(block.block_index)
                subscriber.at = block.span.stop
        if subscriber.pins:
            numbers = [block.block_index for block in subscriber.held]
            assert numbers == list(range(subscriber.pinned_from, subscriber.pinned_from + len(numbers)))

    def _account(self, subscriber: Subscriber, until: int) -> None:
        assert self.ring
        absent = Span(subscriber.at, until)
        board_gaps = self.ring.board_gaps_beyond(subscriber.at)
        subscriber.gaps += explained(absent, board_gaps, Cause.POLICY_DROP, lambda index: 0)

    def _check(self, subscriber: Subscriber) -> None:
        """It has everything, or knows of every sample that it has not whose fault that is."""
        missed = sorted(set(range(subscriber.first, len(self.spans))) - set(subscriber.got))
        if subscriber.pins:
            assert not missed
            assert subscriber.got == list(range(subscriber.first, len(self.spans)))
        first_index = self.spans[subscriber.first - 1].stop if subscriber.first else 0
        cause_of = np.full(self.feed.at, "", dtype=object)
        for number in missed:
            cause_of[self.spans[number].start : self.spans[number].stop] = Cause.POLICY_DROP
        for gap in self.lost:
            cause_of[gap.span.start : gap.span.stop] = Cause.BOARD_OVERRUN
        cause_of[:first_index] = ""
        said = np.full(self.feed.at, "", dtype=object)
        for gap in subscriber.gaps:
            assert not said[gap.span.start : gap.span.stop].any(), "a gap is told once"
            said[gap.span.start : gap.span.stop] = gap.cause
        assert list(said) == list(cause_of)


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
