"""The ring's rules against a model that remembers what every slot holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from dtopipe.core.ledger import (
    Go,
    Overtaken,
    Pin,
    Stall,
    Take,
    Wait,
    may_publish,
    next_pinned_read,
    next_read,
    resume_after_overtaking,
    should_commit_early,
)

WRITING = -1


@dataclass
class Reader:
    """One output, across all the processes that serve it."""

    pins: bool
    row: int
    start: int
    cursor: int
    released: int
    alive: bool = True
    gone: bool = False
    taken: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    copied: int | None = None


class LedgerMachine(RuleBasedStateMachine):
    """A writer that keeps its last permission, as the real one does, and readers that come, stall, die and go."""

    readers = Bundle("readers")

    @initialize(n_slots=st.integers(2, 6))
    def a_ring(self, n_slots: int) -> None:
        self.n_slots = n_slots
        self.slots: list[int | None] = [None] * n_slots
        self.head = 0
        self.free = 0
        self.writing = False
        self.rows = 0
        self.everybody: list[Reader] = []

    def pins(self) -> list[Pin]:
        return [Pin(reader.row, reader.released) for reader in self.everybody if reader.pins and not reader.gone]

    def new_row(self) -> int:
        self.rows += 1
        return self.rows - 1

    @rule(target=readers, pins=st.booleans())
    def join(self, pins: bool) -> Reader:
        reader = Reader(pins, self.new_row(), self.head, self.head, self.head)
        self.everybody.append(reader)
        return reader

    @precondition(lambda self: not self.writing)
    @rule()
    def begin_to_write(self) -> None:
        holders = {pin.row for pin in self.pins() if pin.released <= self.head - self.n_slots}
        if not self.free:
            answer = may_publish(self.head, self.n_slots, self.pins())
            if isinstance(answer, Stall):
                assert set(answer.waiting_for) == holders
                return
            assert isinstance(answer, Go)
            self.free = answer.slots
        assert not holders, "a slot was leased that a BLOCK reader holds"
        self.writing = True
        self.slots[self.head % self.n_slots] = WRITING

    @precondition(lambda self: self.writing)
    @rule()
    def publish(self) -> None:
        self.slots[self.head % self.n_slots] = self.head
        self.head += 1
        self.free -= 1
        self.writing = False

    @rule()
    def the_writer_dies(self) -> None:
        """Its successor knows the head and nothing else."""
        self.free = 0
        self.writing = False

    @rule(reader=readers, most=st.integers(1, 8))
    def take_pinned(self, reader: Reader, most: int) -> None:
        if not reader.pins or not reader.alive:
            return
        step = next_pinned_read(reader.cursor, self.head)
        if isinstance(step, Wait):
            assert reader.cursor == self.head
            return
        for number in range(step.first, min(step.stop, step.first + most)):
            assert self.slots[number % self.n_slots] == number
            reader.taken.append(number)
            reader.cursor += 1

    @rule(reader=readers)
    def begin_to_copy(self, reader: Reader) -> None:
        """The first look at the slot's number and the copy; the second look comes whenever it comes."""
        if reader.pins or not reader.alive or reader.copied is not None:
            return
        step = next_read(reader.cursor, self.head, self.n_slots)
        if isinstance(step, Overtaken):
            assert reader.cursor <= self.head - self.n_slots
            assert self.head - self.n_slots < step.resume <= self.head
            reader.missed += range(reader.cursor, step.resume)
            reader.cursor = step.resume
            step = Take(step.resume, self.head)
        if isinstance(step, Take):
            assert self.slots[step.first % self.n_slots] == step.first
            reader.copied = step.first

    @rule(reader=readers)
    def look_again(self, reader: Reader) -> None:
        number, reader.copied = reader.copied, None
        if number is None:
            return
        if self.slots[number % self.n_slots] == number:
            reader.taken.append(number)
            reader.cursor = number + 1
        else:
            # What is no longer there must be seen as overtaken, or the reader would look for it for ever.
            assert isinstance(next_read(reader.cursor, self.head, self.n_slots), Overtaken)

    @rule(reader=readers)
    def commit(self, reader: Reader) -> None:
        if reader.alive:
            reader.released = reader.cursor

    @rule(reader=readers)
    def die(self, reader: Reader) -> None:
        reader.alive = False
        reader.copied = None

    @rule(reader=readers)
    def succeed(self, reader: Reader) -> None:
        """What was taken and not committed is taken once more."""
        if reader.alive or reader.gone:
            return
        reader.row = self.new_row()
        reader.cursor = reader.released
        reader.taken = [number for number in reader.taken if number < reader.released]
        reader.missed = [number for number in reader.missed if number < reader.released]
        reader.alive = True

    @rule(reader=readers)
    def give_up(self, reader: Reader) -> None:
        if not reader.alive:
            reader.gone = True

    @rule()
    def everybody_commits(self) -> None:
        """The acquirer is held by nobody once everybody has read everything, or is gone."""
        for reader in self.everybody:
            if reader.pins and not reader.alive:
                self.give_up(reader)
            elif reader.pins:
                self.take_pinned(reader, 1_000_000)
                self.commit(reader)
        assert may_publish(self.head, self.n_slots, self.pins()) == Go(self.n_slots)

    @invariant()
    def what_a_block_reader_holds_is_there(self) -> None:
        for reader in self.everybody:
            if reader.pins and not reader.gone:
                for number in range(reader.released, self.head):
                    assert self.slots[number % self.n_slots] == number

    @invariant()
    def every_number_is_taken_once_and_in_order_or_known_to_be_missed(self) -> None:
        for reader in self.everybody:
            assert reader.taken == sorted(reader.taken)
            if reader.pins:
                assert not reader.missed
            if reader.alive:
                assert sorted(reader.taken + reader.missed) == list(range(reader.start, reader.cursor))

    @invariant()
    def no_slot_is_kept_that_nobody_holds(self) -> None:
        answer = may_publish(self.head, self.n_slots, self.pins())
        if isinstance(answer, Go):
            first_not_granted = self.head + answer.slots - self.n_slots
            held = [pin for pin in self.pins() if pin.released <= first_not_granted]
            assert answer.slots == self.n_slots or held
        else:
            assert all(pin.released <= self.head - self.n_slots for pin in self.pins() if pin.row in answer.waiting_for)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_a_drop_reader_never_stalls_the_acquirer() -> None:
    assert may_publish(1_000, 4, []) == Go(4)


def test_an_overtaken_reader_goes_on_half_a_ring_behind_the_head() -> None:
    assert next_read(3, 100, 8) == Overtaken(96)
    assert resume_after_overtaking(1, 8) == 0


def test_a_reader_commits_early_when_it_holds_half_the_ring_or_is_waited_for() -> None:
    assert should_commit_early(4, 8, waited_for=False)
    assert not should_commit_early(3, 8, waited_for=False)
    assert should_commit_early(1, 8, waited_for=True)
    assert not should_commit_early(0, 8, waited_for=True)
