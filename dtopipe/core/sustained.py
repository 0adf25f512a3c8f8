"""Where a condition has held for long enough: of limits and of triggers, block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Sustained:
    """A condition that counts once it has held for `for_samples` sample periods on end; 0: at once.

    It is told sample by sample in order; what is absent in between ends it, for nobody knows what was there.
    """

    def __init__(self, for_samples: int = 0, *, since: int | None = None, upto: int | None = None) -> None:
        """`since`: where a condition began that held up to sample index `upto`, as another one saw it."""
        self._for_samples = for_samples
        # The next sample in order, and where the condition that still holds began.
        self._next = upto
        self._since = since

    @property
    def since(self) -> int | None:
        """The sample index since which the condition holds; None while it does not."""
        return self._since

    def of(self, holds: NDArray[np.bool_], first: int) -> NDArray[np.bool_]:
        """(n,) where it has held for long enough, of (n,) where it holds from sample index `first` on."""
        n = len(holds)
        if n == 0:
            return holds
        goes_on = self._since is not None and self._next == first
        began = self._since if goes_on and self._since is not None else first
        self._next = first + n
        if not holds.any():
            self._since = None
            return np.zeros(n, bool)
        index = np.arange(first, first + n)
        # The place behind the last sample at which it did not hold.
        starts = np.maximum.accumulate(np.where(holds, began, index + 1))
        self._since = int(starts[-1]) if holds[-1] else None
        sustained: NDArray[np.bool_] = holds & (index - starts >= self._for_samples)
        return sustained
