"""A board's real rate against its label: how far the times of its samples are off the clock."""

from __future__ import annotations

from collections import deque

from dtopipe.model.clock import Anchor, SampleClock

# A pair that was seen late is late by what kept the process waiting; of so many one was in time.
_PAIRS = 5
# Less may be the machine's doing. At 94 ppm it is reached after nine minutes.
_WORTH_A_WORD_NS = 50_000_000
# No two clocks differ by so much: then less is worth a word, if a busy machine does not explain it.
_NO_CLOCK_PPM, _EARLIER_NS = 500, 30_000_000


class RateDrift:
    """Holds clock pairs against the label; a new anchor begins anew."""

    def __init__(self, rate_hz: float) -> None:
        self._clock = SampleClock(rate_hz)
        self._anchor: Anchor | None = None
        self._first: list[int] = []
        self._last: deque[int] = deque(maxlen=_PAIRS)
        self._worst_ns = self._told_ns = 0

    def saw(self, pair: Anchor, anchor: Anchor) -> bool:
        """One more pair, of the epoch with that anchor; True if the drift is worth a word, or twice what was told."""
        if anchor != self._anchor:
            self._anchor, self._first = anchor, []
            self._last.clear()
        late_ns = pair.t_mono_ns - anchor.t_mono_ns - self._clock.offset_ns(pair.sample_index - anchor.sample_index)
        if len(self._first) < _PAIRS:
            self._first.append(late_ns)
            return False
        self._last.append(late_ns)
        if len(self._last) < _PAIRS:
            return False
        behind_ns = min(self._last) - min(self._first)
        if not _is_worth_a_word(abs(behind_ns), pair.t_mono_ns - anchor.t_mono_ns):
            return False
        if abs(behind_ns) > abs(self._worst_ns):
            self._worst_ns = behind_ns
        if abs(behind_ns) < 2 * abs(self._told_ns):
            return False
        self._told_ns = behind_ns
        return True

    @property
    def worst_ns(self) -> int:
        """The most by which the samples' times were behind the clock; less than 0: ahead. 0 if not worth a word."""
        return self._worst_ns


def _is_worth_a_word(off_ns: int, elapsed_ns: int) -> bool:
    return off_ns >= _WORTH_A_WORD_NS or off_ns >= max(_EARLIER_NS, elapsed_ns * _NO_CLOCK_PPM // 1_000_000)
