"""The `.dt-raw` v2 codec: buffers of raw codes as the driver handed them over. PROTOCOL.md specifies the bytes.

Layout: `uint32le length, JSON file header, (uint32le length, JSON chunk header, payload)*`; a payload is
channel-major, C order, little-endian, `n_channels * valid_samples` items. What other programs wrote is read too:
unknown keys are passed over, ours may be absent.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel, Stream

FORMAT_VERSION = 2
OVERRUN_FLAG = "overrun_marker"
_LENGTH = struct.Struct("<I")
# A header longer than this is damage: 1000 channels with long names take 200 kB.
_MAX_HEADER_BYTES = 16 * 2**20
_MAX_CHANNELS = 65_536


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
        )


@dataclass(frozen=True, slots=True)
class ChunkHeader:
    """One chunk's header; `gap` is set for a chunk that stands for samples that are absent.

    `sensor_status`: one list a channel of `[status, length]` runs, or None where every sample is OK.
    """

    seq: int
    first_sample_index: int
    valid_samples: int
    buffer_capacity: int
    t_mono_ns: int
    t_utc_ns: int
    block_index: int | None = None
    event_kind: str = "buffer_done"
    flags: tuple[str, ...] = ()
    gap: Gap | None = None
    sensor_status: tuple[tuple[tuple[int, int], ...], ...] | None = None
    error: str | None = None
    checksum: Mapping[str, Any] | None = None


def encode_file_header(header: FileHeader) -> bytes:
    """Length and JSON, keys in the order of the format's first reader."""
    channels = [
        {
            "name": channel.name,
            "unit": channel.unit,
            # The value of a raw channel is its code.
            "scale": 1.0 if channel.is_raw else channel.scale,
            "offset": 0.0 if channel.is_raw else channel.offset,
            "range": None if channel.range is None else list(channel.range),
        }
        for channel in header.channels
    ]
    return _framed(
        {
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
        }
    )


def encode_chunk(header: ChunkHeader, codes: NDArray[Any]) -> list[bytes]:
    """Length and JSON, then the payload of (n_channels, valid_samples) codes; to be written in this order."""
    payload = np.ascontiguousarray(codes, codes.dtype.newbyteorder("<")).tobytes()
    document: dict[str, Any] = {
        "seq": header.seq,
        "event_kind": header.event_kind,
        "first_sample_index": header.first_sample_index,
        "valid_samples": header.valid_samples,
        "buffer_capacity": header.buffer_capacity,
        "t_mono_ns": header.t_mono_ns,
        "t_utc": iso_utc(header.t_utc_ns).replace("Z", "+00:00"),
        "flags": list(header.flags),
        "checksum": {"algorithm": "crc32", "value": zlib.crc32(payload)},
    }
    if header.block_index is not None:
        document["block_index"] = header.block_index
    if header.gap is not None:
        document["gap"] = [header.gap.span.start, header.gap.span.stop]
        document["cause"] = header.gap.cause.value
    if header.sensor_status is not None:
        document["sensor_status"] = header.sensor_status
    if header.error is not None:
        document["error"] = header.error
    return [_framed(document), payload]


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


def read_file_header(path: Path) -> FileHeader:
    """The file's header. Raises WireError if it is not a `.dt-raw` file, OSError if it cannot be opened."""
    with path.open("rb") as file:
        return _file_header(file, path)


def iter_chunks(path: Path) -> Iterator[tuple[ChunkHeader, NDArray[Any]]]:
    """Every chunk's header with its codes, (n_channels, valid_samples).

    Whole chunks are yielded; then WireError with path and byte offset where the file is cut or damaged.
    """
    for header, codes, _ in iter_placed_chunks(path):
        yield header, codes


def iter_placed_chunks(path: Path) -> Iterator[tuple[ChunkHeader, NDArray[Any], int]]:
    """The same, each with the byte offset of its end."""
    with path.open("rb") as file:
        header = _file_header(file, path)
        while read := _next_chunk(file, header, path):
            yield *read, file.tell()


def iter_chunk_headers(path: Path) -> Iterator[tuple[ChunkHeader, int]]:
    """Every chunk's header with the byte offset at which it begins; payloads are there, but not looked at.

    Fast, for an index of the file. Raises WireError like `iter_chunks`, but for checksums.
    """
    with path.open("rb") as file:
        header = _file_header(file, path)
        n_bytes_in_file = os.fstat(file.fileno()).st_size
        while True:
            at = file.tell()
            document = _document(file, path)
            if not document:
                return
            chunk = _chunk_header(document, path, file.tell())
            end = file.tell() + _payload_bytes(header, chunk)
            if end > n_bytes_in_file:
                raise WireError(f"{path}: cut at byte {n_bytes_in_file}, in the payload of chunk {chunk.seq}")
            yield chunk, at
            file.seek(end)


def read_chunk(file: IO[bytes], header: FileHeader, at: int, path: Path) -> tuple[ChunkHeader, NDArray[Any]]:
    """The chunk that begins at that byte, as `iter_chunk_headers` said. Raises WireError if it is not whole there."""
    file.seek(at)
    read = _next_chunk(file, header, path)
    if read is None:
        raise WireError(f"{path}: ends at byte {at}, where a chunk should begin")
    return read


