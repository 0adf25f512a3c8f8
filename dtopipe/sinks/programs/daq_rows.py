"""Readings and blocks as plain rows, for programs that store them in their own way; our sinks do not need it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np

from dtopipe.model.daq import sample_offsets_ns
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.sample_arrays import measured
from dtopipe.model.stream import Channel
from dtopipe.sinks.programs.daq_times import error_texts

Row: TypeAlias = dict[str, float | int | str | bool | None]


def reading_to_row(reading: Any) -> Row:
    """One row, its columns named as in a readings table: `reading_columns` without the number."""
    channels = [Channel(name) for name in reading.values]
    names = [column.name for column in reading_columns(channels)[1:]]
    error_type, error_message = error_texts(reading.error) or (None, None)
    values = (
        reading.t_mono_ns,
        reading.t_utc.isoformat(),
        reading.device,
        reading.task,
        reading.t_midpoint_mono_ns,
        reading.requested_at.isoformat(),
        reading.received_at.isoformat(),
        reading.latency_s,
        *reading.values.values(),
        *(reading.units.get(channel.name) for channel in channels),
        error_type,
        error_message,
    )
    return dict(zip(names, values, strict=True))


def block_to_rows(block: Any) -> list[Row]:
    """One row a channel and sample, one channel's behind the other's; no value where the block is an error."""
    error_type, error_message = error_texts(block.error) or (None, None)
    offsets_ns = sample_offsets_ns(block).tolist()
    values, is_masked = measured(block.data), np.ma.getmaskarray(block.data)
    return [
        {
            "device": block.device,
            "task": block.task,
            "channel": channel,
            "block_index": block.block_index,
            "sample_index": block.first_sample_index + number,
            "t_mono_ns": block.t_mono_ns + offset_ns,
            "t_utc": (block.t_utc + timedelta(microseconds=offset_ns / 1000)).isoformat(),
            "value": None if block.error is not None or is_masked[row, number] else float(values[row, number]),
            "unit": block.units.get(channel),
            "error_type": error_type,
            "error_message": error_message,
        }
        for row, channel in enumerate(block.channels)
        for number, offset_ns in enumerate(offsets_ns)
    ]
