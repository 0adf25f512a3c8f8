"""The `.dt-raw` v2 codec: buffers of raw codes as the driver handed them over. PROTOCOL.md specifies the bytes.

Layout: `uint32le length, JSON file header, (uint32le length, JSON chunk header, payload)*`; a payload is
channel-major, C order, little-endian, `n_channels * valid_samples` items.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.errors import WireError
from dtopipe.model.facts import strict_json
from dtopipe.model.stream import Block
from dtopipe.wire.checksum import crc32
from dtopipe.wire.dtraw_form import BufferDoneForm, buffer_done_form
from dtopipe.wire.dtraw_headers import (
    OVERRUN_FLAG,
    ChunkHeader,
    FileHeader,
    chunk_header_from,
    chunk_text,
    decode_status,
    encode_status,
    file_document,
    file_header_from,
    gap_chunk,
    notes_chunk,
)

__all__ = [
    "OVERRUN_FLAG",
    "ChunkHeader",
    "FileHeader",
    "decode_status",
    "encode_chunk",
    "encode_file_header",
    "encode_status",
    "file_header_document",
    "gap_chunk",
    "iter_chunk_headers",
    "iter_chunks",
    "iter_placed_chunks",
    "iter_sound_chunks",
    "next_chunk",
    "notes_chunk",
    "read_chunk",
    "read_file_header",
    "read_header_of",
]

LENGTH = struct.Struct("<I")
# A header longer than this is damage: 1000 channels with long names take 200 kB.
MAX_HEADER_BYTES = 16 * 2**20
# What the chunk headers of this program begin with: where to go on behind damage.
CHUNK_BEGINS = b'{"seq": '
_SEARCHED_BYTES = 2**20
# Longer chunks are not looked for: a file of those has few.
_SEARCHED_FOR_ONE_BYTES = 2**25
# Codes look like the begin of a chunk once in a world's age; what does so more often was made to.
_MOST_TRIED = 16


def encode_file_header(header: FileHeader) -> bytes:
    """Length and JSON."""
    return _framed(strict_json(file_document(header), ensure_ascii=True))


def encode_chunk(header: ChunkHeader, codes: NDArray[Any]) -> tuple[bytes, bytes | memoryview]:
    """Length and JSON, then the payload of (n_channels, valid_samples) codes; to be written in this order.

    The payload may be the codes themselves.
    """
    array = np.ascontiguousarray(codes, _little_endian(codes.dtype))
    payload = array.data.cast("B") if array.size else b""
    return _framed(chunk_text(header, crc32(payload))), payload


def encode_buffers_done(
    blocks: Sequence[Block], seq: int, buffer_capacity: int, clock: SampleClock
) -> tuple[list[bytes | NDArray[Any]], int]:
    """`encode_chunk` of blocks without anything special, one behind the other: the fast path of raw files.

    The first gets number `seq`. Every second piece is a block's codes themselves, C order. Returns how many bytes the
    pieces have together, too.
    """
    pieces: list[bytes | NDArray[Any]] = []
    n_bytes = 0
    pack, length = LENGTH.pack, LENGTH.size
    known: tuple[Anchor, int, np.dtype[Any]] | None = None
    filled: BufferDoneForm
    for block in blocks:
        codes, anchor = block.codes, block.anchor
        n_samples = codes.shape[1]
        if known is None or anchor is not known[0] or n_samples != known[1] or codes.dtype is not known[2]:
            known = (anchor, n_samples, codes.dtype)
            little_endian = _little_endian(codes.dtype)
            in_order = codes.dtype == little_endian
            filled = buffer_done_form(n_samples, buffer_capacity, anchor, clock)
        if not (in_order and codes.flags.c_contiguous):
            codes = np.ascontiguousarray(codes, little_endian)
        header = filled(seq, block.first_sample_index, block.block_index, crc32(codes) if n_samples else 0)
        pieces += (pack(len(header)) + header, codes)
        n_bytes += length + len(header) + codes.nbytes
        seq += 1
    return pieces, n_bytes


def read_file_header(path: Path) -> FileHeader:
    """The file's header. Raises WireError if it is not a `.dt-raw` file, OSError if it cannot be opened."""
    with path.open("rb") as file:
        return read_header_of(file, path)


def file_header_document(path: Path) -> Mapping[str, Any]:
    """The file's header as it stands there, unknown keys included. Raises as `read_file_header`."""
    with path.open("rb") as file:
        return _document(file, path)


