"""How one sink ended."""

from __future__ import annotations

from dataclasses import dataclass

from dtopipe.model.policy import Policy
from dtopipe.model.span import Gap


@dataclass(frozen=True, slots=True)
class SinkOutcome:
    """How one sink ended; `failure` says why it gave up or was cut off, else it is empty.

    Counts are samples per channel. `overruns`: what of `gaps` the board lost itself. `absent`: the gaps one by one, in
    any order, where they are known. `retained_from`: before this index a journal has deleted what it had.
    """

    name: str
    policy: Policy
    start: int
    stop: int
    samples: int
    gaps: int
    failure: str = ""
    overruns: int = 0
    absent: tuple[Gap, ...] = ()
    retained_from: int = 0

    @property
    def adds_up(self) -> bool:
        """The accounting identity."""
        return self.start + self.samples + self.gaps == self.stop
