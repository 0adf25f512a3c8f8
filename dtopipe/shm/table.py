"""The table of subscribers: a row a reader, opened and closed by the supervisor, its cursors moved by the worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dtopipe.core.ledger import Pin
from dtopipe.model.errors import RingError
from dtopipe.model.policy import Policy
from dtopipe.shm.fence import fence
from dtopipe.shm.layout import MAX_ROWS, POSITION_WORDS, ROW_WORDS, WORD, Head, Row, RowState
from dtopipe.shm.ring import Ring

_POLICIES = (Policy.BLOCK, Policy.DROP_OLDEST, Policy.DROP_NEWEST)
_IN_USE = int(RowState.IN_USE)
_BLOCK = _POLICIES.index(Policy.BLOCK)


@dataclass(frozen=True, slots=True)
class RowStatus:
    """A snapshot of one subscriber's words; counts are samples per channel, those of one report."""

    policy: Policy
    cursor: int
    released: int
    heartbeat_ns: int
    start: int
    committed: int
    durable: int
    samples: int
    gap_samples: int
    dropped: int
    retained_from: int
    blocks: int


class SubscriberTable:
    """All rows of one ring."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._first = ring.layout.rows_offset // WORD

    def at(self, row: int) -> int:
        """Index of the row's first word."""
        return self._first + row * ROW_WORDS

    def open_at_head(self, policy: Policy, *, covered: bool = False) -> int:
        """A new row that reads from the head on. Raises RingError if the table is full.

        `covered`: a BLOCK reader that the journal covers, so that it holds nothing that the journal has.
        """
        words = self._ring.words
        row = self._free_row()
        self._fill(row, policy, words[Head.HEAD], generation=0, covered=covered)
        fence()
        # The acquirer may have made sure of a whole turn of slots before it could see this pin, at a head up to the
        # one that is read now: numbers from here on are safe under that turn and under every later one.
        at, head = self.at(row), words[Head.HEAD]
        words[at + Row.CURSOR] = words[at + Row.RELEASED] = head
        return row

    def open_behind(self, policy: Policy, number: int, *, covered: bool = False) -> int:
        """A new row that reads from `number` on, as far as that is still to be had; it holds what comes from now on.

        What lies before is read as one that may be overtaken reads it; a covered reader finds it in the journal.
        Raises RingError if the table is full.
        """
        words = self._ring.words
        row = self.open_at_head(policy, covered=covered)
        at = self.at(row)
        words[at + Row.CURSOR] = min(number, words[at + Row.CURSOR])
        if covered and words[Head.JOURNAL_ROW]:
            # The journal holds what this reader lacks; after the journal's end it is held from that end on.
            words[at + Row.RELEASED] = words[at + Row.CURSOR]
        return row

    def open_successor(self, predecessor: int) -> int:
        """A new row that goes on where a dead reader's pin is; then the predecessor's is closed."""
        words = self._ring.words
        old = self.at(predecessor)
        row = self._free_row()
        generation = words[old + Row.GENERATION] + 1
        policy, covered = _POLICIES[words[old + Row.POLICY]], bool(words[old + Row.COVERED])
        self._fill(row, policy, words[old + Row.RELEASED], generation, covered=covered)
        if words[Head.JOURNAL_ROW] == predecessor + 1:
            words[Head.JOURNAL_ROW] = row + 1
        words[Head.SUCCESSIONS] += 1
        fence()
        self.close(predecessor)
        return row

    def close(self, row: int) -> None:
        """The row holds nothing any more and can be used again.

        After a journal's, the readers that it covered hold what it has not, as far as they lack it.
        """
        words = self._ring.words
        if words[Head.JOURNAL_ROW] == row + 1:
            words[Head.JOURNAL_END] = words[self.at(row) + Row.RELEASED]
            words[Head.JOURNAL_ROW] = 0
            # Whoever counts the pins meanwhile counts them once more.
            words[Head.SUCCESSIONS] += 1
            fence()
        words[self.at(row) + Row.STATE] = RowState.FREE

    def name_journal(self, row: int) -> None:
        """The reader of this row is the journal that covers others; before there is a first block."""
        self._ring.words[Head.JOURNAL_ROW] = row + 1

    def journal_end(self) -> tuple[int, bool]:
        """(number before which the journal has committed everything, True unless it has ended or given up)."""
        words = self._ring.words
        while True:
            successions, row = words[Head.SUCCESSIONS], words[Head.JOURNAL_ROW]
            end = words[self.at(row - 1) + Row.RELEASED] if row else words[Head.JOURNAL_END]
            # Its row may have moved to a successor's, or have been closed, between two of these looks.
            if words[Head.SUCCESSIONS] == successions and words[Head.JOURNAL_ROW] == row:
                return end, bool(row)

    def settle(self, sample_index: int) -> None:
        """Everything before this sample is durable in every other BLOCK output: the journal may let it go."""
        self._ring.words[Head.SETTLED] = sample_index

    def settled(self) -> int:
        """What `settle` was told last; 0 before."""
        return self._ring.words[Head.SETTLED]

    def status(self, row: int) -> RowStatus:
        """What the reader says of itself."""
        words, at = self._ring.words, self.at(row)
        while True:
            reports = words[at + Row.REPORTS]
            first = at + Row.POSITIONS + (reports & 1) * POSITION_WORDS
            numbers = [words[first + word] for word in range(7)]
            # The worker is back at this place as soon as it has counted once more.
            if words[at + Row.REPORTS] == reports:
                break
        start, committed, durable, samples, gap_samples, dropped, retained_from = numbers
        return RowStatus(
            policy=self.policy(row),
            cursor=words[at + Row.CURSOR],
            released=words[at + Row.RELEASED],
            heartbeat_ns=words[at + Row.HEARTBEAT_NS],
            start=start,
            committed=committed,
            durable=durable,
            samples=samples,
            gap_samples=gap_samples,
            dropped=dropped,
            retained_from=retained_from,
            blocks=words[at + Row.BLOCKS],
        )

    def kept(self) -> RowStatus | None:
        """The cursor of the journal, else of the BLOCK reader that has committed least: what came behind it is kept."""
        words = self._ring.words
        journal = words[Head.JOURNAL_ROW]
        if journal:
            return self.status(journal - 1)
        in_use = [row for row in range(words[Head.ROWS]) if words[self.at(row) + Row.STATE] == RowState.IN_USE]
        rows = [self.status(row) for row in in_use if self.policy(row) is Policy.BLOCK]
        return min(rows, key=lambda row: row.committed, default=None)

    def policy(self, row: int) -> Policy:
        """The row's policy."""
        return _POLICIES[self._ring.words[self.at(row) + Row.POLICY]]

    def is_covered(self, row: int) -> bool:
        """True for a BLOCK reader that a journal covers, or has covered."""
        return bool(self._ring.words[self.at(row) + Row.COVERED])

    def pins(self) -> list[Pin]:
        """Every BLOCK row that holds slots. A pin that moves to a successor's row meanwhile is in one of the two.

        Readers that a living journal covers hold none of their own; after its end they hold what it has not.
        """
        words = self._ring.words
        while True:
            successions = words[Head.SUCCESSIONS]
            found = []
            at = self._first
            journal, journal_end = words[Head.JOURNAL_ROW], words[Head.JOURNAL_END]
            for row in range(words[Head.ROWS]):
                if words[at] == _IN_USE and words[at + Row.POLICY] == _BLOCK:
                    if not words[at + Row.COVERED]:
                        found.append(Pin(row, words[at + Row.RELEASED]))
                    elif not journal:
                        found.append(Pin(row, max(words[at + Row.RELEASED], journal_end)))
                at += ROW_WORDS
            # Rows are not seen at one instant: the successor's may be looked at before it is filled, and the
            # predecessor's after it was closed.
            if words[Head.SUCCESSIONS] == successions:
                return found

    def sleepers(self) -> Iterator[tuple[int, int]]:
        """(row, number of its sleep) of every reader that sleeps; odd numbers are sleeps."""
        words = self._ring.words
        at = self._first
        for row in range(words[Head.ROWS]):
            sleep = words[at + Row.SLEEPING]
            if sleep & 1 and words[at] == _IN_USE:
                yield row, sleep
            at += ROW_WORDS

    def n_free(self) -> int:
        """How many more readers there can be."""
        return sum(self._ring.words[self.at(row) + Row.STATE] == RowState.FREE for row in range(MAX_ROWS))

    def _free_row(self) -> int:
        for row in range(MAX_ROWS):
            if self._ring.words[self.at(row) + Row.STATE] == RowState.FREE:
                return row
        raise RingError(f"the ring has {MAX_ROWS} subscribers already; detach one first")

    def _fill(self, row: int, policy: Policy, number: int, generation: int, *, covered: bool) -> None:
        words, at = self._ring.words, self.at(row)
        # Sleeps are numbered on from the row's last reader: the acquirer knows those that it woke by their numbers.
        sleeps = words[at + Row.SLEEPING]
        for word in range(Row.POLICY, ROW_WORDS):
            words[at + word] = 0
        words[at + Row.SLEEPING] = sleeps + (sleeps & 1)
        words[at + Row.POLICY] = _POLICIES.index(policy)
        words[at + Row.GENERATION] = generation
        words[at + Row.COVERED] = covered
        words[at + Row.CURSOR] = number
        words[at + Row.RELEASED] = number
        words[Head.ROWS] = max(words[Head.ROWS], row + 1)
        words[at + Row.STATE] = RowState.IN_USE
