"""Chunks without anything special, which nearly all are, read many at a time and without a parser of JSON.

What is not exactly as `buffer_done_form` writes it is left to the codec itself.
"""

from __future__ import annotations

import re
import struct
from typing import IO

import numpy as np

from dtopipe.model.clock import Anchor
from dtopipe.model.stream import Block
from dtopipe.wire.checksum import crc32
from dtopipe.wire.dtraw_headers import BUFFER_DONE, FileHeader

_LENGTH = struct.Struct("<I")
# So much stays in a processor's own cache while it is checked and passed on; a longer chunk is read in one piece.
_AHEAD_BYTES, _MOST_AHEAD_BYTES = 2**18, 64 * 2**20
# Longer than any header of this form.
_LONGEST_HEADER = 1024
# A time in ns has 19 digits.
_INT, _COUNT = rb"(-?\d{1,19})", rb"(\d{1,19})"
_PLAIN = re.compile(
    rb'\{"seq": \d{1,19}, "event_kind": "' + BUFFER_DONE.encode() + rb'", "first_sample_index": ' + _INT
    + rb', "valid_samples": ' + _COUNT + rb', "buffer_capacity": \d{1,19}, "t_mono_ns": -?\d{1,19}, '
    rb'"t_utc": "[-0-9T:.+]{1,40}", "flags": \[\], "checksum": \{"algorithm": "crc32", "value": ' + _COUNT
    + rb'\}, "block_index": ' + _COUNT + rb', "anchor": (\[' + _INT + rb", " + _INT + rb", " + _INT + rb"\])\}"
)  # fmt: skip


class PlainChunks:
    """The plain chunks of one open file. What it reads ahead must be there for good. One thread uses it."""

    def __init__(self, file: IO[bytes], header: FileHeader, *, views: bool = False) -> None:
        """`views`: codes are where they were read, which may be no place for numpy's own word size."""
        self._file = file
        self._views = views
        self._n_channels = len(header.channels)
        self._stored = np.dtype(header.dtype).newbyteorder("<")
        self._native = np.dtype(header.dtype)
        self._ahead = b""
        self._ahead_bytes = _AHEAD_BYTES
        self._from = 0
        self._anchor_text = b""
        self._anchor = Anchor(0, 0, 0)

    def at(self, offset: int, stop: int | None) -> tuple[Block, int] | None:
        """The block whose chunk begins at this byte, and where it ends; None if it is not a plain one, or not sound.

        Nothing is read at or behind `stop`. Moves the file's own place. Raises OSError.
        """
        for reads_left in (2, 1, 0):
            at = offset - self._from
            left = len(self._ahead) - at if at >= 0 else 0
            header = self._header(at) if left > 0 else None
            if header is not None:
                match, payload_at = header
                n_samples = int(match[2])
                end = payload_at + self._n_channels * n_samples * self._stored.itemsize
                if end <= len(self._ahead):
                    block = self._block(match, payload_at, end)
                    if block is not None:
                        return block, self._from + end
                    break
                # Headers grow by a digit now and then.
                self._ahead_bytes = max(self._ahead_bytes, min(end - at + _LONGEST_HEADER, _MOST_AHEAD_BYTES))
            elif left >= _LONGEST_HEADER:
                return None
            most = self._ahead_bytes if stop is None else min(self._ahead_bytes, stop - offset)
            if reads_left and (at or left < most):
                self._file.seek(offset)
                self._ahead, self._from = self._file.read(most), offset
        # A header that lies must not make every later read a long one.
        self._ahead_bytes = _AHEAD_BYTES
        return None

    def _header(self, at: int) -> tuple[re.Match[bytes], int] | None:
        """The plain header that begins there, and where its payload does."""
        begin = at + _LENGTH.size
        if begin > len(self._ahead):
            return None
        payload_at = begin + _LENGTH.unpack_from(self._ahead, at)[0]
        match = _PLAIN.fullmatch(self._ahead, begin, payload_at)
        return None if match is None else (match, payload_at)

    def _block(self, match: re.Match[bytes], payload_at: int, end: int) -> Block | None:
        first, n_samples, checksum, number, anchor_text, *anchor = match.groups()
        if end == payload_at or crc32(memoryview(self._ahead)[payload_at:end]) != int(checksum):
            return None
        codes = np.frombuffer(self._ahead, self._stored, self._n_channels * int(n_samples), payload_at)
        if anchor_text != self._anchor_text:
            self._anchor_text, self._anchor = anchor_text, Anchor(*map(int, anchor))
        # The place of the payload is even only by chance.
        codes = codes.reshape(self._n_channels, int(n_samples)).astype(self._native, copy=not self._views)
        return Block(int(number), int(first), codes, self._anchor)
