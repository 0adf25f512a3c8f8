"""Thermocouples by the reference functions of ITS-90, as tables that are quick to look into.

The functions and their coefficients, which are NIST's, come from `thermocouple_its90`, one number at a time. Here they
are worked out once a type, each twentieth of a kelvin; between two of these a straight line is off by less than 1 mK.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_STEPS_A_KELVIN = 20
# 0.1 uV: half a mK where a thermocouple is good for something, and 2 mK near absolute zero.
_EVEN_STEPS = 2**19
# Temperatures are given to 0.1 mK: a thousandth of what the best thermocouple is good for. So texts of them are short.
_PER_KELVIN = 1e4


@dataclass(frozen=True, slots=True)
class ThermocoupleTable:
    """One type. `celsius`, `emf_mv`: (n,) float64, both strictly rising; the reference junction is at 0 degC.

    Of type B they begin at 250 degC, below which one voltage has two temperatures. `junction_celsius`,
    `junction_emf_mv`: the same over all that the type is defined for, as cold junctions have it. `quick`: by even steps
    of voltage, the temperature, what it rises by, and steps a mV.
    """

    celsius: NDArray[np.float64]
    emf_mv: NDArray[np.float64]
    junction_celsius: NDArray[np.float64]
    junction_emf_mv: NDArray[np.float64]
    quick: tuple[NDArray[np.float64], NDArray[np.float64], float]

    def temperatures(self, emf_mv: NDArray[np.float64]) -> NDArray[np.float64]:
        """DegC of mV against a junction at 0 degC, of any shape; beyond the table, those at its ends."""
        values, slopes, per_mv = self.quick
        at: NDArray[np.float64] = emf_mv - self.emf_mv[0]
        at *= per_mv
        # Both take NaN for the other number; `clip` and `nan_to_num` do that at five times the cost.
        np.fmax(at, 0.0, out=at)
        np.fmin(at, np.nextafter(len(slopes), 0.0), out=at)
        step = at.astype(np.int64)
        at -= step
        # No step is beyond the table: with `clip` numpy does not look.
        at *= slopes.take(step, mode="clip")
        at += values.take(step, mode="clip")
        return at

    def junction_emf(self, celsius: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) mV that a junction at these temperatures takes away; NaN beyond what the type is defined for."""
        return np.interp(celsius, self.junction_celsius, self.junction_emf_mv, left=np.nan, right=np.nan)


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Temperatures to 0.1 mK, in place."""
    values *= _PER_KELVIN
    np.rint(values, out=values)
    values /= _PER_KELVIN
    return values


@lru_cache
def thermocouple_table(letter: str) -> ThermocoupleTable:
    """The table of this type, one of B, E, J, K, N, R, S, T; a tenth of a second the first time."""
    # Imported where it is needed: most runs have no thermocouple.
    import thermocouple_its90

    kind = thermocouple_its90.get(letter)
    low, high = kind.range
    celsius = np.linspace(low, high, round((high - low) * _STEPS_A_KELVIN) + 1)
    emf_mv = np.array([kind.emf(min(each, high)) for each in celsius.tolist()])
    least_mv, _ = kind.invertible_emf_range
    first = int(np.searchsorted(celsius, kind.temperature(least_mv))) if least_mv > emf_mv[0] else 0
    own, own_mv = celsius[first:], emf_mv[first:]
    return ThermocoupleTable(own, own_mv, celsius, emf_mv, _even_steps(own, own_mv))


def _even_steps(
    celsius: NDArray[np.float64], emf_mv: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The same table with even steps of voltage, in which nothing has to be looked for; steps a mV."""
    low, high = emf_mv[[0, -1]].tolist()
    values = np.interp(np.linspace(low, high, _EVEN_STEPS + 1), emf_mv, celsius)
    return values[:-1], np.diff(values), _EVEN_STEPS / (high - low)
