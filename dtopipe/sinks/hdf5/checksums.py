"""The checksums of the HDF5 format: Bob Jenkins' lookup3 of structures, Fletcher's of chunks."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_ALL = 0xFFFFFFFF
# Their sums, each times its place, stay far below 2**63.
_WORDS_AT_ONCE, _WIDTH = 2**22, 256


def lookup3(data: bytes) -> int:
    """`hashlittle` with the initial value 0, http://burtleburtle.net/bob/c/lookup3.c."""
    length = len(data)
    a = b = c = (0xDEADBEEF + length) & _ALL
    if not length:
        return c
    blocks = max(0, (length - 1) // 12)
    words: tuple[int, ...] = struct.unpack_from(f"<{blocks * 3}I", data)
    for at in range(0, blocks * 3, 3):
        a = (a + words[at]) & _ALL
        b = (b + words[at + 1]) & _ALL
        c = (c + words[at + 2]) & _ALL
        a = (a - c) & _ALL ^ ((c << 4 | c >> 28) & _ALL)
        c = (c + b) & _ALL
        b = (b - a) & _ALL ^ ((a << 6 | a >> 26) & _ALL)
        a = (a + c) & _ALL
        c = (c - b) & _ALL ^ ((b << 8 | b >> 24) & _ALL)
        b = (b + a) & _ALL
        a = (a - c) & _ALL ^ ((c << 16 | c >> 16) & _ALL)
        c = (c + b) & _ALL
        b = (b - a) & _ALL ^ ((a << 19 | a >> 13) & _ALL)
        a = (a + c) & _ALL
        c = (c - b) & _ALL ^ ((b << 4 | b >> 28) & _ALL)
        b = (b + a) & _ALL
    last: tuple[int, ...] = struct.unpack("<3I", data[blocks * 12 :].ljust(12, b"\0"))
    a, b, c = (a + last[0]) & _ALL, (b + last[1]) & _ALL, (c + last[2]) & _ALL
    c = (c ^ b) - _rotated(b, 14) & _ALL
    a = (a ^ c) - _rotated(c, 11) & _ALL
    b = (b ^ a) - _rotated(a, 25) & _ALL
    c = (c ^ b) - _rotated(b, 16) & _ALL
    a = (a ^ c) - _rotated(c, 4) & _ALL
    b = (b ^ a) - _rotated(a, 14) & _ALL
    return (c ^ b) - _rotated(b, 24) & _ALL


def _rotated(number: int, by: int) -> int:
    return (number << by | number >> (32 - by)) & _ALL


def fletcher32(data: bytes) -> int:
    """Fletcher's checksum of 16-bit words, the higher byte first; half a word at the end has zeros behind it.

    The other byte first, all sums are the same but for a factor of 256: modulo 65535 it is the turn of a word.
    """
    words = np.frombuffer(data if len(data) % 2 == 0 else data + b"\0", "<u2")
    first = second = 0
    for at in range(0, len(words), _WORDS_AT_ONCE):
        part = words[at : at + _WORDS_AT_ONCE]
        total, weighted = _sums(part)
        # The first sum counts once in the second for every word of this part.
        second += first * len(part) + weighted
        first += total
    return _folded(256 * second) << 16 | _folded(256 * first)


def _sums(words: NDArray[np.uint16]) -> tuple[int, int]:
    """The sums of the words, and of the words times how many follow: by rows and columns, with small numbers."""
    n_rows = len(words) // _WIDTH
    table, rest = words[: n_rows * _WIDTH].reshape(n_rows, _WIDTH), words[n_rows * _WIDTH :].astype(np.int64)
    rows = table.sum(axis=1, dtype=np.uint32).astype(np.int64)
    columns = table.sum(axis=0, dtype=np.uint32).astype(np.int64)
    weighted = np.dot(rows, len(words) - _WIDTH * np.arange(n_rows)) - np.dot(columns, np.arange(_WIDTH))
    return int(rows.sum() + rest.sum()), int(weighted + np.dot(rest, np.arange(len(rest), 0, -1)))


def _folded(total: int) -> int:
    """Modulo 65535, of which only nothing at all is 0."""
    return (total - 1) % 65535 + 1 if total else 0
