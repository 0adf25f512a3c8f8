"""Faults that take a while and are made of several deeds: one class each, and one line in `EPISODES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from dtopipe.chaos.board_faults import BoardAway, ClockStepped
from dtopipe.chaos.faults import Fault, Kind
from dtopipe.chaos.journal_faults import JournalDeaths, JournalDiskAway
from dtopipe.chaos.scene import Scene
from dtopipe.chaos.session_faults import AnotherSession, Swept


class Episode(Protocol):
    """A fault of one kind, to be done to one run as often as the dice say. It is made once, when the run has begun."""

    def why_not(self) -> str:
        """Why it cannot be done to this run, as a sentence; empty where it can."""

    def inject(self, at_s: Callable[[], float]) -> Iterator[Fault]:
        """Do it, and say each deed once it is done. `at_s`: how long the run goes on.

        It ends early where the run ends, and leaves nothing away that it took away.
        """


EPISODES: Mapping[Kind, Callable[[Scene], Episode]] = {
    Kind.JOURNAL: JournalDeaths,
    Kind.JOURNAL_DISK: JournalDiskAway,
    Kind.BOARD: BoardAway,
    Kind.CLOCK: ClockStepped,
    Kind.SWEPT: Swept,
    Kind.SESSION: AnotherSession,
}
