"""One channel's codes as engineering values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.calibration import Calibration
from dtopipe.model.curves import curve_of
from dtopipe.model.stream import Channel, SensorStatus

# So many are scaled at once that they are still in the processor's cache when the offset comes.
_CHUNK = 2**14
_N_CODES = 65_536


def engineering_values(
    channel: Channel, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None
) -> NDArray[np.float64]:
    """(n,) float64 in the channel's unit, codes as they are for a raw one; NaN where the sensor is not OK.

    NaN also where the channel's calibration has no value. It may be `codes` itself. Raises ValueError for a channel
    whose values need other channels: `derived.DerivedValues` has these.
    """
    calibration = pending_calibration(channel)
    if calibration is not None:
        values = _calibrated(calibration, channel, codes)
    elif not _is_scaled(channel):
        values = codes.astype(np.float64, copy=sensor_status is not None)
    else:
        values = inputs_of(channel, codes)
    if sensor_status is not None:
        values[sensor_status != SensorStatus.OK] = np.nan
    return values


def pending_calibration(channel: Channel) -> Calibration | None:
    """The calibration that is still to be applied to the channel's codes; None where there is none."""
    calibration = channel.calibration
    return None if calibration is None or calibration.is_applied else calibration


def inputs_of(channel: Channel, codes: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) float64, new memory: what the board measured, in the channel's `input_unit`."""
    scale, offset = channel.input_scaling
    if (scale, offset) == (1.0, 0.0):
        return codes.astype(np.float64)
    values = np.empty(codes.shape)
    for at in range(0, len(codes), _CHUNK):
        part = values[at : at + _CHUNK]
        np.multiply(codes[at : at + _CHUNK], scale, out=part)
        part += offset
    return values


def codes_of(channel: Channel, values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """(n,) codes of (n,) finite values, as far as there are any: what they give has to be looked at.

    Of a calibration they are looked for between the ends of its range, which is right where it rises or falls.
    """
    scale, offset = channel.input_scaling
    calibration = pending_calibration(channel)
    if calibration is None:
        scaled: NDArray[np.int64] = np.rint(values if (scale, offset) == (1.0, 0.0) else (values - offset) / scale)
        return scaled.astype(np.int64)
    curve = curve_of(calibration)
    if dtype.kind == "f":
        raise ValueError(f"the inputs of {channel.name} are no codes")
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    ends = sorted((limit - offset) / scale for limit in (curve.low, curve.high))
    lowest, highest = int(np.ceil(max(ends[0], least))), int(np.floor(min(ends[1], most)))
    low, high = np.full(values.shape, lowest), np.full(values.shape, highest)
    first, last = curve.function(inputs_of(channel, np.array([lowest, highest]))).tolist()
    while bool((low < high).any()):
        middle = (low + high) // 2
        found = curve.function(inputs_of(channel, middle))
        is_behind = found < values if first < last else found > values
        low, high = np.where(is_behind, middle + 1, low), np.where(is_behind, high, middle)
    return low


def _calibrated(calibration: Calibration, channel: Channel, codes: NDArray[Any]) -> NDArray[np.float64]:
    if codes.dtype == np.int16:
        scale, offset = channel.input_scaling
        table, bits = _table(calibration, scale, offset), codes.view(np.uint16)
        values = np.empty(codes.shape)
        for at in range(0, len(codes), _CHUNK):
            # No code is beyond the table: with `clip` numpy writes straight into `out`.
            table.take(bits[at : at + _CHUNK], out=values[at : at + _CHUNK], mode="clip")
        return values
    return curve_of(calibration)(inputs_of(channel, codes))


@lru_cache(maxsize=1024)
def _table(calibration: Calibration, scale: float, offset: float) -> NDArray[np.float64]:
    """The values of all 16-bit codes, by the code's bits."""
    codes = np.arange(_N_CODES, dtype=np.uint16).view(np.int16)
    return curve_of(calibration)(inputs_of(Channel("", scale=scale, offset=offset), codes))


def _is_scaled(channel: Channel) -> bool:
    """False where code and value are the same; adding an offset of 0 would take the sign of -0.0."""
    return channel.input_scaling != (1.0, 0.0)


class EngineeringValues:
    """All channels of a stream at once: what `engineering_values` gives for each, without a call for each."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        is_scaled = [_is_scaled(channel) for channel in channels]
        self._any_scaled = any(is_scaled)
        # A mask makes numpy many times as slow: only where some channels are scaled and some are not.
        self._where: NDArray[np.bool_] | bool = True if all(is_scaled) else np.array(is_scaled)[:, None]
        self._scale = np.array([channel.scale for channel in channels])[:, None]
        self._offset = np.array([channel.offset for channel in channels])[:, None]
        self._channels = channels
        self._calibrated = [number for number, channel in enumerate(channels) if pending_calibration(channel)]

    def __call__(self, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None) -> NDArray[np.float64]:
        """(n_channels, n) float64 of (n_channels, n) codes; NaN where the sensor is not OK."""
        if len(self._calibrated) == len(self._channels):
            values = np.empty(codes.shape)
        else:
            values = codes.astype(np.float64)
            if self._any_scaled:
                np.multiply(values, self._scale, out=values, where=self._where)
                np.add(values, self._offset, out=values, where=self._where)
        for number in self._calibrated:
            values[number] = engineering_values(self._channels[number], codes[number], None)
        if sensor_status is not None:
            values[sensor_status != SensorStatus.OK] = np.nan
        return values


# By sensor status, for the long layout's `error_type` and `error_message`.
ERROR_TYPES: tuple[str | None, ...] = (None, "sensor_open", "sensor_low", "sensor_high", "absent", "out_of_range")
ERROR_MESSAGES: tuple[str | None, ...] = (
    None,
    "the sensor is open",
    "below what the sensor can tell",
    "above what the sensor can tell",
    "the driver gave an error instead of this block, or the channel was not in it",
    "the calibration or formula has no value here",
)
