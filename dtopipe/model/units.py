"""The units between which calibrations convert by themselves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.suggestions import nearest

# Volts in one of them.
VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "\N{MICRO SIGN}V": 1e-6}
TEMPERATURES = ("degC", "K", "degF")
# How many of them are a strain of 1.
STRAINS = {"um/m": 1e6, "\N{MICRO SIGN}m/m": 1e6, "mm/m": 1e3, "m/m": 1.0, "%": 100.0}

# What else people write.
_ALSO = {
    "c": "degC", "celsius": "degC", "deg c": "degC", "f": "degF", "fahrenheit": "degF", "deg f": "degF", "kelvin": "K",
    "degk": "K", "ue": "um/m", "ustrain": "um/m", "microstrain": "um/m", "strain": "m/m", "v": "V", "volt": "V",
}  # fmt: skip

_ZERO_K = 273.15


def nearest_unit(given: str, known: Iterable[str]) -> str:
    """`did you mean degC?`, else which there are."""
    units = list(known)
    plain = given.casefold().replace("\N{DEGREE SIGN}", "").strip()
    meant = {unit.casefold(): unit for unit in units}.get(plain) or _ALSO.get(plain)
    return f"did you mean {meant}?" if meant in units else nearest(given, units)


def from_celsius(values: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """(n,) temperatures in degC, in this unit of `TEMPERATURES`."""
    if unit == "K":
        return values + _ZERO_K
    return values * 1.8 + 32.0 if unit == "degF" else values


def to_celsius(values: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """(n,) temperatures in this unit of `TEMPERATURES`, in degC."""
    if unit == "K":
        return values - _ZERO_K
    return (values - 32.0) / 1.8 if unit == "degF" else values
