"""The newest samples in a row of a run in progress, as they came: what a spectrum is made of."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

_MOST_SAMPLES = 2**16
# Of all channels together.
_MOST_BYTES = 2**24


class NewestSamples:
    """Keeps the pieces that follow on each other without a hole, as many as fit; they are not copied."""

    def __init__(self) -> None:
        self._pieces: deque[NDArray[np.float64]] = deque()
        self._stop = 0
        self._n = 0

    def add(self, first: int, values: NDArray[np.float64]) -> None:
        """Take (n_channels, n) values from sample `first` on; a hole before them ends what was kept."""
        if first != self._stop or (self._pieces and len(values) != len(self._pieces[0])):
            self._pieces.clear()
            self._n = 0
        n_channels, n = values.shape
        self._pieces.append(values)
        self._stop, self._n = first + n, self._n + n
        most = min(_MOST_SAMPLES, _MOST_BYTES // (8 * max(1, n_channels)))
        while len(self._pieces) > 1 and self._n - self._pieces[0].shape[1] >= most:
            self._n -= self._pieces.popleft().shape[1]

    def of(self, channel: int) -> tuple[int, NDArray[np.float64]]:
        """The first sample index, and the values of that channel; of an even number, as a spectrum is quick of."""
        joined = np.concatenate([np.empty(0), *(piece[channel] for piece in self._pieces)])
        kept = joined[len(joined) % 2 :][-_MOST_SAMPLES:]
        return self._stop - len(kept), kept
