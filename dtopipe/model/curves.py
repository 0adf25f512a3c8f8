"""The arithmetic of calibrations: from (n,) inputs to (n,) values, and for which inputs there are any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.calibration import Calibration
from dtopipe.model.thermocouples import rounded, thermocouple_table
from dtopipe.model.units import STRAINS, VOLTS, from_celsius

Floats = NDArray[np.float64]

# IEC 60751: of the resistance of platinum, from -200 to 850 degC.
_A, _B, _C = 3.9083e-3, -5.775e-7, -4.183e-12
_COLDEST, _HOTTEST = -200.0, 850.0
_COLD_STEPS_A_KELVIN = 50
# Of bridges: how many arms are active, so that output / excitation = arms / 4 * gauge factor * strain.
_ARMS = {"quarter": 1, "half": 2, "full": 4}


@dataclass(frozen=True, slots=True)
class Curve:
    """A calibration of one input. `low`, `high`: the inputs, in their own unit, between which it has values."""

    function: Callable[[Floats], Floats]
    low: float = -np.inf
    high: float = np.inf

    def __call__(self, inputs: Floats) -> Floats:
        """(n,) values of (n,) inputs; NaN outside of `low` and `high`."""
        values = self.function(inputs)
        if np.isfinite(self.low) or np.isfinite(self.high):
            # Copied: the function may have given the inputs back.
            values = np.where((inputs < self.low) | (inputs > self.high), np.nan, values)
        return values


@lru_cache(maxsize=1024)
def curve_of(calibration: Calibration) -> Curve:
    """The curve of a calibration that needs no other channel. Raises ValueError for one that does."""
    if calibration.junction_channel is not None:
        raise ValueError(f"its cold junction is channel {calibration.junction_channel!r}")
    return _CURVES[calibration.kind](calibration)


def _linear(calibration: Calibration) -> Curve:
    line = calibration.definition["linear"]
    scale, offset = float(line["scale"]), float(line.get("offset", 0.0))
    return Curve(lambda inputs: inputs * scale + offset)


def _polynomial(calibration: Calibration) -> Curve:
    coefficients = [float(each) for each in calibration.definition["polynomial"]]

    def of(inputs: Floats) -> Floats:
        values = np.full(inputs.shape, coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            values *= inputs
            values += coefficient
        return values

    return Curve(of)


def _points(calibration: Calibration) -> Curve:
    x, y = np.array(calibration.definition["points"], np.float64).T
    if not calibration.definition.get("extrapolate"):
        return Curve(lambda inputs: np.interp(inputs, x, y), float(x[0]), float(x[-1]))
    first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])

    def of(inputs: Floats) -> Floats:
        values: Floats = np.interp(inputs, x, y)
        values += np.minimum(inputs - x[0], 0.0) * first
        values += np.maximum(inputs - x[-1], 0.0) * last
        return values

    return Curve(of)


def _thermocouple(calibration: Calibration) -> Curve:
    table = thermocouple_table(calibration.definition["thermocouple"])
    per_input = VOLTS[calibration.input_unit] * 1e3
    junction_mv = float(table.junction_emf(np.array([float(calibration.definition["cjc"])]))[0])

    def of(inputs: Floats) -> Floats:
        return rounded(from_celsius(table.temperatures(inputs * per_input + junction_mv), calibration.unit))

    low, high = ((float(end) - junction_mv) / per_input for end in table.emf_mv[[0, -1]])
    return Curve(of, low, high)


def _rtd(calibration: Calibration) -> Curve:
    at_zero = float(calibration.definition["rtd"].removeprefix("pt"))
    ohms_per_input = VOLTS[calibration.input_unit] / float(calibration.definition["excitation"])
    cold = np.linspace(_COLDEST, 0.0, round(-_COLDEST * _COLD_STEPS_A_KELVIN) + 1)
    cold_ratios = 1 + cold * (_A + cold * (_B + _C * (cold - 100.0) * cold))
    hottest_ratio = 1 + _HOTTEST * (_A + _HOTTEST * _B)

    def of(inputs: Floats) -> Floats:
        ratios = inputs * (ohms_per_input / at_zero)
        warm = (np.sqrt(np.maximum(_A * _A - 4 * _B * (1 - ratios), 0.0)) - _A) / (2 * _B)
        return from_celsius(np.where(ratios < 1, np.interp(ratios, cold_ratios, cold), warm), calibration.unit)

    low, high = (ratio * at_zero / ohms_per_input for ratio in (float(cold_ratios[0]), hottest_ratio))
    return Curve(of, low, high)


def _bridge(calibration: Calibration) -> Curve:
    definition: Any = calibration.definition
    per_volt = VOLTS[calibration.input_unit] / float(definition["excitation"])
    zero = float(definition.get("zero", 0.0)) / float(definition["excitation"])
    arms, factor = _ARMS[definition["bridge"]], float(definition["gauge_factor"])
    per_strain = STRAINS[calibration.unit]

    def of(inputs: Floats) -> Floats:
        ratios = inputs * per_volt - zero
        # One active arm makes the divider uneven; two or four keep it straight.
        strain = 4 * ratios / (factor * (1 - 2 * ratios)) if arms == 1 else 4 * ratios / (arms * factor)
        return strain * per_strain

    # At half of the excitation the strain of one arm would be without end.
    return Curve(of, -np.inf, np.nextafter((0.5 + zero) / per_volt, -np.inf)) if arms == 1 else Curve(of)


_CURVES: dict[str, Callable[[Calibration], Curve]] = {
    "linear": _linear,
    "polynomial": _polynomial,
    "points": _points,
    "thermocouple": _thermocouple,
    "rtd": _rtd,
    "bridge": _bridge,
}
