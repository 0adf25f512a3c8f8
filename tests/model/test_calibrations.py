"""Calibrations by themselves: from inputs to values, and back to codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import thermocouple_its90

from dtopipe.model.calibration import Calibration
from dtopipe.model.calibration_part import calibration_from
from dtopipe.model.curves import curve_of
from dtopipe.model.engineering import EngineeringValues, codes_of, engineering_values
from dtopipe.model.facts import Misfit
from dtopipe.model.stream import Channel, SensorStatus
from dtopipe.model.thermocouples import thermocouple_table

# NIST ITS-90 Thermocouple Database (SRD 60): degC and mV against a junction at 0 degC.
PUBLISHED = {
    "B": {250: 0.291, 500: 1.242, 1000: 4.834, 1500: 10.099, 1820: 13.820},
    "E": {-270: -9.835, -200: -8.825, -100: -5.237, 0: 0.0, 100: 6.319, 500: 37.005, 1000: 76.373},
    "J": {-210: -8.095, -100: -4.633, 0: 0.0, 100: 5.269, 500: 27.393, 760: 42.919, 1000: 57.953, 1200: 69.553},
    "K": {-270: -6.458, -200: -5.891, -100: -3.554, 0: 0.0, 100: 4.096, 500: 20.644, 1000: 41.276, 1372: 54.886},
    "N": {-270: -4.345, -200: -3.990, -100: -2.407, 0: 0.0, 100: 2.774, 500: 16.748, 1000: 36.256, 1300: 47.513},
    "R": {-50: -0.226, 0: 0.0, 100: 0.647, 500: 4.471, 1000: 10.506, 1500: 17.451, 1768: 21.101},
    "S": {-50: -0.236, 0: 0.0, 100: 0.646, 500: 4.233, 1000: 9.587, 1500: 15.582, 1768: 18.693},
    "T": {-270: -6.258, -200: -5.603, -100: -3.379, 0: 0.0, 100: 4.279, 200: 9.288, 300: 14.862, 400: 20.872},
}
# Published to 1 uV.
ROUNDING_MV = 0.00051
# IEC 60751, in ohms.
PT100 = {-200: 18.52, -100: 60.26, 0: 100.0, 100: 138.51, 200: 175.86, 400: 247.09, 600: 313.71, 850: 390.48}


def calibration(unit: str = "", input_unit: str = "V", **definition: Any) -> Calibration:
    return calibration_from({**definition, "input_unit": input_unit, **({"unit": unit} if unit else {})}, "here")


def values(of: Calibration, *inputs: float) -> list[float]:
    found: list[float] = curve_of(of)(np.array(inputs)).tolist()
    return found


@pytest.mark.parametrize("letter", PUBLISHED)
def test_a_thermocouple_has_the_voltages_that_nist_has_published(letter: str) -> None:
    for celsius, emf_mv in PUBLISHED[letter].items():
        assert thermocouple_its90.get(letter).emf(celsius) == pytest.approx(emf_mv, abs=ROUNDING_MV)


@pytest.mark.parametrize("letter", PUBLISHED)
def test_a_thermocouple_gives_the_published_temperatures_to_a_tenth_of_a_degree(letter: str) -> None:
    kind = thermocouple_its90.get(letter)
    of = calibration(thermocouple=letter, cjc=0)
    for celsius, emf_mv in PUBLISHED[letter].items():
        # What a rounded voltage cannot tell: 2 uV a kelvin, and less near absolute zero.
        slack = ROUNDING_MV / abs(kind.seebeck(celsius))
        low_mv, high_mv = thermocouple_table(letter).emf_mv[[0, -1]].tolist()
        inside = np.clip(emf_mv, low_mv + 1e-9, high_mv - 1e-9)
        assert values(of, inside * 1e-3)[0] == pytest.approx(celsius, abs=0.1 + slack)


@pytest.mark.parametrize("letter", PUBLISHED)
@pytest.mark.parametrize("junction", [0.0, 25.0])
def test_a_thermocouple_is_right_to_a_hundredth_of_a_degree_over_all_of_its_range(letter: str, junction: float) -> None:
    kind = thermocouple_its90.get(letter)
    low, high = thermocouple_table(letter).celsius[[0, -1]].tolist()
    celsius = np.linspace(low, high, 2003)[1:-1]
    volts = np.array([kind.emf(each, junction) * 1e-3 for each in celsius.tolist()])
    found = curve_of(calibration(thermocouple=letter, cjc=junction))(volts)
    assert np.abs(found - celsius).max() < 0.01


def test_a_thermocouple_has_no_value_beyond_its_table() -> None:
    low_mv, high_mv = thermocouple_table("K").emf_mv[[0, -1]].tolist()
    found = values(calibration(thermocouple="K", cjc=0), low_mv * 1e-3 - 1e-9, 0.0, high_mv * 1e-3 + 1e-9)
    assert np.isnan(found).tolist() == [True, False, True]


def test_temperatures_are_in_the_unit_that_is_asked_for() -> None:
    for unit, at_100 in (("degC", 100.0), ("K", 373.15), ("degF", 212.0)):
        assert values(calibration(unit, thermocouple="K", cjc=0), 4.096e-3)[0] == pytest.approx(at_100, abs=0.05)


def test_a_range_in_millivolts_is_taken_as_millivolts() -> None:
    assert values(calibration(input_unit="mV", thermocouple="K", cjc=0), 4.096)[0] == pytest.approx(100, abs=0.05)


@pytest.mark.parametrize("at_zero", [100, 200, 500, 1000])
def test_a_platinum_resistor_has_the_values_of_iec_60751(at_zero: int) -> None:
    of = calibration(rtd=f"pt{at_zero}", excitation=0.001)
    volts = [ohms * at_zero / 100 * 0.001 for ohms in PT100.values()]
    found = curve_of(of)(np.clip(volts, curve_of(of).low, curve_of(of).high))
    assert np.abs(found - list(PT100)).max() < 0.03
    assert np.isnan(values(of, 0.1 * 0.39 * at_zero / 100 * 0.1, 0.4 * at_zero / 100)).tolist() == [True, True]


def test_lines_polynomials_and_points() -> None:
    assert values(calibration("bar", linear={"scale": 25, "offset": -12.5}), 0.5, 1.0) == [0.0, 12.5]
    assert values(calibration("bar", linear={"scale": 25}), 2.0) == [50.0]
    assert values(calibration("W", polynomial=[1, 2, 3]), 0.0, 2.0) == [1.0, 17.0]
    assert values(calibration("W", polynomial=[7]), 0.0, 2.0) == [7.0, 7.0]
    points = [[0, 0], [5, 100], [9, 120]]
    within = values(calibration("mm", points=points), -0.1, 0, 2.5, 7, 9, 9.1)
    assert np.isnan(within).tolist() == [True, False, False, False, False, True]
    assert within[1:5] == [0.0, 50.0, 110.0, 120.0]
    assert values(calibration("mm", points=points, extrapolate=True), -1, 10) == [-20.0, 125.0]


def test_strain_gauges() -> None:
    # Output over excitation is gauge factor times strain, a quarter for each active arm.
    assert values(calibration(bridge="full", excitation=5, gauge_factor=2), 0.01)[0] == pytest.approx(1000)
    assert values(calibration(bridge="half", excitation=5, gauge_factor=2), 0.01)[0] == pytest.approx(2000)
    # Of one arm the exact divider: (R + dR) / (2R + dR) - 1/2.
    strain = 2e-3
    ratio = (1 + 2 * strain) / (2 + 2 * strain) - 0.5
    quarter = calibration(bridge="quarter", excitation=5, gauge_factor=2, zero=0.001)
    assert values(quarter, 5 * ratio + 0.001)[0] == pytest.approx(2000)
    assert np.isnan(values(quarter, 2.6)).all()
    assert values(calibration("m/m", bridge="full", excitation=5, gauge_factor=2), 0.01)[0] == pytest.approx(1e-3)


EACH_KIND = [
    calibration("bar", linear={"scale": -25, "offset": 3}),
    calibration("W", polynomial=[1, 2, 0, 0.5]),
    calibration("mm", points=[[-0.05, 10], [0, 1], [0.06, -7]]),
    calibration(thermocouple="K", cjc=25),
    calibration(rtd="pt100", excitation=0.0003),
    calibration(bridge="quarter", excitation=5, gauge_factor=2.1),
]


@pytest.mark.parametrize("of", EACH_KIND, ids=lambda of: of.kind)
@pytest.mark.parametrize("scale", [3e-6, -3e-6])
def test_16_bit_codes_have_the_values_of_their_inputs_by_a_table(of: Calibration, scale: float) -> None:
    channel = Channel("a", scale=scale, offset=0.001, calibration=of)
    codes = np.arange(-32768, 32768).astype(np.int16)
    wanted = curve_of(of)(np.asarray(codes * scale + 0.001, np.float64))
    assert np.array_equal(engineering_values(channel, codes, None), wanted, equal_nan=True)
    # The same from 32-bit codes and from volts, and of all channels at once.
    assert np.array_equal(engineering_values(channel, codes.astype(np.int32), None), wanted, equal_nan=True)
    together = EngineeringValues([channel, Channel("b", scale=2.0)])(np.stack([codes, codes]), None)
    assert np.array_equal(together, [wanted, codes * 2.0], equal_nan=True)
    status = np.zeros(len(codes), np.int8)
    status[7] = SensorStatus.OPEN
    assert np.isnan(engineering_values(channel, codes, status)[7])
    assert np.array_equal(engineering_values(channel, codes, None), wanted, equal_nan=True)


@pytest.mark.parametrize("of", EACH_KIND, ids=lambda of: of.kind)
@pytest.mark.parametrize("scale", [3e-6, -3e-6])
@pytest.mark.parametrize("dtype", [np.dtype(np.int16), np.dtype(np.int32)], ids=str)
def test_values_lead_back_to_codes(of: Calibration, scale: float, dtype: np.dtype[Any]) -> None:
    channel = Channel("a", scale=scale, offset=0.001, calibration=of)
    codes = np.arange(-32768, 32768, 7).astype(dtype)
    found = engineering_values(channel, codes, None)
    is_there = np.isfinite(found)
    assert is_there.sum() > 1000
    assert codes_of(channel, found[is_there], dtype).tolist() == codes[is_there].tolist()


@pytest.mark.parametrize("of", EACH_KIND, ids=lambda of: of.kind)
def test_a_calibration_comes_back_out_of_its_facts(of: Calibration) -> None:
    assert calibration_from(of.facts(), "here") == of
    assert calibration_from(of.applied().facts(), "here") == of.applied()


@pytest.mark.parametrize(
    "facts",
    [
        3,
        {},
        {"thermocouple": "Q", "cjc": 0},
        {"thermocouple": "K"},
        {"thermocouple": "K", "cjc": True},
        {"points": [[0, 0]], "unit": "m"},
        {"points": [[0, 0], [0, 1]], "unit": "m"},
        {"points": 4, "unit": "m"},
        {"linear": {"scale": 1}, "polynomial": [1], "unit": "m"},
        {"polynomial": [float("inf")], "unit": "m"},
        {"polynomial": [1.0] * 1000, "unit": "m"},
        {"rtd": "pt100", "excitation": 0, "unit": "degC"},
        {"rtd": "pt100", "excitation": 1e-3, "input_unit": "bar"},
        {"rtd": "pt100", "excitation": 1e-3, "instead_of": 3},
        {"rtd": "pt100", "excitation": 1e-3, "is_applied": 3},
        {3: 4},
    ],
)
def test_a_strangers_calibration_is_looked_at(facts: Any) -> None:
    with pytest.raises(Misfit):
        calibration_from(facts, "here")


def test_what_a_later_version_says_besides_is_passed_over() -> None:
    assert calibration_from({"thermocouple": "K", "cjc": 3, "colour": "green"}, "here").kind == "thermocouple"
