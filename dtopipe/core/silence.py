"""How long a board has delivered nothing, as far as somebody watched."""

from __future__ import annotations

from dataclasses import dataclass

# So many blocks are due, and none came.
_BLOCKS = 3
# Of short blocks: a busy machine can keep a process waiting for less.
_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Fell:
    """It has been silent for the limit."""

    for_s: float


@dataclass(frozen=True, slots=True)
class Broke:
    """It delivers again, after so long."""

    after_s: float


class Silence:
    """Counts the seconds without a sample of a board that should deliver one; what is told is told once."""

    def __init__(self, block_s: float) -> None:
        self._limit_s = max(_BLOCKS * block_s, _LEAST_S)
        self._reached: int | None = None
        self._is_told = False
        self.lasts_s = 0.0
        # Of all that were told and are over.
        self.count = 0
        self.longest_s = 0.0

    @property
    def is_told(self) -> bool:
        """True while it is silent, and that was told."""
        return self._is_told

    def lasts_at(self, reached: int) -> bool:
        """True if it was told, and nothing came since up to this sample index."""
        return self._is_told and reached == self._reached

    def saw(self, reached: int, elapsed_s: float, *, expected: bool = True) -> Fell | Broke | None:
        """The run is at this sample index, `elapsed_s` of watching after the last look.

        `expected`: False while nobody can expect a sample, as there is no room for it or the board is away.
        """
        if reached == self._reached and expected:
            self.lasts_s += elapsed_s
            if self.lasts_s >= self._limit_s and not self._is_told:
                self._is_told = True
                return Fell(self.lasts_s)
            return None
        lasted_s, was_told = self.lasts_s, self._is_told
        self._reached, self.lasts_s, self._is_told = reached, 0.0, False
        if not was_told:
            return None
        self.count += 1
        self.longest_s = max(self.longest_s, lasted_s)
        return Broke(lasted_s)
