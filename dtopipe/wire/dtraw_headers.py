"""The headers of `.dt-raw` v2 files as values, and as the JSON objects that they are in the file.

What other programs wrote is read too: unknown keys are passed over, ours may be absent. Nothing is laid out by a
number of theirs that was not held against the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor, iso_utc, utc_ns
from dtopipe.model.errors import WireError
from dtopipe.model.facts import ensure_plain
from dtopipe.model.identifiers import is_run_id
from dtopipe.model.recorded_calibration import calibration_from
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import VIRTUAL, Channel, SensorStatus, Stream

FORMAT_VERSION = 2
OVERRUN_FLAG = "overrun_marker"
_NS_PER_S = 1_000_000_000
BUFFER_DONE = "buffer_done"
_MAX_CHANNELS = 65_536
_MOST_STATUS = max(SensorStatus)
# Indices and times below it can be added up in 64 bits.
_MOST = 2**62
# One sample a year, and beyond what the sample clock can tell apart.
_LEAST_RATE_HZ, _MOST_RATE_HZ = 3e-8, 1e9
# What wrong values of a header end in when they are taken for what they should be.
_SPOILT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class FileHeader:
    """The file's first header. `has_scales`: false for files whose channels carry no scale: values are codes."""

    task: str
    device: str
    channels: tuple[Channel, ...]
    sample_rate_hz: float
    dtype: str
    samples_per_buffer: int
    task_started_at: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    has_scales: bool = True
    virtual: tuple[Channel, ...] = ()

    @classmethod
    def of(cls, stream: Stream) -> FileHeader:
        """The header of a run's file."""
        return cls(
            task=stream.task,
            device=stream.device,
            channels=stream.channels,
            sample_rate_hz=stream.rate_hz,
            dtype=stream.dtype,
            samples_per_buffer=stream.samples_per_block,
            task_started_at=stream.started_at,
            metadata={**stream.metadata, "run_id": stream.run_id, "simulated": stream.simulated},
            virtual=stream.virtual,
        )

    def stream(self, path: Path) -> Stream:
        """The stream that the file at `path` describes; without a rate its times are those of 1 Hz."""
        run_id = str(self.metadata.get("run_id") or "")
        return Stream(
            run_id=run_id if is_run_id(run_id) else str(path.absolute()),
            task=self.task,
            device=self.device,
            channels=self.channels,
            virtual=self.virtual,
            dtype=self.dtype,
            rate_hz=self.sample_rate_hz or 1.0,
            samples_per_block=self.samples_per_buffer,
            started_at=self.task_started_at,
            metadata=dict(self.metadata),
            simulated=bool(self.metadata.get("simulated", False)),
        )


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """One chunk's header; `gap` is set for a chunk that stands for samples that are absent.

    `anchor`: of the epoch, for the times of its samples to the nanosecond; None in other programs' files.
    `sensor_status`: one list a channel of `[status, length]` runs, or None where every sample is OK.
    `notes`: of a chunk without samples that tells of the run itself: `marks`, and `metadata` where they were changed.
    """

    seq: int
    first_sample_index: int
    valid_samples: int
    buffer_capacity: int
    t_mono_ns: int
    t_utc_ns: int
    block_index: int | None = None
    event_kind: str = BUFFER_DONE
    flags: tuple[str, ...] = ()
    gap: Gap | None = None
    sensor_status: tuple[tuple[tuple[int, int], ...], ...] | None = None
    error: str | None = None
    checksum: Mapping[str, Any] | None = None
    anchor: Anchor | None = None
    notes: Mapping[str, Any] | None = None


def gap_chunk(seq: int, gap: Gap, t_mono_ns: int) -> ChunkHeader:
    """The header of a chunk of 0 samples that says what is absent, and why."""
    return ChunkHeader(
        seq=seq,
        first_sample_index=gap.span.start,
        valid_samples=0,
        buffer_capacity=0,
        t_mono_ns=t_mono_ns,
        t_utc_ns=gap.t_utc_ns,
        event_kind="overrun",
        flags=(OVERRUN_FLAG,),
        gap=gap,
    )


def notes_chunk(seq: int, end: int, notes: Mapping[str, Any], t_mono_ns: int, t_utc_ns: int) -> ChunkHeader:
    """The header of a chunk of 0 samples, behind the sample before `end`, that tells of the run itself."""
    return ChunkHeader(
        seq=seq,
        first_sample_index=end,
        valid_samples=0,
        buffer_capacity=0,
        t_mono_ns=t_mono_ns,
        t_utc_ns=t_utc_ns,
        notes=notes,
    )


