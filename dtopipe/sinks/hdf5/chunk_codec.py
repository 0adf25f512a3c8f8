"""A chunk of a dataset as bytes: shuffled and deflated where that is wanted, with Fletcher's checksum behind."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.hdf5.checksums import fletcher32

_inflated: Any
_not_inflated: Any
try:
    # The same streams, several times as fast.
    from isal.isal_zlib import compress
    from isal.isal_zlib import decompressobj as _inflated
    from isal.isal_zlib import error as _not_inflated

    # Of what is measured, as small as zlib's 1; of what rises or repeats, as small as it gets.
    LEVEL, LEVEL_OF_RISING = 3, 1
except ImportError:
    from zlib import compress
    from zlib import decompressobj as _inflated
    from zlib import error as _not_inflated

    LEVEL = LEVEL_OF_RISING = 1

_CHECKSUM = struct.Struct("<I")


def chunk_bytes(items: NDArray[Any], level: int | None) -> bytes:
    """The chunk of these items; `level` None: not deflated."""
    data = items.tobytes()
    if level is not None:
        # Bytes of equal weight stand together, as the shuffle filter has them.
        shuffled = np.frombuffer(data, np.uint8).reshape(len(items), -1).T
        data = compress(np.ascontiguousarray(shuffled).data, level)
    return data + _CHECKSUM.pack(fletcher32(data))


def chunk_items(stored: bytes, dtype: np.dtype[Any], n_items: int, *, deflated: bool) -> NDArray[Any]:
    """The items of a chunk. Raises ValueError for one that is damaged."""
    data, checksum = stored[: -_CHECKSUM.size], stored[-_CHECKSUM.size :]
    if checksum != _CHECKSUM.pack(fletcher32(data)):
        raise ValueError("it does not fit its checksum")
    n_bytes = n_items * dtype.itemsize
    if deflated:
        try:
            # No more than there can be, whatever it claims to be.
            data = _inflated().decompress(data, n_bytes)
        except _not_inflated as error:
            raise ValueError(f"it cannot be inflated: {error}") from error
    if len(data) != n_bytes:
        raise ValueError(f"it has {len(data):,} bytes, not {n_bytes:,}")
    if deflated:
        data = np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1).T).tobytes()
    return np.frombuffer(data, dtype)
