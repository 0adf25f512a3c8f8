"""How many rows are a chunk, and a group of chunks, which readers see."""

from __future__ import annotations

CHUNKS_OF_A_GROUP = 4
# A chunk has less than 4 GiB, and so have its numbers of 8 bytes.
MOST_CHUNK_ROWS = 2**28
_ROWS, _FEWEST_ROWS = 2**15, 2**10
# They come slowly: at 10 Hz a chunk is seven minutes.
_READINGS = 2**12
# Of all channels together, so that a group of many is not all of the memory.
_VALUES_OF_A_ROW_OF_CHUNKS = 2**22


def default_chunk_rows(n_channels: int, *, polled: bool) -> int:
    """A power of two, so that sizes are known by heart."""
    if polled:
        return _READINGS
    fitting = max(_FEWEST_ROWS, _VALUES_OF_A_ROW_OF_CHUNKS // max(1, n_channels))
    return min(_ROWS, 1 << fitting.bit_length() - 1)
