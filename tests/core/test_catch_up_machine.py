"""A reader that a journal covers, against a model of ring, journal and disk: it passes over only what nobody has."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dtopipe.core.catch_up import Awaited, CatchUp, Lack, PassOver, ReadJournal, Seen, TakeFromRing, WaitFor
from dtopipe.core.ledger import Pin, Stall, may_publish
from dtopipe.model.span import Cause

MS, S = 1_000_000, 1_000_000_000
WRITING = -1


class CatchUpMachine(RuleBasedStateMachine):
    """A ring with the journal's pin; a journal that dies, comes back, is given up, loses its file or parts of it."""

    @initialize(n_slots=st.integers(2, 6), pins_afterwards=st.booleans())
    def a_run(self, n_slots: int, pins_afterwards: bool) -> None:
        self.n_slots = n_slots
        self.slots: list[int | None] = [None] * n_slots
        self.head = 0
        # The journal: what its file holds, its pin, and whether there is a process, or will be one.
        self.file: set[int] = set()
        self.damaged: set[int] = set()
        self.journal_end = 0
        self.is_running = self.lives = True
        self.is_away = self.is_deleted = self.was_torn = False
        # A sink that was covered holds what it lacks once the journal is given up; the gateway's reader does not.
        self.pins_afterwards = pins_afterwards
        self.released = 0
        self.now_ns = S
        self.reader = CatchUp(0)
        self.taken: list[int] = []
        self.passed: list[int] = []

    def pins(self) -> list[Pin]:
        if self.lives:
            return [Pin(0, self.journal_end)]
        return [Pin(1, max(self.released, self.journal_end))] if self.pins_afterwards else []

    def seen(self) -> Seen:
        oldest = max(0, self.head - self.n_slots)
        if oldest < self.head and self.slots[oldest % self.n_slots] != oldest:
            oldest += 1
        return Seen(self.head, oldest, self.n_slots, self.journal_end, self.lives)

    @rule(most=st.integers(1, 8))
    def publish(self, most: int) -> None:
        for _ in range(most):
            if isinstance(may_publish(self.head, self.n_slots, self.pins()), Stall):
                return
            self.slots[self.head % self.n_slots] = self.head
            self.head += 1

    @rule()
    def begin_to_write(self) -> None:
        """The next slot is in the writer's hands."""
        if not isinstance(may_publish(self.head, self.n_slots, self.pins()), Stall):
            self.slots[self.head % self.n_slots] = WRITING

    @precondition(lambda self: self.is_running and not self.is_away and not self.is_deleted)
    @rule(most=st.integers(1, 8))
    def the_journal_commits(self, most: int) -> None:
        stop = min(self.head, self.journal_end + most)
        for number in range(self.journal_end, stop):
            assert self.slots[number % self.n_slots] == number, "the journal's pin was broken"
            self.file.add(number)
        self.journal_end = stop

    @rule()
    def the_journal_dies(self) -> None:
        self.is_running = False

    @precondition(lambda self: self.lives)
    @rule()
    def its_successor_comes(self) -> None:
        self.is_running = True

    @precondition(lambda self: not self.is_running)
    @rule()
    def it_is_given_up(self) -> None:
        self.lives = False

    @rule(away=st.booleans())
    def its_disk_goes_or_comes_back(self, away: bool) -> None:
        self.is_away = away

    @rule()
    def its_file_is_deleted(self) -> None:
        self.is_deleted = True

    @rule(part=st.tuples(st.integers(0, 200), st.integers(1, 12)))
    def a_segment_is_damaged(self, part: tuple[int, int]) -> None:
        self.damaged |= {number for number in self.file if part[0] <= number < sum(part)}

    @rule(elapsed_ns=st.sampled_from((10 * MS, S, 4 * S, 60 * S)))
    def time_passes(self, elapsed_ns: int) -> None:
        """Nobody looks meanwhile."""
        self.now_ns += elapsed_ns

    @rule(most=st.integers(1, 8), raced=st.integers(0, 3), torn=st.booleans())
    def the_reader_takes(self, most: int, raced: int, torn: bool) -> None:
        """One turn; `raced` blocks are published before it copies; `torn`: the commit record is just being written."""
        self.now_ns += 10 * MS
        torn, self.was_torn = torn and not self.was_torn, torn and not self.was_torn
        before = self.reader.number
        step = self.reader.next(self.seen())
        assert not isinstance(step, WaitFor) or before == self.head
        answer = self.ask_journal(most, torn) if isinstance(step, ReadJournal) else step
        if isinstance(answer, list):
            self.taken += answer
            self.reader.took(answer[-1] + 1)
        elif isinstance(answer, PassOver):
            self.may_be_passed_over(answer)
            assert self.reader.number == answer.stop > answer.start == before
            self.passed += range(answer.start, answer.stop)
        elif isinstance(answer, TakeFromRing):
            self.publish(raced)
            self.take_from_ring(answer.number, most)
        elif isinstance(answer, WaitFor):
            assert self.reader.number == before
            self.is_waited_for_rightly(answer.whom)

    def ask_journal(self, most: int, torn: bool) -> list[int] | TakeFromRing | WaitFor | PassOver:
        at = self.reader.number
        if self.is_away:
            return self.reader.lacks(Lack.AWAY, self.seen(), self.now_ns)
        if self.is_deleted:
            return self.reader.lacks(Lack.DELETED, self.seen(), self.now_ns)
        found = sorted(number for number in self.file - self.damaged if number >= at)[:most]
        if torn or not found:
            return self.reader.lacks(Lack.NOTHING, self.seen(), self.now_ns)
        step = self.reader.gave(found[0], self.seen())
        holes = (n for n in range(1, len(found)) if found[n] != found[n - 1] + 1)
        return found[: next(holes, None)] if step is None else step

    def take_from_ring(self, number: int, most: int) -> None:
        copied: list[int] = []
        while number + len(copied) < self.head and len(copied) < most:
            if self.slots[(number + len(copied)) % self.n_slots] != number + len(copied):
                break
            copied.append(number + len(copied))
        if copied:
            self.taken += copied
            self.reader.took(copied[-1] + 1)

    def may_be_passed_over(self, step: PassOver) -> None:
        for number in range(step.start, step.stop):
            assert self.slots[number % self.n_slots] != number, "the ring held it"
            assert self.is_deleted or number not in self.file - self.damaged, "the journal had it"
            assert not self.lives or number < self.journal_end, "the journal would still have taken it"
        expected = Cause.WRITE_ERROR if step.start < self.journal_end else Cause.WORKER_FAILED
        assert step.cause in (expected, None)

    def is_waited_for_rightly(self, whom: Awaited) -> None:
        number = self.reader.number
        if whom is Awaited.BOARD:
            assert number == self.head
        elif whom is Awaited.JOURNAL_DISK:
            assert self.is_away
        assert whom is Awaited.BOARD or self.slots[number % self.n_slots] != number, "the ring held it"

    @rule()
    def the_reader_commits(self) -> None:
        self.released = self.reader.number

    @rule()
    def the_reader_is_killed(self) -> None:
        """Its successor goes on behind the last commit."""
        self.reader = CatchUp(self.released)
        self.taken = [number for number in self.taken if number < self.released]
        self.passed = [number for number in self.passed if number < self.released]

    @rule()
    def the_disk_is_there_and_the_reader_gets_to_the_head(self) -> None:
        """Whatever was lost: nobody waits for ever."""
        self.is_away = False
        for _ in range(40 + 2 * self.head):
            if self.reader.number == self.head:
                return
            self.now_ns += S
            self.the_reader_takes(8, 0, False)
        raise AssertionError(f"it stands at {self.reader.number} of {self.head}")

    @invariant()
    def every_number_is_taken_once_or_passed_over(self) -> None:
        assert self.taken == sorted(set(self.taken))
        assert sorted(self.taken + self.passed) == list(range(self.reader.number))


