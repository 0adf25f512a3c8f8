"""One channel's codes as engineering values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.stream import Channel, SensorStatus


def engineering_values(
    channel: Channel, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None
) -> NDArray[np.float64]:
    """(n,) float64 in the channel's unit, codes as they are for a raw one; NaN where the sensor is not OK."""
    values = codes.astype(np.float64)
    if not channel.is_raw:
        values *= channel.scale
        values += channel.offset
    if sensor_status is not None:
        values[sensor_status != SensorStatus.OK] = np.nan
    return values


# By sensor status, for the long layout's `error_type` and `error_message`.
ERROR_TYPES: tuple[str | None, ...] = (None, "sensor_open", "sensor_low", "sensor_high")
ERROR_MESSAGES: tuple[str | None, ...] = (
    None,
    "the sensor is open",
    "below what the sensor can tell",
    "above what the sensor can tell",
)
