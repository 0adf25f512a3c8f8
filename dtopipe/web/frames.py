"""What pages get in binary: over the WebSocket bins of every channel, and columns of a run that is over."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dtopipe.web.overview import Columns

# Magic, channels, bins, nothing, first bin, end of the samples; little-endian, and 8-byte aligned for a browser.
_HEAD = struct.Struct("<4sIIIdd")
_MAGIC = b"DTB1"
_LENGTH = struct.Struct("<I")


def bins_frame(first: int, low: NDArray[np.float32], high: NDArray[np.float32], end_sample_index: int) -> bytes:
    """A head of 32 bytes, then float32, little-endian, channel-major: all lowest values, then all highest ones."""
    n_channels, n_bins = low.shape
    head = _HEAD.pack(_MAGIC, n_channels, n_bins, 0, first, end_sample_index)
    return head + low.astype("<f4", copy=False).tobytes() + high.astype("<f4", copy=False).tobytes()


def columns_frame(columns: Columns, gaps: Sequence[tuple[int, int, bool]]) -> bytes:
    """A length, a JSON head that ends at a multiple of 8 bytes, then values, little-endian, channel-major.

    The head has `first`, `step` (in samples), `n`, `channels`, `exact`, and `gaps` (start, stop, whether nobody wanted
    it). The values: all lowest as float64, all highest, then a byte each that is 1 where a row has no value.
    """
    n_channels, n = columns.low.shape
    head = json.dumps(
        {
            "first": columns.first, "step": columns.step, "n": n, "channels": n_channels, "exact": columns.is_exact,
            "gaps": list(gaps),
        }
    ).encode()  # fmt: skip
    head = head.ljust(-(-(len(head) + _LENGTH.size) // 8) * 8 - _LENGTH.size)
    values = columns.low.astype("<f8").tobytes() + columns.high.astype("<f8").tobytes()
    return _LENGTH.pack(len(head)) + head + values + columns.nulls.astype("u1").tobytes()
