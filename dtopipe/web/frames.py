"""What goes over the WebSocket in binary: bins of every channel."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

# Magic, channels, bins, nothing, first bin, end of the samples; little-endian, and 8-byte aligned for a browser.
_HEAD = struct.Struct("<4sIIIdd")
_MAGIC = b"DTB1"


def bins_frame(first: int, low: NDArray[np.float32], high: NDArray[np.float32], end_sample_index: int) -> bytes:
    """A head of 32 bytes, then float32, little-endian, channel-major: all lowest values, then all highest ones."""
    n_channels, n_bins = low.shape
    head = _HEAD.pack(_MAGIC, n_channels, n_bins, 0, first, end_sample_index)
    return head + low.astype("<f4", copy=False).tobytes() + high.astype("<f4", copy=False).tobytes()
