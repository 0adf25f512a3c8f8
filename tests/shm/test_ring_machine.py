"""The ring under random joins, deaths, successors, stalls and wraps, against a model of what each reader must get."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dtopipe.core.gaps import explained
from dtopipe.core.ledger import Stall, should_commit_early
from dtopipe.model.clock import Anchor
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.shm.layout import Layout
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.table import SubscriberTable
from dtopipe.shm.writer import RingWriter

N_CHANNELS = 2
LONGEST = 5


@dataclass
class Subscriber:
    """One sink in the model: what it has, whoever reads for it at the moment."""

    policy: Policy
    row: int
    start: int
    reader: RingReader | None
    at: int
    committed: int
    held: list[Block] = field(default_factory=list)
    absent: list[Gap] = field(default_factory=list)
    samples: int = 0
    gave_up: bool = False


def codes_of(first: int, n: int) -> np.ndarray:
    """(N_CHANNELS, n) int16, a function of the sample index alone."""
    index = np.arange(first, first + n)
    return np.stack([index % 30_000, -(index % 30_000)]).astype(np.int16)


class RingMachine(RuleBasedStateMachine):
    """One writer, some readers, a real ring in shared memory; the model knows every sample and every loss."""

    @initialize(n_slots=st.integers(2, 6))
    def make(self, n_slots: int) -> None:
        self.name = new_name()
        self.ring = Ring.create(self.name, Layout(n_slots, N_CHANNELS, LONGEST, "int16"))
        self.writer = RingWriter(self.ring)
        self.table = SubscriberTable(self.ring)
        self.anchor = Anchor(0, 1_000, 2_000)
        self.writer.begin_epoch(self.anchor)
        self.n_slots = n_slots
        self.end = 0
        self.starts: list[int] = []
        self.lost: list[Gap] = []
        self.subscribers: list[Subscriber] = []

    def teardown(self) -> None:
        if hasattr(self, "ring"):
            try:
                self.drain()
            finally:
                self.ring.close()
                unlink(self.name)

    @rule(n=st.integers(1, LONGEST))
    def write(self, n: int) -> None:
        head = len(self.starts)
        pins = [s for s in self.subscribers if s.policy is Policy.BLOCK and not s.gave_up]
        free = all(head - self._released_number(s) < self.n_slots for s in pins)
        lease = self.writer.lease()
        # Neither a slot in use is given out, nor is a free one withheld.
        assert isinstance(lease, Stall) == (not free)
        if isinstance(lease, Stall):
            holders = {s.row for s in pins if head - self._released_number(s) >= self.n_slots}
            assert set(lease.waiting_for) == holders
            return
        assert lease == head
        self.writer.publish(lease, self.end, codes_of(self.end, n), None, self.anchor, 0)
        self.starts.append(self.end)
        self.end += n

    @rule(n=st.integers(1, 20))
    def lose(self, n: int) -> None:
        gap = Gap(Span(self.end, self.end + n), Cause.BOARD_OVERRUN, 2_000 + self.end)
        self.writer.record_gap(gap)
        self.lost.append(gap)
        self.end += n

    @precondition(lambda self: len(self.subscribers) < 6)
    @rule(policy=st.sampled_from([Policy.BLOCK, Policy.DROP_OLDEST]))
    def join(self, policy: Policy) -> None:
        row = self.table.open_at_head(policy)
        reader = RingReader(self.ring, row)
        self.subscribers.append(Subscriber(policy, row, self.end, reader, self.end, self.end))

    @precondition(lambda self: any(s.reader for s in self.subscribers))
    @rule(data=st.data(), most=st.integers(1, 10))
    def read(self, data: st.DataObject, most: int) -> None:
        subscriber = data.draw(st.sampled_from([s for s in self.subscribers if s.reader]))
        assert subscriber.reader is not None
        for block in subscriber.reader.take(most):
            self._account(subscriber, block)

    @precondition(lambda self: any(s.reader and s.held for s in self.subscribers))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        subscriber = data.draw(st.sampled_from([s for s in self.subscribers if s.reader and s.held]))
        self._commit(subscriber)

    @precondition(lambda self: any(s.reader for s in self.subscribers))
    @rule(data=st.data(), most=st.integers(0, 5))
    def die(self, data: st.DataObject, most: int) -> None:
        """What was taken and not committed is gone with the process; its row stays as it was."""
        subscriber = data.draw(st.sampled_from([s for s in self.subscribers if s.reader]))
        assert subscriber.reader is not None
        for block in subscriber.reader.take(most):
            self._account(subscriber, block)
        subscriber.reader = None
        subscriber.held = []
        subscriber.at = subscriber.committed
        subscriber.absent = [gap for gap in subscriber.absent if gap.span.stop <= subscriber.committed]

    @precondition(lambda self: any(not s.reader and not s.gave_up for s in self.subscribers))
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        dead = [s for s in self.subscribers if not s.reader and not s.gave_up]
        subscriber = data.draw(st.sampled_from(dead))
        subscriber.row = self.table.open_successor(subscriber.row)
        subscriber.reader = RingReader(self.ring, subscriber.row)

    @precondition(lambda self: any(not s.reader and not s.gave_up for s in self.subscribers))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        dead = [s for s in self.subscribers if not s.reader and not s.gave_up]
        subscriber = data.draw(st.sampled_from(dead))
        self.table.close(subscriber.row)
        subscriber.gave_up = True

    @rule(count=st.integers(2, 8), n=st.integers(1, LONGEST))
    def write_several(self, count: int, n: int) -> None:
        for _ in range(count):
            self.write(n)

    @rule(now=st.integers(-15, 15))
    def drain_now_and_then(self, now: int) -> None:
        """Not often: who always reads to the end is never overtaken, and never dies over what it holds."""
        if now == 15:
            self.drain()

    def drain(self) -> None:
        """Every living reader that goes on reading and committing gets to the end, and the writer is free again."""
        for subscriber in self.subscribers:
            blocks: list[Block] | None = None
            while subscriber.reader and blocks != []:
                blocks = subscriber.reader.take(100)
                for block in blocks:
                    self._account(subscriber, block)
                self._commit(subscriber)
        dead = [s for s in self.subscribers if s.policy is Policy.BLOCK and not s.reader and not s.gave_up]
        if not dead:
            assert not isinstance(self.writer.lease(), Stall)
        for subscriber in self.subscribers:
            if subscriber.reader:
                assert subscriber.samples + sum(map(len, subscriber.absent)) == subscriber.at - subscriber.start
                overran_behind = sum(len(g.span.intersection(Span(subscriber.at, self.end))) for g in self.lost)
                assert subscriber.at + overran_behind == self.end

    @invariant()
    def what_the_ring_says_is_true(self) -> None:
        if not hasattr(self, "ring"):
            return
        assert self.ring.end() == (self.end, sum(map(len, self.lost)))
        assert self.ring.board_gaps() == self.lost

    def _released_number(self, subscriber: Subscriber) -> int:
        return self.table.status(subscriber.row).released

    def _account(self, subscriber: Subscriber, block: Block) -> None:
        """As a worker does: what a predecessor committed is passed over, a hole is taken apart by cause."""
        assert self.starts[block.block_index] == block.first_sample_index
        expected = codes_of(block.first_sample_index, block.n_samples)
        assert np.array_equal(block.codes, expected)
        if block.span.stop <= subscriber.at:
            return
        if block.span.start > subscriber.at:
            hole = Span(subscriber.at, block.span.start)
            gaps = explained(hole, self.ring.board_gaps(), Cause.POLICY_DROP, lambda index: 2_000 + index)
            overruns = sum(len(gap.span.intersection(hole)) for gap in self.lost)
            dropped = sum(len(gap) for gap in gaps if gap.cause is Cause.POLICY_DROP)
            # An overtaken reader knows exactly what it missed; a pinning one misses only what the board lost.
            assert dropped == len(hole) - overruns
            assert subscriber.policy is not Policy.BLOCK or dropped == 0
            subscriber.absent += gaps
            subscriber.at = block.span.start
        part = block.trimmed(subscriber.at)
        subscriber.held.append(part)
        subscriber.at = part.span.stop

    def _commit(self, subscriber: Subscriber) -> None:
        """Pinned views must still hold what they held when they were taken."""
        assert subscriber.reader is not None
        for block in subscriber.held:
            assert np.array_equal(block.codes, codes_of(block.first_sample_index, block.n_samples))
            subscriber.samples += block.n_samples
        subscriber.held = []
        subscriber.committed = subscriber.at
        subscriber.reader.release()


RingMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestRingMachine = RingMachine.TestCase


def test_half_a_ring_held_or_being_waited_for_is_reason_to_commit_early() -> None:
    assert not should_commit_early(0, 4, waited_for=True)
    assert not should_commit_early(1, 4, waited_for=False)
    assert should_commit_early(2, 4, waited_for=False)
    assert should_commit_early(1, 4, waited_for=True)
