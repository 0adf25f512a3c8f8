"""The table of subscribers: a row a reader, opened and closed by the supervisor, its cursors moved by the worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dtopipe.model.errors import RingError
from dtopipe.model.policy import Policy
from dtopipe.shm.fence import fence
from dtopipe.shm.layout import MAX_ROWS, ROW_WORDS, WORD, Head, Row, RowState
from dtopipe.shm.ring import Ring

_POLICIES = (Policy.BLOCK, Policy.DROP_OLDEST, Policy.DROP_NEWEST)


@dataclass(frozen=True, slots=True)
class RowStatus:
    """A snapshot of one subscriber's words; counts are samples per channel."""

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
    blocks: int


class SubscriberTable:
    """All rows of one ring."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._first = ring.layout.rows_offset // WORD

    def at(self, row: int) -> int:
        """Index of the row's first word."""
        return self._first + row * ROW_WORDS

    def open_at_head(self, policy: Policy) -> int:
        """A new row that reads from the head on. Raises RingError if the table is full."""
        row = self._free_row()
        while True:
            number = self._ring.words[Head.HEAD]
            self._fill(row, policy, number, generation=0)
            fence()
            # The acquirer may have decided about slots before it could see the pin.
            if self._ring.words[Head.HEAD] - number < max(1, self._ring.layout.n_slots // 2):
                return row

    def open_successor(self, predecessor: int) -> int:
        """A new row that goes on where a dead reader's pin is; then the predecessor's is closed."""
        words = self._ring.words
        old = self.at(predecessor)
        row = self._free_row()
        generation = words[old + Row.GENERATION] + 1
        self._fill(row, _POLICIES[words[old + Row.POLICY]], words[old + Row.RELEASED], generation)
        fence()
        self.close(predecessor)
        return row

    def close(self, row: int) -> None:
        """The row holds nothing any more and can be used again."""
        self._ring.words[self.at(row) + Row.STATE] = RowState.FREE

    def status(self, row: int) -> RowStatus:
        """What the reader says of itself."""
        at = self.at(row)
        words = self._ring.words[at : at + ROW_WORDS]
        return RowStatus(
            policy=_POLICIES[words[Row.POLICY]],
            cursor=words[Row.CURSOR],
            released=words[Row.RELEASED],
            heartbeat_ns=words[Row.HEARTBEAT_NS],
            start=words[Row.START],
            committed=words[Row.COMMITTED],
            durable=words[Row.DURABLE],
            samples=words[Row.SAMPLES],
            gap_samples=words[Row.GAP_SAMPLES],
            dropped=words[Row.DROPPED],
            blocks=words[Row.BLOCKS],
        )

    def policy(self, row: int) -> Policy:
        """The row's policy."""
        return _POLICIES[self._ring.words[self.at(row) + Row.POLICY]]

    def pins(self) -> Iterator[tuple[int, int]]:
        """(row, released) of every BLOCK row in use."""
        words = self._ring.words
        for row in range(words[Head.ROWS]):
            at = self._first + row * ROW_WORDS
            if words[at] == RowState.IN_USE and words[at + Row.POLICY] == 0:
                yield row, words[at + Row.RELEASED]

    def sleepers(self) -> Iterator[tuple[int, int]]:
        """(row, number of its sleep) of every reader that sleeps; odd numbers are sleeps."""
        words = self._ring.words
        for row in range(words[Head.ROWS]):
            at = self._first + row * ROW_WORDS
            if words[at] == RowState.IN_USE and words[at + Row.SLEEPING] & 1:
                yield row, words[at + Row.SLEEPING]

    def _free_row(self) -> int:
        for row in range(MAX_ROWS):
            if self._ring.words[self.at(row) + Row.STATE] == RowState.FREE:
                return row
        raise RingError(f"the ring has {MAX_ROWS} subscribers already; detach one first")

    def _fill(self, row: int, policy: Policy, number: int, generation: int) -> None:
        words, at = self._ring.words, self.at(row)
        words[at + Row.STATE] = RowState.FREE
        for word in range(Row.POLICY, ROW_WORDS):
            words[at + word] = 0
        words[at + Row.POLICY] = _POLICIES.index(policy)
        words[at + Row.GENERATION] = generation
        words[at + Row.CURSOR] = number
        words[at + Row.RELEASED] = number
        words[Head.ROWS] = max(words[Head.ROWS], row + 1)
        words[at + Row.STATE] = RowState.IN_USE