TestCatchUp = CatchUpMachine.TestCase
TestCatchUp.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


def test_the_block_at_the_journals_pin_is_in_the_ring_however_full_it_is() -> None:
    reader = CatchUp(270)
    assert reader.next(Seen(head=330, oldest=270, n_slots=60, journal_end=270, journal_lives=True)) == TakeFromRing(270)


def test_a_journal_whose_disk_is_away_is_waited_for_as_long_as_it_takes() -> None:
    reader, seen = CatchUp(3), Seen(head=20, oldest=14, n_slots=6, journal_end=14, journal_lives=True)
    for second in range(1000):
        assert reader.next(seen) == ReadJournal(3)
        assert reader.lacks(Lack.AWAY, seen, second * S) == WaitFor(Awaited.JOURNAL_DISK)


def test_a_deleted_file_is_waited_for_once_and_costs_what_the_ring_does_not_hold() -> None:
    reader, seen = CatchUp(3), Seen(head=20, oldest=14, n_slots=6, journal_end=16, journal_lives=True)
    answers = [reader.lacks(Lack.DELETED, seen, second * S) for second in range(6)]
    assert answers == [WaitFor(Awaited.JOURNAL)] * 5 + [PassOver(3, 14, Cause.WRITE_ERROR)]
    later = Seen(head=40, oldest=34, n_slots=6, journal_end=36, journal_lives=True)
    assert reader.lacks(Lack.DELETED, later, 10 * S) == PassOver(14, 34, Cause.WRITE_ERROR)


def test_a_sleeping_machine_uses_up_no_patience() -> None:
    reader, seen = CatchUp(3), Seen(head=20, oldest=14, n_slots=6, journal_end=16, journal_lives=True)
    reader.lacks(Lack.NOTHING, seen, 0)
    assert reader.lacks(Lack.NOTHING, seen, 3600 * S) == WaitFor(Awaited.JOURNAL)
