"""A program's blocks as what a writer takes: items in order, every hole announced."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.gaps import explained
from dtopipe.model.clock import Anchor, iso_utc
from dtopipe.model.daq import rate_hz_of
from dtopipe.model.errors import SinkSchemaError, SpecError
from dtopipe.model.sample_arrays import checked_array, measured
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Channel, SensorStatus, Stream
from dtopipe.sinks.programs.column_lock import ColumnLock
from dtopipe.sinks.programs.daq_times import error_texts, utc_ns_of

_log = logging.getLogger("dtopipe.sinks")
_ABSENT = np.array(SensorStatus.ABSENT, np.int8)


class BlockItems:
    """Blocks of one recording, in order of their sample indices; values are stored, in the channels' units.

    A hole before a block is a gap: of the board where the blocks say so, else what the recording dropped.
    """

    def __init__(self, output: str) -> None:
        self.columns = ColumnLock(output)
        self._output = output
        self._end: int | None = None
        self._anchor: Anchor | None = None
        self._stream: Stream | None = None
        self._error_since = False

    def goes_on(self, block: Any) -> bool:
        """False if this block begins before the end of what was taken: it is of another recording."""
        return block.error is not None or self._end is None or int(block.first_sample_index) >= self._end

    def begin_again(self) -> None:
        """Another recording of the same columns follows."""
        self._end = self._anchor = self._stream = None

    def stream_of(self, block: Any) -> Stream:
        """The stream that this block begins, or belongs to; fixes the columns."""
        self.columns.lock(block.channels, block.units)
        if self._stream is None:
            self._stream = stream_of(block, self._channels(block), "float64")
        return self._stream

    def items_of(self, block: Any) -> list[Block | Gap]:
        """What is to be appended for this block. Raises SinkSchemaError. `took` is to be called once it is."""
        names = [str(name) for name in block.channels]
        self.columns.check(names, block.units)
        anchor = anchor_of(block)
        if block.error is not None:
            return [self._error_block(block, anchor)]
        item = Block(int(block.block_index), anchor.sample_index, self._values(block), anchor, self._status(block))
        return [*self._gaps_before(block, anchor), item]

    def took(self, block: Any) -> None:
        """The block's items are appended."""
        if block.error is not None:
            self._error_since = True
            _log.warning("%s: block %d is an error: %s", self._output, block.block_index, block.error)
            return
        self._error_since = False
        self._anchor = anchor_of(block)
        self._end = self._anchor.sample_index + int(block.samples_per_channel)

    def _channels(self, block: Any) -> tuple[Channel, ...]:
        """The locked channels; what the block knows of them besides the unit is kept."""
        known = {channel.name: channel for channel in getattr(block, "calibration", None) or ()}
        found = []
        for name, unit in self.columns.units.items():
            channel = known.get(name, Channel(name))
            found.append(
                Channel(
                    name, unit, "voltage" if channel.is_raw else channel.kind, range=channel.range,
                    physical_channel=channel.physical_channel, details=channel.details,
                    calibration=None if channel.calibration is None else channel.calibration.applied(),
                )
            )  # fmt: skip
        return tuple(found)

    def _values(self, block: Any) -> NDArray[np.float64]:
        """(n_locked, n) float64, NaN for a channel that this block has not."""
        data = self._shaped(block, measured(block.data))
        names = self.columns.names
        if names == tuple(block.channels):
            return data
        rows = {name: row for row, name in enumerate(block.channels)}
        values = np.full((len(names or ()), data.shape[1]), np.nan)
        for number, name in enumerate(names or ()):
            if name in rows:
                values[number] = data[rows[name]]
        return values

    def _shaped(self, block: Any, data: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values, if they have one row a channel. Raises SinkSchemaError."""
        try:
            return checked_array("a block's data", data, len(block.channels), int(block.samples_per_channel))
        except SpecError as error:
            raise SinkSchemaError(None, f"{self._output}: {error}", "give an array of one row a channel") from error

    def _status(self, block: Any) -> NDArray[np.int8] | None:
        """(n_locked, n) int8, or None where every sensor is OK."""
        masks = {name: np.clip(mask, 0, SensorStatus.HIGH) for name, mask in block.sensor_status.items()}
        if np.ma.is_masked(block.data):
            absent = np.ma.getmaskarray(block.data)
            for row, name in enumerate(block.channels):
                masks[name] = np.where(absent[row], _ABSENT, masks.get(name, SensorStatus.OK))
        masks |= {name: _ABSENT for name in self.columns.units if name not in block.channels}
        if not any(np.any(mask) for mask in masks.values()):
            return None
        found = np.zeros((len(self.columns.units), int(block.samples_per_channel)), np.int8)
        for number, name in enumerate(self.columns.units):
            found[number] = masks.get(name, SensorStatus.OK)
        return found

    def _gaps_before(self, block: Any, anchor: Anchor) -> list[Gap]:
        before, clock = self._anchor, self.stream_of(block).clock
        if before is None or self._end is None or anchor.sample_index <= self._end:
            return []
        return explained(
            Span(self._end, anchor.sample_index),
            getattr(block, "gaps_before", ()),
            Cause.BOARD_OVERRUN if self._error_since else Cause.POLICY_DROP,
            lambda index: before.t_utc_ns + clock.offset_ns(index - before.sample_index),
        )

    def _error_block(self, block: Any, anchor: Anchor) -> Block:
        """No value of it is a measurement."""
        shape = (len(self.columns.units), int(block.samples_per_channel))
        status = np.full(shape, _ABSENT)
        error = error_texts(block.error)
        return Block(int(block.block_index), anchor.sample_index, np.full(shape, np.nan), anchor, status, error)


def anchor_of(block: Any) -> Anchor:
    """A block's first sample on both clocks."""
    t_utc_ns = getattr(block, "t_utc_ns", None)
    return Anchor(
        int(block.first_sample_index), int(block.t_mono_ns), utc_ns_of(block.t_utc) if t_utc_ns is None else t_utc_ns
    )


def stream_of(block: Any, channels: tuple[Channel, ...], dtype: str) -> Stream:
    """The stream that begins with this block: a recording with an id of its own."""
    return Stream(
        run_id=f"recording-{uuid.uuid4().hex}",
        task=str(block.task or ""),
        device=str(block.device),
        channels=channels,
        dtype=dtype,
        rate_hz=rate_hz_of(block),
        samples_per_block=max(1, int(block.samples_per_channel)),
        started_at=iso_utc(utc_ns_of(block.task_started_at)),
    )