def iter_chunks(path: Path) -> Iterator[tuple[ChunkHeader, NDArray[Any]]]:
    """Every chunk's header with its codes, (n_channels, valid_samples).

    Whole chunks are yielded; then WireError with path and byte offset where the file is cut or damaged.
    """
    for header, codes, _ in iter_placed_chunks(path):
        yield header, codes


def iter_placed_chunks(path: Path) -> Iterator[tuple[ChunkHeader, NDArray[Any], int]]:
    """The same, each with the byte offset of its end."""
    with path.open("rb") as file:
        header = read_header_of(file, path)
        while read := next_chunk(file, header, path):
            yield *read, file.tell()


def iter_sound_chunks(
    path: Path, on_damage: Callable[[WireError], None], known: FileHeader | None = None, stop: int | None = None
) -> Iterator[tuple[ChunkHeader, NDArray[Any], int, int]]:
    """Every chunk that is whole, with the byte offsets of its begin and end; what is between them is passed over.

    `on_damage` is called for each place that is damaged. `known`: what stands in for the file's own header where that
    is damaged; without it that raises WireError. `stop`: what ends behind this byte is nobody's, and no damage.
    """
    with path.open("rb") as file:
        is_damaged = False
        try:
            header = read_header_of(file, path)
        except WireError as error:
            if known is None:
                raise
            header, is_damaged = known, True
            on_damage(error)
            if not _seek_next_chunk(file, 0):
                return
        while True:
            begin = file.tell()
            if stop is not None and begin >= stop:
                return
            try:
                read = next_chunk(file, header, path)
            except WireError as error:
                if not is_damaged:
                    on_damage(error)
                is_damaged = True
                if not _seek_next_chunk(file, begin + 1):
                    return
                continue
            if read is None:
                return
            if stop is not None and file.tell() > stop:
                return
            is_damaged = False
            yield *read, begin, file.tell()


def _seek_next_chunk(file: IO[bytes], at: int, stop: int | None = None) -> bool:
    """Go to the first place from `at` on that looks like the begin of a chunk; False where there is none.

    `stop`: the byte from which on nobody looks.
    """
    file.seek(at)
    held = b""
    while (stop is None or file.tell() < stop) and (piece := file.read(_SEARCHED_BYTES)):
        held += piece
        found = held.find(CHUNK_BEGINS, LENGTH.size)
        if found >= 0:
            file.seek(at + found - LENGTH.size)
            return True
        kept = held[-(LENGTH.size + len(CHUNK_BEGINS)) :]
        at += len(held) - len(kept)
        held = kept
    return False


def iter_chunk_headers(path: Path, from_sample: int = 0) -> Iterator[tuple[ChunkHeader, int]]:
    """Every chunk's header with the byte offset at which it begins; payloads are there, but not looked at.

    Chunks whose samples are all before `from_sample` may be passed over. Fast, for an index of the file. Raises
    WireError like `iter_chunks`, but for checksums.
    """
    with path.open("rb") as file:
        header = read_header_of(file, path)
        at = file.tell()
        if from_sample > 0:
            at = file.seek(_place_before(file, header, path, from_sample))
        while chunk := _next_chunk_header(file, header, path):
            yield chunk, at
            at = file.seek(_payload_bytes(header, chunk), os.SEEK_CUR)


def _place_before(file: IO[bytes], header: FileHeader, path: Path, sample_index: int) -> int:
    """Where a chunk begins before which there is no sample from this one on: by halving, for chunks are in order.

    The file stands behind its header, and anywhere afterwards.
    """
    low, high = file.tell(), os.fstat(file.fileno()).st_size
    while high - low > _SEARCHED_BYTES:
        middle = (low + high) // 2
        found = _chunk_from(file, header, path, middle)
        if found is None:
            # Of another program, or long chunks: it is read from here.
            return low
        at, chunk = found
        # A chunk of notes is of no sample.
        has_samples = chunk.valid_samples > 0 or chunk.gap is not None
        if has_samples and chunk.first_sample_index <= sample_index and at < high:
            low = at
        else:
            high = middle
    return low


