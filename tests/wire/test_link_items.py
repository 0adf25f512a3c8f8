"""Blocks and gaps between machines: their bytes, and what is made of bytes that are none."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.wire.link_items import decode_items, encode_items

CODES = np.array([[1, -2, 3], [256, -32768, 32767]], np.int16)
STATUS = np.array([[0, 1, 0], [2, 3, 4]], np.int8)
ANCHOR = Anchor(7, 11, 13)
GAP = Gap(Span(10, 15), Cause.ACQUIRER_RESTART, 99)
ITEMS: list[Block | Gap] = [Block(0, 10, CODES, ANCHOR), GAP, Block(0, 15, CODES, ANCHOR, STATUS, latency_ns=5)]


def with_checksum(head: bytes, payload: bytes = b"") -> bytes:
    return head + struct.pack("<I", zlib.crc32(head + payload)) + payload


def test_the_bytes_are_as_the_protocol_has_them() -> None:
    payload = CODES.astype("<i2").tobytes()
    plain = with_checksum(struct.pack("<BBHIqqqqq", 0, 0, 0, 3, 10, 7, 11, 13, 0), payload)
    gap = with_checksum(struct.pack("<BBHIqqq8x", 1, 2, 0, 0, 10, 15, 99))
    special = with_checksum(struct.pack("<BBHIqqqqq", 0, 1, 0, 3, 15, 7, 11, 13, 5), payload + STATUS.tobytes())
    assert encode_items(ITEMS) == plain + gap + special


@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
def test_what_goes_in_comes_out(dtype: str) -> None:
    special = Block(0, 15, CODES[:, ::-1].astype(dtype), ANCHOR, STATUS)
    items: list[Block | Gap] = [Block(0, 10, CODES.astype(dtype), ANCHOR), GAP, special]
    found = decode_items(encode_items(items), 2, dtype, 3)
    for given, came in zip(items, found, strict=True):
        if isinstance(given, Gap):
            assert came == given
            continue
        assert isinstance(came, Block)
        assert (came.first_sample_index, came.anchor, came.codes.dtype) == (
            given.first_sample_index, given.anchor, np.dtype(dtype)
        )  # fmt: skip
        assert np.array_equal(came.codes, given.codes)
        assert (came.sensor_status is None) == (given.sensor_status is None)
        if given.sensor_status is not None:
            assert came.sensor_status is not None
            assert np.array_equal(came.sensor_status, given.sensor_status)


@pytest.mark.parametrize(
    "frame",
    [
        encode_items(ITEMS)[:-1],
        encode_items(ITEMS)[:20],
        encode_items(ITEMS) + b"\0",
        b"\2" + bytes(60),
        with_checksum(struct.pack("<BBHIqqqq", 0, 0, 0, 2**32 - 1, 0, 0, 0, 0)),
        with_checksum(struct.pack("<BBHIqqq8x", 1, 2, 0, 0, 15, 10, 99)),
        with_checksum(struct.pack("<BBHIqqq8x", 1, 77, 0, 0, 10, 15, 99)),
        with_checksum(struct.pack("<BBHIqqq8x", 1, 2, 0, 0, 10, 2**62, 99)),
    ],
)
def test_what_does_not_follow_the_protocol_is_refused(frame: bytes) -> None:
    with pytest.raises(WireError):
        decode_items(frame, 2, "int16", 3)


def test_no_mutation_is_taken_for_samples_nor_costs_memory() -> None:
    chance = random.Random(5)
    frame = encode_items(ITEMS)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            spoilt = bytearray(frame)
            while spoilt == frame:
                for _ in range(chance.randint(1, 4)):
                    spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            with pytest.raises(WireError):
                decode_items(bytes(spoilt), 2, "int16", 3)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
