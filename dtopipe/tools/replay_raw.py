"""Reads `.dt-raw` v2 files block by block: ours, and those of the driver library's RawCountsSink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.host.recorded_path import fault_of
from dtopipe.host.run_folder import find_run, through_latest
from dtopipe.model.daq import DaqBlock
from dtopipe.model.derived import ChannelValues
from dtopipe.model.errors import BufferOverrun, SinkError, UsageError, WireError
from dtopipe.model.stream import Channel
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.registry import RAW, known_sink_type
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
from dtopipe.wire.raw_files import is_in_segments, segment_path, segments_of

_RUNS = Path("runs")
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
    """The header of a `.dt-raw` file, or of a run's, which is named as `iter_blocks` takes it.

    Raises SinkError where it cannot be read, or is none.
    """
    return _header(_files_of(path)[0])


def _header(where: Path) -> RawFileHeader:
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
    """Every chunk of a `.dt-raw` file as a block, in order.

    A run folder, `name`, `name/<start>` or `name/latest` below `runs` stands for that run's raw file and its segments.
    `raw_codes` are the stored ones; `data` is in each channel's unit where the file says how (`is_linearised`), else
    the codes as float64. A gap is a block of no samples with a BufferOverrun, a chunk flagged `overrun_marker` has one
    beside its samples. Raises SinkError where the file cannot be read, or behind the last whole chunk where it is cut.
    """
    for where in _files_of(path):
        header = _header(where)
        values = _Values(file_header_of(where))
        try:
            with sink_errors(where):
                for chunk, codes in iter_chunks(where):
                    if chunk.notes is None:
                        yield _block(header, values, chunk, codes)
        except WireError as error:
            raise SinkError(None, f"truncated or damaged: {error}", _REMEDY) from error


def _files_of(path: str | Path) -> list[Path]:
    """The file, or those of the run's raw output. Raises SinkError for a run that has none."""
    where = Path(path)
    for place in (where, _RUNS / path):
        file = through_latest(place)
        if file.is_file():
            return [file]
        if is_in_segments(file):
            return [segment_path(file, number) for number in segments_of(file)]
        if not file.exists() and (file.parent / "run.json").is_file():
            words = f"the run {file.parent} has no file {file.name}"
            raise SinkError(None, words, "name the run: then it is its raw file")
    where = through_latest(where)
    try:
        folder = find_run(str(path), _RUNS)
        sinks = folder.read_record()["sinks"]
    except UsageError as error:
        if where.exists():
            raise SinkError(where, "is no .dt-raw file, and no run folder", "name one of both") from error
        raise SinkError(where, "there is no such file, and no such run", error.remedy) from error
    raw = [sink for sink in sinks.values() if known_sink_type(sink["type"]).is_raw and sink["path"]]
    # One that waited for its trigger has a part of the run.
    output = min(raw, key=lambda sink: "untriggered" in sink)["path"] if raw else None
    if output is None:
        raise SinkError(folder.path, "this run has no raw file", f"add a sink of type {RAW} to its topology next time")
    if fault := fault_of(folder.path, output):
        raise SinkError(folder.path, f"its raw file {fault.message}", "name that file itself, if it is your own")
    with sink_errors(folder.path / output):
        return [segment_path(folder.path / output, number) for number in segments_of(folder.path / output)]


class _Values:
    """Codes into values, where the header has scales."""

    def __init__(self, header: FileHeader) -> None:
        self.names = tuple(channel.name for channel in header.channels)
        self.units = {channel.name: channel.unit or None for channel in header.channels}
        self.channels: tuple[Channel, ...] | None = header.channels if header.has_scales else None
        self._convert = ChannelValues(header.channels)

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