def _chunk_from(file: IO[bytes], header: FileHeader, path: Path, at: int) -> tuple[int, ChunkHeader] | None:
    """The first whole chunk that begins at this byte or not far behind it, with another one or the end behind it."""
    stop = at + _SEARCHED_FOR_ONE_BYTES
    for _ in range(_MOST_TRIED):
        if not _seek_next_chunk(file, at, stop):
            break
        begin = file.tell()
        with contextlib.suppress(WireError):
            chunk = _next_chunk_header(file, header, path)
            if chunk is not None:
                file.seek(_payload_bytes(header, chunk), os.SEEK_CUR)
                behind = file.read(LENGTH.size + len(CHUNK_BEGINS))
                if not behind or behind.endswith(CHUNK_BEGINS):
                    return begin, chunk
        at = begin + 1
    return None


def read_chunk(file: IO[bytes], header: FileHeader, at: int, path: Path) -> tuple[ChunkHeader, NDArray[Any]]:
    """The chunk that begins at that byte, as `iter_chunk_headers` said. Raises WireError if it is not whole there."""
    file.seek(at)
    read = next_chunk(file, header, path)
    if read is None:
        raise WireError(f"{path}: ends at byte {at}, where a chunk should begin")
    return read


def next_chunk(file: IO[bytes], header: FileHeader, path: Path) -> tuple[ChunkHeader, NDArray[Any]] | None:
    """The chunk where the file stands, or None at its clean end. Raises WireError, as `iter_chunks`."""
    chunk = _next_chunk_header(file, header, path)
    if chunk is None:
        return None
    at = file.tell()
    payload = file.read(_payload_bytes(header, chunk))
    if not _fits(chunk.checksum, payload):
        raise WireError(f"{path}: damaged at byte {at}: the payload of chunk {chunk.seq} does not fit its checksum")
    dtype = np.dtype(header.dtype).newbyteorder("<")
    codes = np.frombuffer(payload, dtype).reshape(len(header.channels), chunk.valid_samples)
    return chunk, codes.astype(dtype.newbyteorder("="), copy=False)


def _next_chunk_header(file: IO[bytes], header: FileHeader, path: Path) -> ChunkHeader | None:
    """The next chunk's header, its payload being all there; None at the clean end of the file."""
    document = _document(file, path)
    if not document:
        return None
    try:
        chunk = chunk_header_from(document, len(header.channels))
    except WireError as error:
        raise WireError(f"{path}: damaged before byte {file.tell()}: {error}") from error
    n_bytes_in_file = os.fstat(file.fileno()).st_size
    # Before anything of that size is asked for: the number is a stranger's.
    if file.tell() + _payload_bytes(header, chunk) > n_bytes_in_file:
        raise WireError(f"{path}: cut at byte {n_bytes_in_file}, in the payload of chunk {chunk.seq}")
    return chunk


def _payload_bytes(header: FileHeader, chunk: ChunkHeader) -> int:
    return len(header.channels) * chunk.valid_samples * np.dtype(header.dtype).itemsize


@lru_cache(maxsize=8)
def _little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")


def _framed(text: str) -> bytes:
    encoded = text.encode()
    return LENGTH.pack(len(encoded)) + encoded


def _document(file: IO[bytes], path: Path) -> dict[str, Any]:
    """The next header; empty at the clean end of the file."""
    at = file.tell()
    head = file.read(LENGTH.size)
    if not head:
        return {}
    length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 0
    if not 0 < length <= MAX_HEADER_BYTES:
        raise WireError(f"{path}: cut or damaged at byte {at}, where a header should begin")
    text = file.read(length)
    if len(text) != length:
        raise WireError(f"{path}: cut at byte {at + len(head) + len(text)}, in a header")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{path}: damaged at byte {at}: its header is not JSON") from error
    if not isinstance(document, dict) or not document:
        raise WireError(f"{path}: damaged at byte {at}: its header is not a JSON object")
    return document


def read_header_of(file: IO[bytes], path: Path) -> FileHeader:
    """The header of the file, which stands at its beginning. Raises WireError."""
    document = _document(file, path)
    try:
        return file_header_from(document)
    except WireError as error:
        raise WireError(f"{path}: not a .dt-raw file: {error}") from error


def _fits(checksum: Any, payload: bytes) -> bool:
    """True also for a checksum of another kind: another program's own key."""
    if not isinstance(checksum, dict) or checksum.get("algorithm") != "crc32":
        return True
    return bool(checksum.get("value") == crc32(payload))
