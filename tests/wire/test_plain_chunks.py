"""Chunks without anything special, read without a parser: exactly what the codec reads, or nothing."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Channel
from dtopipe.wire.dtraw import encode_buffers_done, encode_chunk, encode_file_header, gap_chunk, next_chunk
from dtopipe.wire.dtraw_headers import ChunkHeader, FileHeader
from dtopipe.wire.dtraw_plain import PlainChunks

ANCHORS = Anchor(0, 5_000, 1_764_000_000_000_000_000), Anchor(700, -12, 1_764_000_001_000_000_000)
CLOCK = SampleClock(1000.0)


def header(dtype: str, n_channels: int) -> FileHeader:
    channels = tuple(Channel(f"ch{c}") for c in range(n_channels))
    return FileHeader("lab", "unit 7", channels, 1000.0, dtype, 100, "2026-11-25T00:00:00+00:00", {})


def plain(blocks: list[Block], seq: int = 0) -> bytes:
    pieces, _ = encode_buffers_done(blocks, seq, 100, CLOCK)
    return b"".join(bytes(np.ascontiguousarray(piece)) if isinstance(piece, np.ndarray) else piece for piece in pieces)


def blocks(dtype: str, n_channels: int, n_blocks: int) -> list[Block]:
    chance = np.random.default_rng(7)
    found, at = [], 0
    for number in range(n_blocks):
        n = int(chance.integers(1, 60))
        codes = chance.integers(-30_000, 30_000, (n_channels, n)).astype(dtype)
        found.append(Block(number, at, codes, ANCHORS[at >= 700]))
        at += n
    return found


@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
@pytest.mark.parametrize("views", [False, True])
def test_what_was_written_is_read(dtype: str, views: bool) -> None:
    top = header(dtype, 3)
    begin = encode_file_header(top)
    written = blocks(dtype, 3, 50)
    data = begin + plain(written)
    chunks, at = PlainChunks(io.BytesIO(data), top, views=views), len(begin)
    for block in written:
        found = chunks.at(at, len(data))
        assert found is not None
        read, at = found
        assert (read.block_index, read.first_sample_index, read.anchor) == (
            block.block_index,
            block.first_sample_index,
            block.anchor,
        )
        assert np.array_equal(read.codes, block.codes)
        assert read.codes.dtype == np.dtype(dtype)
        assert views or read.codes.flags.aligned
    assert at == len(data)
    assert chunks.at(at, len(data)) is None


def test_what_is_special_is_left_to_the_codec_and_nothing_is_lost_between(tmp_path: Path) -> None:
    top = header("int16", 2)
    gap = gap_chunk(1, Gap(Span(30, 40), Cause.BOARD_OVERRUN, 1_764_000_000_030_000_000), 0)
    codes = np.arange(20, dtype=np.int16).reshape(2, 10)
    special = ChunkHeader(
        2, 40, 10, 100, 9, 1_764_000_000_040_000_000, block_index=1, sensor_status=(((0, 10),), ((1, 10),))
    )
    first, last = Block(0, 0, codes, ANCHORS[0]), Block(2, 50, codes, ANCHORS[0])
    data = b"".join(
        [plain([first]), *map(bytes, encode_chunk(gap, codes[:, :0])), *map(bytes, encode_chunk(special, codes)),
         plain([last], 3)]
    )  # fmt: skip
    path = tmp_path / "archive.dt-raw"
    path.write_bytes(data)
    with path.open("rb") as file:
        chunks, at, kinds = PlainChunks(file, top), 0, []
        while at < len(data):
            found = chunks.at(at, len(data))
            if found is not None:
                at = found[1]
                kinds.append("plain")
                continue
            file.seek(at)
            read = next_chunk(file, top, path)
            assert read is not None
            at = file.tell()
            kinds.append("gap" if read[0].gap else "special")
    assert kinds == ["plain", "gap", "special", "plain"]


def test_nothing_is_read_behind_the_stop_and_more_once_it_is_there() -> None:
    top = header("int16", 2)
    written = blocks("int16", 2, 3)
    data = plain(written)
    ends = [len(plain(written[:n])) for n in range(4)]
    chunks = PlainChunks(io.BytesIO(data), top)
    assert chunks.at(0, ends[1]) is not None
    assert chunks.at(ends[1], ends[1] + 20) is None
    found = chunks.at(ends[1], ends[2])
    assert found is not None
    assert found[1] == ends[2]
    found = chunks.at(ends[2], None)
    assert found is not None
    assert found[1] == ends[3]


def test_a_flipped_bit_is_never_taken_for_a_block() -> None:
    top = header("int16", 2)
    (block,) = blocks("int16", 2, 1)
    data = plain([block])
    chance = random.Random(5)
    for _ in range(2000):
        spoilt = bytearray(data)
        at = chance.randrange(len(spoilt))
        spoilt[at] ^= 1 << chance.randrange(8)
        found = PlainChunks(io.BytesIO(bytes(spoilt)), top).at(0, None)
        if found is None:
            continue
        read: Any = found[0]
        # A digit of a number that no checksum covers may be another one: the codes never.
        assert np.array_equal(read.codes, block.codes)


class CountedReads(io.BytesIO):
    """What was asked of a file."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads.append(-1 if size is None else size)
        return super().read(size)


def long_block(number: int, n_samples: int = 300_000) -> Block:
    codes = np.arange(2 * n_samples, dtype=np.int16).reshape(2, n_samples)
    return Block(number, number * n_samples, codes, ANCHORS[0])


def test_long_chunks_are_read_in_one_piece_each() -> None:
    written = [long_block(number) for number in range(6)]
    data = plain(written)
    file, at = CountedReads(data), 0
    chunks = PlainChunks(file, header("int16", 2))
    for block in written:
        found = chunks.at(at, len(data))
        assert found is not None
        at = found[1]
        assert np.array_equal(found[0].codes, block.codes)
    assert at == len(data)
    # The first has two, by which its length is known.
    assert len(file.reads) == len(written) + 1


def test_after_a_length_that_is_a_lie_no_read_is_a_long_one() -> None:
    data = plain([long_block(0), *(long_block(number, 50) for number in range(1, 400))])
    small_at = len(plain([long_block(0)]))
    file = CountedReads(data.replace(b'"valid_samples": 300000', b'"valid_samples": 999999999999', 1))
    chunks = PlainChunks(file, header("int16", 2))
    assert chunks.at(0, None) is None
    small_at += len(file.getvalue()) - len(data)
    file.reads.clear()
    assert chunks.at(small_at, None) is not None
    assert chunks.at(small_at, None) is not None
    assert all(size < 2**20 for size in file.reads)