def _next_chunk(file: IO[bytes], header: FileHeader, path: Path) -> tuple[ChunkHeader, NDArray[Any]] | None:
    document = _document(file, path)
    if not document:
        return None
    chunk = _chunk_header(document, path, file.tell())
    n_bytes = _payload_bytes(header, chunk)
    payload = file.read(n_bytes)
    if len(payload) != n_bytes:
        raise WireError(f"{path}: cut at byte {file.tell()}, in the payload of chunk {chunk.seq}")
    _check(chunk, payload, path)
    dtype = np.dtype(header.dtype).newbyteorder("<")
    codes = np.frombuffer(payload, dtype).reshape(len(header.channels), chunk.valid_samples)
    return chunk, codes.astype(dtype.newbyteorder("="), copy=False)


def _payload_bytes(header: FileHeader, chunk: ChunkHeader) -> int:
    return len(header.channels) * chunk.valid_samples * np.dtype(header.dtype).itemsize


def _framed(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document).encode()
    return _LENGTH.pack(len(text)) + text


def _document(file: IO[bytes], path: Path) -> dict[str, Any]:
    """The next header; empty at the clean end of the file."""
    at = file.tell()
    head = file.read(_LENGTH.size)
    if not head:
        return {}
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    if not 0 < length <= _MAX_HEADER_BYTES:
        raise WireError(f"{path}: cut or damaged at byte {at}, where a header should begin")
    text = file.read(length)
    if len(text) != length:
        raise WireError(f"{path}: cut at byte {at + len(head) + len(text)}, in a header")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise WireError(f"{path}: damaged at byte {at}: its header is not JSON") from error
    if not isinstance(document, dict) or not document:
        raise WireError(f"{path}: damaged at byte {at}: its header is not a JSON object")
    return document


def _file_header(file: IO[bytes], path: Path) -> FileHeader:
    document = _document(file, path)
    try:
        channels = [_channel(channel) for channel in document["channels"]]
        header = FileHeader(
            task=str(document.get("task") or ""),
            device=str(document.get("device") or ""),
            channels=tuple(channels),
            sample_rate_hz=float(document.get("sample_rate_hz") or 0.0),
            dtype=np.dtype(document.get("dtype") or "int16").name,
            samples_per_buffer=int(document.get("samples_per_buffer") or 0),
            task_started_at=str(document.get("task_started_at") or "1970-01-01T00:00:00+00:00"),
            metadata=dict(document.get("metadata") or {}),
            has_scales=all("scale" in channel for channel in document["channels"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"{path}: not a .dt-raw file: its file header lacks or spoils {error}") from error
    if not 0 < len(header.channels) <= _MAX_CHANNELS:
        raise WireError(f"{path}: not a .dt-raw file: it has {len(header.channels)} channels")
    return header


def _channel(document: Mapping[str, Any]) -> Channel:
    limits = document.get("range")
    return Channel(
        name=str(document["name"]),
        unit=str(document.get("unit") or ""),
        kind="voltage" if "scale" in document else "raw",
        scale=float(document.get("scale", 1.0)),
        offset=float(document.get("offset", 0.0)),
        range=None if limits is None else (float(limits[0]), float(limits[1])),
    )


def _chunk_header(document: Mapping[str, Any], path: Path, at: int) -> ChunkHeader:
    try:
        t_utc_ns = utc_ns(document["t_utc"]) if document.get("t_utc") else 0
        first = int(document.get("first_sample_index", 0))
        gap = None
        if document.get("gap"):
            start, stop = document["gap"]
            gap = Gap(Span(int(start), int(stop)), Cause(document.get("cause", Cause.BOARD_OVERRUN)), t_utc_ns)
        header = ChunkHeader(
            seq=int(document["seq"]),
            first_sample_index=first,
            valid_samples=int(document["valid_samples"]),
            buffer_capacity=int(document.get("buffer_capacity", document["valid_samples"])),
            t_mono_ns=int(document["t_mono_ns"]),
            t_utc_ns=t_utc_ns,
            block_index=document.get("block_index"),
            event_kind=str(document.get("event_kind", "buffer_done")),
            flags=tuple(str(flag) for flag in document.get("flags") or ()),
            gap=gap,
            sensor_status=_status(document.get("sensor_status")),
            error=document.get("error"),
            checksum=document.get("checksum"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"{path}: damaged before byte {at}: its chunk header lacks or spoils {error}") from error
    if header.valid_samples < 0:
        raise WireError(f"{path}: damaged before byte {at}: {header.valid_samples} samples in a chunk")
    return header


def _status(document: Any) -> tuple[tuple[tuple[int, int], ...], ...] | None:
    if document is None:
        return None
    return tuple(tuple((int(status), int(length)) for status, length in row) for row in document)


def _check(chunk: ChunkHeader, payload: bytes, path: Path) -> None:
    if chunk.checksum and chunk.checksum.get("algorithm") == "crc32" and chunk.checksum["value"] != zlib.crc32(payload):
        raise WireError(f"{path}: chunk {chunk.seq} is damaged: its checksum does not fit")
