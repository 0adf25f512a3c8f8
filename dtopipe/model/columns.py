"""What one output has of a stream: which channels, as codes or as values, and each block as it goes into that output.

Sinks, conversions, verification and repair all ask here, so that the values of a channel are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.curves import Curve, curve_of
from dtopipe.model.derived import DerivationError, DerivedValues, needs_others
from dtopipe.model.engineering import EngineeringValues, pending_calibration
from dtopipe.model.stream import Block, Channel, Origin, SensorStatus, Stream


class Columns:
    """The stream of one output, and its blocks.

    `chosen`: names of channels, in the order of the output; None for all, virtual ones last. `as_codes`: of a raw
    output, which has the board's codes as they are, and no virtual channels. Raises KeyError for a name that there is
    not, DerivationError for a channel that cannot be worked out.

    Calibrations that need their own channel alone stay to be applied to the codes, and only what is out of their range
    is marked as such. Where a channel needs others, the output's stream has values for codes: float64 in units.
    """

    def __init__(self, stream: Stream, chosen: Sequence[str] | None, *, as_codes: bool) -> None:
        self._rows: list[int] | None = None
        self._derived: DerivedValues | None = None
        self._limits: _Limits | None = None
        self._origins: tuple[Channel | None, ...] = ()
        rows = {channel.name: row for row, channel in enumerate(stream.channels)}
        known = {channel.name: channel for channel in (*stream.channels, *(() if as_codes else stream.virtual))}
        names = list(chosen) if chosen else list(known)
        channels = [known[name] for name in names]
        if as_codes or not any(map(needs_others, channels)):
            if names != list(rows):
                self._rows = [rows[name] for name in names]
            self.stream = stream if self._rows is None else stream.selected(self._rows)
            if not as_codes:
                self.stream = replace(self.stream, virtual=())
                self._limits = _Limits.of(self.stream.channels)
            return
        self._derived = DerivedValues(stream.channels, stream.virtual, names)
        if stream.dtype == "int16":
            # The row of a channel that needs others is any: nobody looks there.
            self._origin_rows = [rows.get(name, 0) for name in names]
            self._origins = tuple(None if needs_others(channel) else channel for channel in channels)
        self.stream = replace(stream, channels=tuple(map(_as_values, channels)), dtype="float64", virtual=())

    def of(self, block: Block) -> Block:
        """What of a block of the whole stream goes into the output."""
        if self._derived is not None:
            found = self._derived.of(block.codes, block.sensor_status)
            return replace(
                block,
                codes=np.stack([each.values for each in found]),
                sensor_status=_stacked([each.status for each in found], block.n_samples),
                made_of=Origin(self._origins, block.codes[self._origin_rows]) if any(self._origins) else None,
            )
        if self._rows is not None:
            block = block.selected(self._rows)
        return block if self._limits is None else self._limits.marked(block)


def tabular(stream: Stream) -> Columns:
    """All columns of tables of this stream that can be worked out; a raw file may lack channels that others need."""
    try:
        return Columns(stream, None, as_codes=False)
    except DerivationError:
        names = [channel.name for channel in (*stream.channels, *stream.virtual) if _can_be(stream, channel)]
        return Columns(stream, names, as_codes=False)


def _can_be(stream: Stream, channel: Channel) -> bool:
    try:
        DerivedValues(stream.channels, stream.virtual, [channel.name])
    except DerivationError:
        return False
    return True


class RowValues:
    """The values of some columns of a raw file, of its codes. NaN for one that lacks a channel it needs.

    Raises KeyError for a name that there is not.
    """

    def __init__(self, stream: Stream, names: Sequence[str]) -> None:
        known = {channel.name: channel for channel in (*stream.channels, *stream.virtual)}
        able = [name for name in names if _can_be(stream, known[name])]
        self._places = [able.index(name) if name in able else None for name in names]
        self._columns = Columns(stream, able, as_codes=False) if able else None
        self._values = EngineeringValues(self._columns.stream.channels) if self._columns is not None else None

    def __call__(self, codes: NDArray[Any], sensor_status: NDArray[np.int8] | None) -> list[NDArray[np.float64]]:
        """(n,) float64 of each column, of (n_channels, n) codes and sensor status."""
        n = codes.shape[1]
        if self._columns is None or self._values is None:
            return [np.full(n, np.nan) for _ in self._places]
        block = self._columns.of(Block(0, 0, codes, Anchor(0, 0, 0), sensor_status))
        values = self._values(block.codes, block.sensor_status)
        return [np.full(n, np.nan) if place is None else values[place] for place in self._places]


class _Limits:
    """Marks what is outside of the range of calibrations that have one."""

    def __init__(self, rows: Sequence[int], channels: Sequence[Channel], curves: Sequence[Curve]) -> None:
        self._rows = list(rows)
        scalings = [channel.input_scaling for channel in channels]
        self._scale = np.array([scale for scale, _ in scalings])[:, None]
        self._offset = np.array([offset for _, offset in scalings])[:, None]
        self._low = np.array([curve.low for curve in curves])[:, None]
        self._high = np.array([curve.high for curve in curves])[:, None]

    @classmethod
    def of(cls, channels: Sequence[Channel]) -> _Limits | None:
        """Those of these channels; None where there are none."""
        found = []
        for row, channel in enumerate(channels):
            calibration = pending_calibration(channel)
            curve = None if calibration is None else curve_of(calibration)
            if curve is not None and (np.isfinite(curve.low) or np.isfinite(curve.high)):
                found.append((row, channel, curve))
        return cls(*zip(*found, strict=True)) if found else None

    def marked(self, block: Block) -> Block:
        """The block, with OUT_OF_RANGE in its status wherever that is so, and the sensor is OK."""
        codes = block.codes if len(self._rows) == len(block.codes) else block.codes[self._rows]
        if not block.n_samples:
            return block
        ends = np.stack([np.fmin.reduce(codes, axis=1), np.fmax.reduce(codes, axis=1)], axis=1)
        if not self._outside(ends).any():
            return block
        status = np.zeros(block.codes.shape, np.int8) if block.sensor_status is None else block.sensor_status.copy()
        own = status[self._rows]
        own[self._outside(codes) & (own == SensorStatus.OK)] = SensorStatus.OUT_OF_RANGE
        status[self._rows] = own
        return replace(block, sensor_status=status)

    def _outside(self, codes: NDArray[Any]) -> NDArray[np.bool_]:
        # Inputs rise or fall with codes, so that those of the ends are the ends, to the last bit.
        inputs = codes * self._scale + self._offset
        found: NDArray[np.bool_] = (inputs < self._low) | (inputs > self._high)
        return found


def _as_values(channel: Channel) -> Channel:
    """The channel of a stream that has its values for codes."""
    calibration = None if channel.calibration is None else channel.calibration.applied()
    return replace(channel, scale=1.0, offset=0.0, calibration=calibration)


def _stacked(statuses: Sequence[NDArray[np.int8] | None], n_samples: int) -> NDArray[np.int8] | None:
    if all(status is None for status in statuses):
        return None
    return np.stack([np.zeros(n_samples, np.int8) if status is None else status for status in statuses])
