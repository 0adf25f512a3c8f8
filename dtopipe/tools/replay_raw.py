"""Reads `.dt-raw` v2 files block by block: ours, and those of the driver library's RawCountsSink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.daq import DaqBlock
from dtopipe.model.errors import BufferOverrun, SinkError, WireError
from dtopipe.model.stream import Channel
from dtopipe.sinks.outputs import sink_errors
from dtopipe.sinks.values import EngineeringValues
from dtopipe.wire.dtraw import (
    OVERRUN_FLAG,
    ChunkHeader,
    FileHeader,
    decode_status,
    file_header_document,
    iter_chunks,
)
from dtopipe.wire.dtraw import (
    read_file_header as file_header_of,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REMEDY = "the blocks before it are whole"


@dataclass(frozen=True, slots=True)
class RawFileHeader:
    """What stands at the beginning of a `.dt-raw` file; `raw` is all of it, `channels` a mapping each."""

    format_version: int
    task: str | None
    device: str
    channels: list[Mapping[str, Any]]
    sample_rate_hz: float | None
    block_period_ns: int | None
    dtype: str
    n_channels: int
    samples_per_buffer: int
    task_started_at: datetime | None
    metadata: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False)


def read_file_header(path: str | Path) -> RawFileHeader:
    """The file's header. Raises SinkError where it cannot be read, or is none."""
    where = Path(path)
    try:
        with sink_errors(where):
            raw = file_header_document(where)
            header = file_header_of(where)
    except WireError as error:
        raise SinkError(None, str(error), "name a .dt-raw file") from error
    return RawFileHeader(
        format_version=int(raw.get("format_version") or 0),
        task=raw.get("task"),
        device=header.device,
        channels=list(raw["channels"]),
        sample_rate_hz=header.sample_rate_hz or None,
        block_period_ns=raw.get("block_period_ns"),
        dtype=header.dtype,
        n_channels=len(header.channels),
        samples_per_buffer=header.samples_per_buffer,
        task_started_at=_moment(raw.get("task_started_at")),
        metadata=header.metadata,
        raw=raw,
    )


def iter_blocks(path: str | Path) -> Iterator[DaqBlock]:
    """Every chunk of the file as a block, in order.

    `raw_codes` are the stored ones; `data` is in each channel's unit where the file says how (`is_linearised`), else
    the codes as float64. A gap is a block of no samples with a BufferOverrun, a chunk flagged `overrun_marker` has one
    beside its samples. Raises SinkError where the file cannot be read, or behind the last whole chunk where it is cut.
    """
    where = Path(path)
    header = read_file_header(where)
    values = _Values(file_header_of(where))
    try:
        with sink_errors(where):
            for chunk, codes in iter_chunks(where):
                yield _block(header, values, chunk, codes)
    except WireError as error:
        raise SinkError(None, f"truncated or damaged: {error}", _REMEDY) from error


class _Values:
    """Codes into values, where the header has scales."""

    def __init__(self, header: FileHeader) -> None:
        self.names = tuple(channel.name for channel in header.channels)
        self.units = {channel.name: channel.unit or None for channel in header.channels}
        self.channels: tuple[Channel, ...] | None = header.channels if header.has_scales else None
        self._convert = EngineeringValues(header.channels)

    def __call__(self, codes: NDArray[Any], status: NDArray[np.int8] | None) -> NDArray[np.float64]:
        return self._convert(codes, status)


def _block(header: RawFileHeader, values: _Values, chunk: ChunkHeader, codes: NDArray[Any]) -> DaqBlock:
    status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)
    t_utc = _EPOCH + timedelta(microseconds=chunk.t_utc_ns // 1000)
    return DaqBlock(
        device=header.device,
        channels=values.names,
        data=values(codes, status),
        task=header.task,
        raw_codes=codes if codes.dtype.kind in "iu" else None,
        block_index=chunk.seq if chunk.block_index is None else chunk.block_index,
        first_sample_index=chunk.first_sample_index,
        samples_per_channel=chunk.valid_samples,
        sample_rate_hz=header.sample_rate_hz,
        block_period_ns=header.block_period_ns,
        task_started_at=header.task_started_at or t_utc,
        t0=t_utc,
        t_mono_ns=chunk.t_mono_ns,
        t_utc=t_utc,
        t_utc_ns=chunk.t_utc_ns,
        read_started_at=t_utc,
        read_finished_at=t_utc,
        elapsed_s=0.0,
        units=values.units,
        is_linearised=values.channels is not None,
        sensor_status={} if status is None else dict(zip(values.names, status, strict=True)),
        error=_error(chunk),
        calibration=values.channels,
    )


def _error(chunk: ChunkHeader) -> BufferOverrun | None:
    if chunk.gap is not None:
        span = chunk.gap.span
        return BufferOverrun(f"samples {span.start} to {span.stop} are absent: {chunk.gap.cause.value}")
    if OVERRUN_FLAG in chunk.flags:
        return BufferOverrun(chunk.error or f"chunk {chunk.seq} is marked {OVERRUN_FLAG}")
    return None


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
