"""A reader that the journal covers misses nothing that the journal has."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stepped_ring import ANCHOR, Feed, ring_of

from dtopipe.intake import blocks as intake
from dtopipe.intake.blocks import CoveredIntake
from dtopipe.model.policy import Policy
from dtopipe.model.stream import Block
from dtopipe.shm.reader import RingReader
from dtopipe.shm.table import SubscriberTable

N_SLOTS = 6


class Journal:
    """Has every block, unless it raises; `has_folder` as its disk is there or not."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.has_folder = True
        self.gaps: list[Any] = []

    def take(self, number: int, most: int) -> list[Block]:
        if self.error:
            raise self.error
        return [Block(at, at, np.zeros((1, 1), np.int16), ANCHOR) for at in range(number, number + min(most, 4))]

    def close(self) -> None:
        pass


@pytest.fixture
def overtaken(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[CoveredIntake, Journal]]:
    """An intake at block 0 of a ring that has gone on to block 20; nothing is waited for any longer than needed."""
    monkeypatch.setattr(intake, "_JOURNAL_PATIENCE_NS", 0)
    with ring_of(N_SLOTS) as ring:
        table, feed, journal = SubscriberTable(ring), Feed(ring), Journal()
        table.name_journal(table.open_at_head(Policy.DROP_OLDEST))
        reader = RingReader(ring, table.open_at_head(Policy.BLOCK, covered=True))
        feed.publish(20)
        yield CoveredIntake(reader, None, journal), journal  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "has_folder"),
    [(OSError(errno.EIO, "I/O error"), True), (OSError(errno.ESTALE, "stale"), True), (FileNotFoundError(), False)],
    ids=["I/O error", "stale handle", "folder away"],
)
def test_a_journal_whose_disk_is_away_is_waited_for(
    overtaken: tuple[CoveredIntake, Journal], error: OSError, has_folder: bool
) -> None:
    taken, journal = overtaken
    journal.error, journal.has_folder = error, has_folder
    assert [taken.take(10) for _ in range(5)] == [[]] * 5
    journal.error, journal.has_folder = None, True
    assert [block.block_index for block in taken.take(10)] == [0, 1, 2, 3]


def test_a_journal_whose_file_is_gone_is_not_waited_for_for_ever(overtaken: tuple[CoveredIntake, Journal]) -> None:
    taken, journal = overtaken
    journal.error = FileNotFoundError()
    found = [block.block_index for _ in range(5) for block in taken.take(10)]
    assert found == [*range(20 - N_SLOTS // 2, 20)]
