"""One channel's codes as engineering values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.stream import Channel, SensorStatus

# So many are scaled at once that they are still in the processor's cache when the offset comes.
_CHUNK = 2**14


def engineering_values(
    channel: Channel, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None
) -> NDArray[np.float64]:
    """(n,) float64 in the channel's unit, codes as they are for a raw one; NaN where the sensor is not OK.

    It may be `codes` itself.
    """
    if not _is_scaled(channel):
        values = codes.astype(np.float64, copy=sensor_status is not None)
    else:
        values = np.empty(codes.shape)
        for at in range(0, len(codes), _CHUNK):
            part = values[at : at + _CHUNK]
            np.multiply(codes[at : at + _CHUNK], channel.scale, out=part)
            part += channel.offset
    if sensor_status is not None:
        values[sensor_status != SensorStatus.OK] = np.nan
    return values


def _is_scaled(channel: Channel) -> bool:
    """False where code and value are the same; adding an offset of 0 would take the sign of -0.0."""
    return not channel.is_raw and (channel.scale, channel.offset) != (1.0, 0.0)


class EngineeringValues:
    """All channels of a stream at once: what `engineering_values` gives for each, without a call for each."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        is_scaled = [_is_scaled(channel) for channel in channels]
        self._any_scaled = any(is_scaled)
        # A mask makes numpy many times as slow: only where some channels are scaled and some are not.
        self._where: NDArray[np.bool_] | bool = True if all(is_scaled) else np.array(is_scaled)[:, None]
        self._scale = np.array([channel.scale for channel in channels])[:, None]
        self._offset = np.array([channel.offset for channel in channels])[:, None]

    def __call__(self, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None) -> NDArray[np.float64]:
        """(n_channels, n) float64 of (n_channels, n) codes; NaN where the sensor is not OK."""
        values = codes.astype(np.float64)
        if self._any_scaled:
            np.multiply(values, self._scale, out=values, where=self._where)
            np.add(values, self._offset, out=values, where=self._where)
        if sensor_status is not None:
            values[sensor_status != SensorStatus.OK] = np.nan
        return values


# By sensor status, for the long layout's `error_type` and `error_message`.
ERROR_TYPES: tuple[str | None, ...] = (None, "sensor_open", "sensor_low", "sensor_high", "absent")
ERROR_MESSAGES: tuple[str | None, ...] = (
    None,
    "the sensor is open",
    "below what the sensor can tell",
    "above what the sensor can tell",
    "the driver gave an error instead of this block, or the channel was not in it",
)
