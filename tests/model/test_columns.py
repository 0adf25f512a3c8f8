"""What an output has of a stream whose channels are calibrated, need each other, or are virtual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import thermocouple_its90

from dtopipe.model.calibration_part import calibration_from
from dtopipe.model.clock import Anchor
from dtopipe.model.columns import Columns, tabular
from dtopipe.model.derived import DerivationError, circle_in
from dtopipe.model.engineering import EngineeringValues, engineering_values
from dtopipe.model.stream import VIRTUAL, Block, Channel, SensorStatus, Stream

SCALE = 0.2 / 65536
OPEN, OUT = SensorStatus.OPEN, SensorStatus.OUT_OF_RANGE


def calibrated(name: str, unit: str = "degC", scale: float = SCALE, **definition: Any) -> Channel:
    found = calibration_from({**definition, "unit": unit}, name)
    return Channel(name, unit, scale=scale, calibration=found)


def virtual(name: str, formula: str, **constants: float) -> Channel:
    return Channel(name, "W", VIRTUAL, formula=formula, constants=constants)


CJ = calibrated("cj", rtd="pt100", excitation=0.0005)
TC1 = calibrated("tc1", thermocouple="K", cjc="cj")
TC2 = calibrated("tc2", thermocouple="T", cjc=25)
FLUX = Channel("flux", "V", scale=20 / 65536)
COUNT = Channel("count", "", "raw")
POWER = virtual("power", "flux * area", area=0.01)


def stream_of(*channels: Channel, virtual: tuple[Channel, ...] = (), dtype: str = "int16") -> Stream:
    return Stream("r", "t", "d", channels, dtype, 1000.0, 100, "2026-01-01T00:00:00Z", virtual=virtual)


def block_of(codes: Any, status: Any = None, dtype: str = "int16") -> Block:
    found = None if status is None else np.array(status, np.int8)
    return Block(0, 0, np.array(codes, dtype), Anchor(0, 0, 0), found)


WHOLE = stream_of(FLUX, TC1, CJ, TC2, COUNT, virtual=(POWER,))


def test_a_raw_output_has_codes_and_no_virtual_channels() -> None:
    columns = Columns(WHOLE, None, as_codes=True)
    block = block_of(np.full((5, 3), 32767))
    assert columns.stream == WHOLE
    assert columns.of(block) is block
    some = Columns(WHOLE, ["cj", "tc1"], as_codes=True)
    assert [channel.name for channel in some.stream.channels] == ["cj", "tc1"]
    assert some.stream.virtual == (POWER,)
    assert some.of(block).sensor_status is None
    with pytest.raises(KeyError):
        Columns(WHOLE, ["power"], as_codes=True)


def test_what_needs_no_other_channel_stays_codes() -> None:
    columns = Columns(WHOLE, ["tc2", "flux", "count"], as_codes=False)
    assert (columns.stream.dtype, columns.stream.virtual) == ("int16", ())
    assert [channel.name for channel in columns.stream.channels] == ["tc2", "flux", "count"]
    codes = np.arange(20).reshape(5, 4) * 10
    found = columns.of(block_of(codes))
    assert found.codes.tolist() == codes[[3, 0, 4]].tolist()
    assert found.sensor_status is None


def test_what_is_beyond_a_calibration_is_told_apart_from_a_sensor_that_is_open() -> None:
    columns = Columns(stream_of(FLUX, TC2), None, as_codes=False)
    codes = [[0, 0, 32767], [32767, -32768, 0]]
    assert columns.of(block_of(codes)).sensor_status is not None
    found = columns.of(block_of(codes, [[0, 0, 0], [0, OPEN, 0]]))
    assert found.sensor_status is not None
    assert found.sensor_status.tolist() == [[0, 0, 0], [OUT, OPEN, 0]]
    values = EngineeringValues(columns.stream.channels)(found.codes, found.sensor_status)
    assert np.isnan(values).tolist() == [[False] * 3, [True, True, False]]


@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
def test_a_cold_junction_that_is_a_channel_is_taken_into_account(dtype: str) -> None:
    kind = thermocouple_its90.get("K")
    columns = Columns(stream_of(TC1, CJ, dtype=dtype), None, as_codes=False)
    hot, cold = np.linspace(-200, 1300, 40), np.linspace(-30, 60, 40)
    ohms = 100 * (1 + 3.9083e-3 * cold - 5.775e-7 * cold**2)
    volts = np.array([[kind.emf(h, c) * 1e-3 for h, c in zip(hot, cold, strict=True)], ohms * 0.0005])
    if dtype == "float64":
        of_channel = np.array([[1 / SCALE], [1 / SCALE]])
        found = columns.of(block_of(volts * of_channel, dtype=dtype))
    else:
        found = columns.of(block_of(np.rint(volts / SCALE), dtype=dtype))
    assert columns.stream.dtype == "float64"
    # A code of 3 uV is 0.08 K, and in the cold 0.2 K; of the resistor 0.015 K.
    assert np.abs(found.codes[0] - hot).max() < (0.01 if dtype == "float64" else 0.15)
    assert np.abs(found.codes[1] - cold).max() < 0.03
    # They are the values: nothing is applied a second time.
    values = EngineeringValues(columns.stream.channels)(found.codes, None)
    assert np.array_equal(values, found.codes)
    assert [channel.calibration.is_applied for channel in columns.stream.channels if channel.calibration] == [True] * 2


def test_a_value_of_one_channel_is_the_same_whatever_stands_beside_it() -> None:
    codes = np.random.default_rng(3).integers(-2000, 20000, (5, 500))
    everything = tabular(WHOLE)
    whole = everything.of(block_of(codes))
    assert [channel.name for channel in everything.stream.channels] == ["flux", "tc1", "cj", "tc2", "count", "power"]
    for number, channel in enumerate(everything.stream.channels):
        alone = Columns(WHOLE, [channel.name], as_codes=False)
        part = alone.of(block_of(codes))
        values = engineering_values(alone.stream.channels[0], part.codes[0], None)
        if part.sensor_status is not None:
            values[part.sensor_status[0] != 0] = np.nan
        assert np.array_equal(values, whole.codes[number], equal_nan=True)
        status = np.zeros(500) if part.sensor_status is None else part.sensor_status[0]
        assert whole.sensor_status is not None
        assert np.array_equal(status, whole.sensor_status[number])


def test_a_null_input_makes_a_null_value_with_its_own_reason() -> None:
    columns = Columns(WHOLE, ["power", "tc1"], as_codes=False)
    codes = np.full((5, 4), 17000)
    codes[2, 3] = -32768
    status = np.zeros((5, 4), np.int8)
    status[0, 0] = OPEN
    status[2, 1] = SensorStatus.LOW
    found = columns.of(block_of(codes, status))
    assert found.sensor_status is not None
    assert found.sensor_status.tolist() == [[OPEN, 0, 0, 0], [0, SensorStatus.LOW, 0, OUT]]
    assert np.isnan(found.codes).tolist() == [[True, False, False, False], [False, True, False, True]]


def test_virtual_channels_may_be_made_of_others_and_be_a_cold_junction() -> None:
    mean = Channel("mean", "degC", VIRTUAL, formula="(cj + cj2) / 2")
    double = virtual("double", "mean * 2")
    tc = calibrated("tc", thermocouple="K", cjc="mean")
    cj2 = calibrated("cj2", rtd="pt100", excitation=0.0005)
    stream = stream_of(tc, CJ, cj2, virtual=(double, mean))
    columns = Columns(stream, ["double", "mean", "tc"], as_codes=False)
    found = columns.of(block_of([[0], [17000], [18000]])).codes[:, 0]
    assert found[0] == found[1] * 2
    assert found[2] == pytest.approx(found[1], abs=1e-3)


def test_channels_that_are_not_there_or_need_each_other_are_refused() -> None:
    with pytest.raises(DerivationError, match="'tc1' needs 'cj'"):
        Columns(stream_of(TC1), None, as_codes=False)
    with pytest.raises(DerivationError, match="a -> b -> a"):
        Columns(stream_of(FLUX, virtual=(virtual("a", "b"), virtual("b", "a"))), ["a"], as_codes=False)
    with pytest.raises(DerivationError, match="no temperature"):
        Columns(stream_of(calibrated("t", thermocouple="K", cjc="flux"), FLUX), None, as_codes=False)
    # A file may lack some: the others count.
    assert [channel.name for channel in tabular(stream_of(FLUX, TC1, virtual=(POWER,))).stream.channels] == [
        "flux",
        "power",
    ]


def test_a_circle_is_named_wherever_it_begins() -> None:
    assert circle_in({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]
    assert circle_in({"a": ["a"]}) == ["a", "a"]
    assert circle_in({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == []
    assert circle_in({str(n): [str(n + 1)] for n in range(5000)}) == []
