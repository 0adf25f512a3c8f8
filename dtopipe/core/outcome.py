"""How one sink ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause, Gap


def untriggered_in(gaps: Iterable[Gap]) -> int:
    """How many samples of these gaps an output was not to have."""
    return sum(len(gap) for gap in gaps if gap.cause is Cause.NOT_TRIGGERED)


@dataclass(frozen=True, slots=True)
class SinkOutcome:
    """How one sink ended; `failure` says why it gave up or was cut off, else it is empty.

    Counts are samples per channel. `overruns`: what of `gaps` the board lost itself. `absent`: the gaps one by one, in
    any order, where they are known. `retained_from`: before this index a journal has deleted what it had.
    `untriggered`: what of `gaps` it was not to have, for it waits for its trigger.
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
    untriggered: int = 0

    @property
    def lacks(self) -> int:
        """What it was to have, and has not."""
        return self.gaps - self.untriggered

    @property
    def adds_up(self) -> bool:
        """The accounting identity."""
        return self.start + self.samples + self.gaps == self.stop
