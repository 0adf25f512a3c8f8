"""Signals that are dead though every sample of them is there: open, at a rail, or without any change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dtopipe.core.remark import Remark, time_text

# An opening is told of from a second on, or from this part of a short run on; so is a rail, which peaks may touch.
_LEAST_S = 1.0
_LEAST_PART = 0.01
# A converter's own noise moves a signal sooner.
_FLAT_S = 10.0
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Signal:
    """What was counted of one channel: samples, of them those that are open, without a value at all, and at a rail.

    `at_lower`, `at_upper`: which rails were touched. `is_flat`: every value was the same.
    """

    name: str
    n_samples: int
    n_open: int = 0
    n_not_ok: int = 0
    n_at_rail: int = 0
    at_lower: bool = False
    at_upper: bool = False
    is_flat: bool = False

    def words(self, rate_hz: float) -> str:
        """What is wrong with it, such as `tc3 open for 41 min`; empty if nothing is."""
        found = []
        if self._is_much(self.n_open, rate_hz):
            found.append(f"open for {time_text(self.n_open / rate_hz)}")
        n_others = self.n_not_ok - self.n_open
        if self._is_much(n_others, rate_hz):
            found.append(f"without a value for {time_text(n_others / rate_hz)}")
        if self.n_samples and self.n_at_rail >= _LEAST_PART * self.n_samples:
            rail = (
                "its rails" if self.at_lower and self.at_upper else f"its {'upper' if self.at_upper else 'lower'} rail"
            )
            found.append(f"at {rail} {100 * self.n_at_rail / self.n_samples:.3g} % of the time")
        elif self.is_flat and self.n_samples - self.n_not_ok >= _FLAT_S * rate_hz:
            found.append("without any change")
        return f"{self.name} {' and '.join(found)}" if found else ""

    def _is_much(self, n: int, rate_hz: float) -> bool:
        return n >= _LEAST_S * rate_hz or (n > 0 and n >= _LEAST_PART * self.n_samples)


def signal_remarks(signals: Sequence[Signal], rate_hz: float) -> tuple[Remark, ...]:
    """The words for the verdict, which they make no worse: a few channels by name, then how many more there are."""
    found = [words for signal in signals if (words := signal.words(rate_hz))]
    named = [Remark(words) for words in found[:_MOST_NAMED]]
    if len(found) > _MOST_NAMED:
        named.append(
            Remark(f"{len(found) - _MOST_NAMED} more channels are dead in such ways: see channels in run.json")
        )
    return tuple(named)