def encode_status(status: NDArray[np.int8]) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Run lengths of (n_channels, n) sensor status."""
    found = []
    for row in status:
        starts = np.concatenate(([0], np.flatnonzero(np.diff(row)) + 1, [len(row)]))
        found.append(tuple((int(row[a]), int(b - a)) for a, b in pairwise(starts)))
    return tuple(found)


def decode_status(runs: tuple[tuple[tuple[int, int], ...], ...]) -> NDArray[np.int8]:
    """(n_channels, n) int8 of run lengths."""
    return np.array(
        [np.repeat([status for status, _ in row], [length for _, length in row]) for row in runs], dtype=np.int8
    )


def file_document(header: FileHeader) -> dict[str, Any]:
    """The file header as JSON has it, keys in the order of the format's first reader."""
    channels = [_channel_document(channel) for channel in header.channels]
    virtual = [
        {"name": channel.name, "unit": channel.unit, "formula": channel.formula, "with": dict(channel.constants)}
        for channel in header.virtual
    ]
    return {
        "format_version": FORMAT_VERSION,
        "task": header.task,
        "device": header.device,
        "channels": channels,
        "sample_rate_hz": header.sample_rate_hz,
        "block_period_ns": round(1e9 / header.sample_rate_hz),
        "dtype": header.dtype,
        "n_channels": len(channels),
        "samples_per_buffer": header.samples_per_buffer,
        "task_started_at": header.task_started_at,
        "metadata": dict(header.metadata),
        **({"virtual_channels": virtual} if virtual else {}),
    }


def _channel_document(channel: Channel) -> dict[str, Any]:
    """Scale, offset and unit are of what was measured, as all readers take them; a calibration leads on from there."""
    scale, offset = channel.input_scaling
    return {
        "name": channel.name,
        "unit": channel.input_unit,
        "scale": scale,
        "offset": offset,
        "range": None if channel.range is None else list(channel.range),
        **({} if channel.calibration is None else {"calibration": channel.calibration.facts()}),
    }


def chunk_document(header: ChunkHeader, crc32: int) -> dict[str, Any]:
    """The chunk header as JSON has it; `crc32` is the payload's."""
    document: dict[str, Any] = {
        "seq": header.seq,
        "event_kind": header.event_kind,
        "first_sample_index": header.first_sample_index,
        "valid_samples": header.valid_samples,
        "buffer_capacity": header.buffer_capacity,
        "t_mono_ns": header.t_mono_ns,
        "t_utc": iso_utc(header.t_utc_ns).replace("Z", "+00:00"),
        "flags": list(header.flags),
        "checksum": {"algorithm": "crc32", "value": crc32},
    }
    if header.block_index is not None:
        document["block_index"] = header.block_index
    if header.anchor is not None:
        document["anchor"] = [header.anchor.sample_index, header.anchor.t_mono_ns, header.anchor.t_utc_ns]
    if header.gap is not None:
        document["gap"] = [header.gap.span.start, header.gap.span.stop]
        document["cause"] = header.gap.cause.value
    if header.sensor_status is not None:
        document["sensor_status"] = header.sensor_status
    if header.error is not None:
        document["error"] = header.error
    if header.notes is not None:
        document["notes"] = dict(header.notes)
    return document


def chunk_text(header: ChunkHeader, crc32: int) -> str:
    """`chunk_document` as JSON."""
    return json.dumps(chunk_document(header, crc32), allow_nan=False)


def file_header_from(document: Mapping[str, Any]) -> FileHeader:
    """The header of such a document. Raises WireError."""
    try:
        channels = [_channel(channel) for channel in document["channels"]]
        header = FileHeader(
            task=_text(document.get("task") or ""),
            device=_text(document.get("device") or ""),
            channels=tuple(channels),
            sample_rate_hz=_rate_hz(document.get("sample_rate_hz") or 0.0),
            dtype=_dtype_name(document.get("dtype") or "int16"),
            samples_per_buffer=_count(document.get("samples_per_buffer") or 0),
            task_started_at=_text(document.get("task_started_at") or "1970-01-01T00:00:00+00:00"),
            metadata=_metadata(document.get("metadata") or {}),
            has_scales=all("scale" in channel for channel in document["channels"]),
            virtual=tuple(_virtual(channel) for channel in document.get("virtual_channels") or ()),
        )
        n_channels = document.get("n_channels") or len(channels)
        _count(document.get("format_version") or 0)
        _count(document.get("block_period_ns") or 0)
    except _SPOILT as error:
        raise WireError(f"its file header lacks or spoils {error}") from error
    if not 0 < len(channels) <= _MAX_CHANNELS or n_channels != len(channels):
        raise WireError(f"its file header names {len(channels)} channels, of {n_channels}")
    return header


