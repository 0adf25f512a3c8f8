"""A reader that the journal covers misses nothing that the journal has."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stepped_ring import ANCHOR, Feed, ring_of

from dtopipe.core import catch_up
from dtopipe.intake.blocks import CoveredIntake
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause
from dtopipe.model.stream import Block
from dtopipe.shm.observer import RingObserver
from dtopipe.shm.reader import RingReader
from dtopipe.shm.table import SubscriberTable

N_SLOTS = 6


class Journal:
    """Has every block, unless it raises; whose file is deleted or away."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.deleted = False
        self.gaps: list[Any] = []

    def is_deleted(self) -> bool:
        return self.deleted

    def take(self, number: int, most: int) -> list[Block]:
        if self.error:
            raise self.error
        return [Block(at, at, np.zeros((1, 1), np.int16), ANCHOR) for at in range(number, number + min(most, 4))]

    def close(self) -> None:
        pass


@pytest.fixture
def overtaken(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[CoveredIntake, Journal]]:
    """An intake at block 0 of a ring that has gone on to block 20; nothing is waited for any longer than needed."""
    monkeypatch.setattr(catch_up, "_PATIENCE_NS", 0)
    with ring_of(N_SLOTS) as ring:
        table, feed, journal = SubscriberTable(ring), Feed(ring), Journal()
        journals = table.open_at_head(Policy.BLOCK)
        table.name_journal(journals)
        reader = RingReader(ring, table.open_at_head(Policy.BLOCK, covered=True))
        of_journal = RingReader(ring, journals)
        for _ in range(20 - N_SLOTS // 2):
            feed.publish()
            of_journal.take(1)
            of_journal.release()
        feed.publish(N_SLOTS // 2)
        yield CoveredIntake(reader, None, RingObserver(ring), journal), journal  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "I/O error"), OSError(errno.ESTALE, "stale"), FileNotFoundError()],
    ids=["I/O error", "stale handle", "folder away"],
)
def test_a_journal_whose_disk_is_away_is_waited_for(overtaken: tuple[CoveredIntake, Journal], error: OSError) -> None:
    taken, journal = overtaken
    journal.error = error
    assert [taken.take(10) for _ in range(5)] == [[]] * 5
    assert taken.awaited == f"the journal: it cannot be read ({error})"
    journal.error = None
    assert [block.block_index for block in taken.take(10)] == [0, 1, 2, 3]
    assert (taken.awaited, taken.passed_over()) == ("", None)


def test_a_journal_whose_file_is_gone_is_not_waited_for_for_ever(overtaken: tuple[CoveredIntake, Journal]) -> None:
    taken, journal = overtaken
    journal.error, journal.deleted = FileNotFoundError(), True
    found = [block.block_index for _ in range(5) for block in taken.take(10)]
    assert found == [*range(20 - N_SLOTS, 20)]
    assert taken.passed_over() is Cause.WRITE_ERROR


def test_what_a_dead_journal_pins_is_read_from_the_ring() -> None:
    """The ring is full: the oldest block that it holds is the one that the journal has to take next."""
    with ring_of(N_SLOTS) as ring:
        table, feed, journal = SubscriberTable(ring), Feed(ring), Journal()
        table.name_journal(table.open_at_head(Policy.BLOCK))
        reader = RingReader(ring, table.open_at_head(Policy.BLOCK, covered=True))
        assert feed.publish(20) == N_SLOTS
        journal.error = OSError(errno.EIO, "I/O error")
        taken = CoveredIntake(reader, None, RingObserver(ring), journal)  # type: ignore[arg-type]
        assert [block.block_index for block in taken.take(10)] == [*range(N_SLOTS)]
        assert taken.awaited == ""
