"""What is done to a journal: deaths one after the other, and a disk that is away while other sinks begin anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dtopipe.chaos.faults import Fault, Kind
from dtopipe.chaos.scene import Scene

_DEATHS, _DEATHS_WITHIN_S = 20, 60.0
_AWAY_S = 30.0
_COMMITTED_AFTER_S = 2.0
# By then the ring is full, as a rule, and whoever comes back finds the journal's pin at its tail.
_VICTIM_AFTER_S = (3.0, 10.0)
_ANOTHER_AFTER_S = (2.0, 8.0)
_NO_JOURNAL = "no sink of this topology is a journal"


class JournalDeaths:
    """The journal is killed 20 times in 60 s: no pause before its successor may cost a sample."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def why_not(self) -> str:
        """Only a topology with a journal has one to kill."""
        return "" if self._scene.journal else _NO_JOURNAL

    def inject(self, at_s: Callable[[], float]) -> Iterator[Fault]:
        """A kill every three seconds on average; one whose successor was not there yet comes at the next look."""
        journal, dice = self._scene.journal, self._scene.dice
        if journal is None:
            return
        deaths = 0
        pauses = [dice.uniform(0.2, 1.8) * _DEATHS_WITHIN_S / _DEATHS for _ in range(_DEATHS)]
        while deaths < _DEATHS and self._scene.run.goes_on():
            if self._scene.kill(journal.name):
                yield Fault(at_s(), Kind.JOURNAL, journal.name)
                deaths += 1
            if not self._scene.passes(pauses[min(deaths, _DEATHS - 1)]):
                return


class JournalDiskAway:
    """The folder of the journal is not there for 30 s, and other sinks are killed meanwhile."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def why_not(self) -> str:
        """The folder must be one that can be taken away: below the run folder, and not that itself."""
        if self._scene.journal is None:
            return _NO_JOURNAL
        if not self._others():
            return "there is no other sink that could begin anew meanwhile"
        if self._folder() == self._scene.run.folder.path:
            return "the journal lies in the run folder itself; give it a path in a folder of its own"
        return ""

    def inject(self, at_s: Callable[[], float]) -> Iterator[Fault]:
        """Away by its name, as a disk that is unmounted; it comes back also where the run ends meanwhile."""
        scene, folder = self._scene, self._folder()
        away = folder.with_name(f"{folder.name}.away")
        # An output that has nothing committed yet may be begun anew elsewhere, and is.
        if not scene.passes(_COMMITTED_AFTER_S):
            return
        began_s = at_s()
        # Who stands still while the ring fills has everything from the journal's pin on still to take.
        first = scene.dice.choice(self._others())
        scene.suspend(first)
        folder.rename(away)
        try:
            first_s, then_s = scene.dice.uniform(*_VICTIM_AFTER_S), scene.dice.uniform(*_ANOTHER_AFTER_S)
            for victim, pause_s in ((first, first_s), (scene.dice.choice(self._others()), then_s)):
                if scene.passes(pause_s) and scene.kill(victim):
                    yield Fault(at_s(), Kind.KILL, victim)
            scene.passes(_AWAY_S - first_s - then_s)
        finally:
            away.rename(folder)
        yield Fault(began_s, Kind.JOURNAL_DISK, str(folder.name), at_s() - began_s)

    def _folder(self) -> Path:
        journal = self._scene.journal
        return (self._scene.run.folder.path / str(journal.path if journal else "")).parent

    def _others(self) -> list[str]:
        return [sink.name for sink in self._scene.plan.sinks if not sink.is_journal]