def _channel(document: Mapping[str, Any]) -> Channel:
    limits = document.get("range")
    calibration = None
    if document.get("calibration") is not None:
        calibration = calibration_from(document["calibration"], "calibration")
    unit = _text(document.get("unit") or "")
    scale, offset = _finite(document.get("scale", 1.0)), _finite(document.get("offset", 0.0))
    # A header names no kind; a raw channel's is that its values are the codes, in no unit.
    is_of_codes = (unit, scale, offset) == ("", 1.0, 0.0)
    return Channel(
        name=_text(document["name"]),
        unit=unit if calibration is None else calibration.unit,
        kind="raw" if "scale" not in document or is_of_codes else "voltage",
        scale=scale,
        offset=offset,
        range=None if limits is None else (_finite(limits[0]), _finite(limits[1])),
        calibration=calibration,
    )


def _virtual(document: Mapping[str, Any]) -> Channel:
    constants = {_text(name): _finite(number) for name, number in (document.get("with") or {}).items()}
    return Channel(
        name=_text(document["name"]),
        unit=_text(document.get("unit") or ""),
        kind=VIRTUAL,
        formula=_text(document["formula"]),
        constants=constants,
    )


def _dtype_name(name: Any) -> str:
    """Any numpy type of real numbers; the payload is little-endian whatever it says."""
    dtype = np.dtype(name)
    if dtype.kind not in "iuf":
        raise ValueError(f"dtype {name!r}")
    return str(dtype.name)


def _rate_hz(number: Any) -> float:
    value = _finite(number)
    if value and not _LEAST_RATE_HZ <= value <= _MOST_RATE_HZ:
        raise ValueError(f"a rate of {value} Hz")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text that is {type(value).__name__}")
    return value


def _metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"metadata, which are {type(value).__name__}")
    ensure_plain(value)
    return value


def _finite(number: Any) -> float:
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        raise TypeError(f"a number that is {type(number).__name__}")
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"a number that is {value}")
    return value


def _integer(number: Any) -> int:
    # Other programs may write 4096.0.
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number != int(number):
        raise TypeError(f"an integer that is {type(number).__name__}")
    value = int(number)
    if abs(value) >= _MOST:
        raise ValueError(f"an integer that is {value}")
    return value


def _count(number: Any) -> int:
    value = _integer(number)
    if value < 0:
        raise ValueError(f"a count that is {value}")
    return value


def chunk_header_from(document: Mapping[str, Any], n_channels: int) -> ChunkHeader:
    """The header of such a document. Raises WireError."""
    try:
        t_utc_ns = _integer(utc_ns(document["t_utc"])) if document.get("t_utc") else 0
        valid_samples = _count(document["valid_samples"])
        block_index, error = document.get("block_index"), document.get("error")
        status = document.get("sensor_status")
        return ChunkHeader(
            seq=_integer(document["seq"]),
            first_sample_index=_count(document.get("first_sample_index", 0)),
            valid_samples=valid_samples,
            buffer_capacity=_count(document.get("buffer_capacity", valid_samples)),
            t_mono_ns=_integer(document["t_mono_ns"]),
            t_utc_ns=t_utc_ns,
            block_index=None if block_index is None else _integer(block_index),
            event_kind=_text(document.get("event_kind") or BUFFER_DONE),
            flags=tuple(_text(flag) for flag in document.get("flags") or ()),
            gap=_gap(document, t_utc_ns) if document.get("gap") else None,
            sensor_status=None if status is None else _status(status, n_channels, valid_samples),
            error=None if error is None else _text(error),
            checksum=document.get("checksum"),
            anchor=_anchor(document["anchor"]) if document.get("anchor") else None,
            notes=_metadata(document["notes"]) if document.get("notes") else None,
        )
    except _SPOILT as spoilt:
        raise WireError(f"its chunk header lacks or spoils {spoilt}") from spoilt


def _anchor(document: Any) -> Anchor:
    sample_index, t_mono_ns, t_utc_ns = (_integer(number) for number in document)
    return Anchor(sample_index, t_mono_ns, t_utc_ns)


def _gap(document: Mapping[str, Any], t_utc_ns: int) -> Gap:
    start, stop = (_count(index) for index in document["gap"])
    if stop < start:
        raise ValueError(f"gap [{start}, {stop}]")
    return Gap(Span(start, stop), Cause(document.get("cause", Cause.BOARD_OVERRUN)), t_utc_ns)


def _status(document: Any, n_channels: int, n_samples: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Run lengths, checked against the chunk: nothing is laid out by a stranger's numbers."""
    runs = tuple(tuple((_count(status), _count(length)) for status, length in row) for row in document)
    whole = all(sum(length for _, length in row) == n_samples for row in runs)
    if len(runs) != n_channels or not whole or any(status > _MOST_STATUS for row in runs for status, _ in row):
        raise ValueError("sensor_status, which does not fit its samples")
    return runs
