"""What the simulated board's channels measure: pure functions of channel and sample index, as 16-bit codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int16]

_HALF_SCALE = 32768
# Sines that repeat within this are exact, and can be looked up: 256 kB a channel.
LONGEST_PERIOD = 1 << 17


class Waveform(Protocol):
    """One channel's codes. `period`: after so many samples they repeat; None if they do not, or not soon."""

    @property
    def period(self) -> int | None:
        """The period in samples."""

    def codes(self, first: int, count: int) -> Codes:
        """The codes of `first <= index < first + count`: (count,) int16."""


@dataclass(frozen=True, slots=True)
class Counter:
    """`((i * (2 * c + 1) + 257 * c) mod 65536) - 32768`: any file can be checked against it."""

    channel: int

    @property
    def period(self) -> int | None:
        """65536 for every channel, 2 * c + 1 being odd."""
        return 1 << 16

    def codes(self, first: int, count: int) -> Codes:
        """The codes of `first <= index < first + count`."""
        index = np.arange(count, dtype=np.int64) + first % (1 << 16)
        residues = (index * (2 * self.channel + 1) + 257 * self.channel) % (1 << 16)
        return (residues - _HALF_SCALE).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Sine:
    """A sine of `cycles` per sample; `amplitude` 0 to 1 of half the scale, `phase` in radians at sample 0.

    The phase is kept in integers, so that a sample's code does not depend on the block that it comes in: exact
    where the period is short, else in steps of 2**-64 of a turn (direct digital synthesis).
    """

    cycles: Fraction
    amplitude: float
    phase: float

    @property
    def period(self) -> int | None:
        """The denominator of `cycles`, if it is small enough."""
        return self.cycles.denominator if self.cycles.denominator <= LONGEST_PERIOD else None

    def codes(self, first: int, count: int) -> Codes:
        """The codes of `first <= index < first + count`."""
        radians = 2.0 * math.pi * self._turns(first, count) + self.phase
        values = np.rint(self.amplitude * _HALF_SCALE * np.sin(radians))
        return np.clip(values, -_HALF_SCALE, _HALF_SCALE - 1).astype(np.int16)

    def _turns(self, first: int, count: int) -> NDArray[np.float64]:
        if self.period is not None:
            step = self.cycles.numerator % self.period
            index = (np.arange(count, dtype=np.int64) + first % self.period) % self.period
            turns: NDArray[np.float64] = (index * step % self.period) / self.period
            return turns
        step = round((self.cycles % 1) * (1 << 64)) % (1 << 64)
        words = np.arange(count, dtype=np.uint64) * np.uint64(step) + np.uint64(first * step % (1 << 64))
        # The upper 53 bits are what a float64 holds.
        fractions: NDArray[np.float64] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return fractions


@dataclass(frozen=True, slots=True)
class Noise:
    """White noise, uniform within `amplitude` (0 to 1) of half the scale.

    splitmix64 as a counter-based hash: output `i` of the generator seeded with (seed, channel). Source: Steele, Lea
    and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants of Sebastiano Vigna's
    public-domain splitmix64.c.
    """

    seed: int
    channel: int
    amplitude: float

    @property
    def period(self) -> int | None:
        """None: 2**64 samples."""
        return None

    def codes(self, first: int, count: int) -> Codes:
        """The codes of `first <= index < first + count`."""
        origin = splitmix64(self.seed % (1 << 64), self.channel, 1)[0]
        words = splitmix64(int(origin), first, count)
        unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return np.floor((2.0 * unit - 1.0) * self.amplitude * _HALF_SCALE).astype(np.int16)


def splitmix64(seed: int, first: int, count: int) -> NDArray[np.uint64]:
    """Outputs `first` to `first + count - 1` of splitmix64 seeded with `seed`: (count,) uint64."""
    golden = 0x9E3779B97F4A7C15
    words = np.arange(count, dtype=np.uint64) * np.uint64(golden)
    words += np.uint64((seed + (first + 1) * golden) % (1 << 64))
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words
