"""What one output lacks, in bounded memory: how much for which cause, and the first gaps one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dtopipe.model.span import Cause, Gap

# Enough to see whether another output has what is absent. A run of a month may have millions.
MOST_KEPT = 4096


class Absence:
    """Adds up the gaps of one output, each of which is noted once."""

    def __init__(self) -> None:
        self._samples: Counter[Cause] = Counter()
        self._kept: list[Gap] = []

    def note(self, gaps: Iterable[Gap]) -> None:
        """These are absent too."""
        for gap in gaps:
            # The first of each cause in any case: whether a repair can help is asked by cause.
            if len(self._kept) < MOST_KEPT or gap.cause not in self._samples:
                self._kept.append(gap)
            self._samples[gap.cause] += len(gap)

    def samples(self, cause: Cause) -> int:
        """How many samples are absent for this cause, per channel."""
        return self._samples[cause]

    @property
    def lacking(self) -> int:
        """How many samples are absent that were to be there."""
        return self._samples.total() - self._samples[Cause.NOT_TRIGGERED]

    @property
    def kept(self) -> tuple[Gap, ...]:
        """The gaps one by one, as far as they are kept: all of them unless there are very many."""
        return tuple(self._kept)
