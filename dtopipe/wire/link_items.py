"""Blocks and gaps as they travel to another machine: section 8 of PROTOCOL.md."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.wire.checksum import crc32

PROTOCOL_VERSION = 2
# A request for the stream that nobody means: gateways refuse it that do not know what a look is.
NO_VERSION = 0
# Of gaps that are the link's, or the gateway's: at the source nobody else lacks these samples.
LINK_CAUSES = (Cause.TRANSPORT, Cause.POLICY_DROP, Cause.WRITE_ERROR)
# In one request, which has 64 KiB at most.
MOST_GAPS_TOLD = 500
_KIND_BLOCK, _KIND_GAP = 0, 1
# kind, has sensor status, -, n_samples, first_sample_index, anchor (index, t_mono_ns, t_utc_ns), latency_ns, checksum
_BLOCK = struct.Struct("<BBHIqqqqqI")
# kind, cause, -, -, start, stop, t_utc_ns, -, checksum
_GAP = struct.Struct("<BBHIqqq8xI")
_CHECKSUM_BYTES = 4
_CHECKSUM = struct.Struct("<I")
_MOST_INDEX = 2**62
_MOST_STATUS = 4


def encode_items(items: Sequence[Block | Gap]) -> bytes:
    """One after the other; codes little-endian, channel-major, as they are."""
    pieces: list[Any] = []
    for item in items:
        if isinstance(item, Gap):
            start, stop = item.span.start, item.span.stop
            gap = _GAP.pack(_KIND_GAP, item.cause.code, 0, 0, start, stop, item.t_utc_ns, 0)[:-_CHECKSUM_BYTES]
            pieces += (gap, _CHECKSUM.pack(crc32(gap)))
            continue
        codes = np.ascontiguousarray(item.codes, item.codes.dtype.newbyteorder("<"))
        status = b"" if item.sensor_status is None else np.ascontiguousarray(item.sensor_status, np.int8)
        anchor = item.anchor
        head = _BLOCK.pack(
            _KIND_BLOCK, item.sensor_status is not None, 0, item.n_samples, item.first_sample_index,
            anchor.sample_index, anchor.t_mono_ns, anchor.t_utc_ns, item.latency_ns, 0,
        )[:-_CHECKSUM_BYTES]  # fmt: skip
        pieces += (head, _CHECKSUM.pack(crc32(status, crc32(codes, crc32(head)))), codes, status)
    return b"".join(pieces)


def decode_items(frame: bytes | memoryview, n_channels: int, dtype: str, most_samples: int) -> list[Block | Gap]:
    """The items of such a frame; blocks are views into it, of at most `most_samples` samples. Raises WireError."""
    items: list[Block | Gap] = []
    at = 0
    try:
        while at < len(frame):
            if frame[at] == _KIND_GAP:
                items.append(_gap(frame, at))
                at += _GAP.size
                continue
            block, at = _block(frame, at, n_channels, np.dtype(dtype), most_samples)
            items.append(block)
    except (struct.error, KeyError, ValueError) as error:
        raise WireError(f"a frame of samples that is damaged: {error}") from error
    return items


def _gap(frame: bytes | memoryview, at: int) -> Gap:
    _, cause, _, _, start, stop, t_utc_ns, checksum = _GAP.unpack_from(frame, at)
    if crc32(memoryview(frame)[at : at + _GAP.size - _CHECKSUM_BYTES]) != checksum:
        raise ValueError("its checksum does not fit")
    if not 0 <= start < stop < _MOST_INDEX:
        raise ValueError(f"gap [{start}, {stop})")
    return Gap(Span(start, stop), Cause.from_code(cause), t_utc_ns)


def _block(
    frame: bytes | memoryview, at: int, n_channels: int, dtype: np.dtype[Any], most_samples: int
) -> tuple[Block, int]:
    kind, has_status, _, n_samples, first, *times, latency_ns, checksum = _BLOCK.unpack_from(frame, at)
    if kind != _KIND_BLOCK or not 0 < n_samples <= most_samples or not 0 <= first < _MOST_INDEX:
        raise ValueError(f"an item of kind {kind} with {n_samples} samples at {first}")
    head = memoryview(frame)[at : at + _BLOCK.size - _CHECKSUM_BYTES]
    at += _BLOCK.size
    n_codes = n_channels * n_samples
    codes_end = at + n_codes * dtype.itemsize
    end = codes_end + (n_codes if has_status else 0)
    if end > len(frame):
        raise ValueError("it is cut")
    if crc32(memoryview(frame)[at:end], crc32(head)) != checksum:
        raise ValueError("its checksum does not fit")
    shape = n_channels, n_samples
    codes = np.frombuffer(frame, dtype.newbyteorder("<"), n_codes, at).reshape(shape).astype(dtype, copy=False)
    status: NDArray[np.int8] | None = None
    if has_status:
        status = np.frombuffer(frame, np.int8, n_codes, codes_end).reshape(shape)
        if status.min() < 0 or status.max() > _MOST_STATUS:
            raise ValueError("its sensor status is none")
    return Block(0, first, codes, Anchor(*times), status, latency_ns=latency_ns), end
