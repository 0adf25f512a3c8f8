"""What is done to the board and to the clock: a cable that is pulled, a wall clock that is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dtopipe.boards.registry import SIMULATED
from dtopipe.chaos.faults import Fault, Kind
from dtopipe.chaos.scene import Scene
from dtopipe.topology.source_locations import read_yaml

# A cable that is pushed back in at once, and one that is missed first.
_AWAY_S = ((0.2, 2.0), (5.0, 25.0))
# NTP that corrects, a zone that was taken for UTC, a computer without a clock.
_STEPS_S = (0.5, 3600.0, 10 * 365.25 * 86400.0)
# By then the run has seen it.
_SEEN_AFTER_S = 2.0


class BoardAway:
    """The board does not answer for a while, be it read or opened."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def why_not(self) -> str:
        """The command line moves only a board that the topology itself has."""
        board = read_yaml(self._scene.plan.source_file).document.get("board")
        if isinstance(board, dict) and board.get("type") == SIMULATED:
            return ""
        return "the board of this topology is another one, which is only rehearsed; make it simulated"

    def inject(self, at_s: Callable[[], float]) -> Iterator[Fault]:
        """It comes back also where the run ends meanwhile."""
        scene, away_file = self._scene, self._scene.run.levers.away_file
        began_s = at_s()
        away_file.touch()
        try:
            scene.passes(scene.dice.uniform(*scene.dice.choice(_AWAY_S)))
        finally:
            away_file.unlink()
        yield Fault(began_s, Kind.BOARD, "board", at_s() - began_s)


class ClockStepped:
    """The wall clock of every process of the run is set, forward or back."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._ahead_s = 0.0

    def why_not(self) -> str:
        """Every run has a clock."""
        return ""

    def inject(self, at_s: Callable[[], float]) -> Iterator[Fault]:
        """Once more, and as long as it takes to be seen."""
        dice = self._scene.dice
        self._ahead_s += dice.choice((-1, 1)) * dice.choice(_STEPS_S)
        self._scene.run.levers.set_clock(self._ahead_s)
        began_s = at_s()
        if self._scene.passes(_SEEN_AFTER_S):
            yield Fault(began_s, Kind.CLOCK, "clock")
