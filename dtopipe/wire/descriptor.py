"""The descriptor that wakes a reader: a hint about the newest block, never the truth.

The truth is in shared memory; a descriptor that is lost, late or doubled loses nothing.
"""

from __future__ import annotations

import struct

from dtopipe.model.errors import WireError

# version, number of the newest block + 1, end sample index
_DESCRIPTOR = struct.Struct("<BQq")
_VERSION = 1


def encode_descriptor(head: int, end_sample_index: int) -> bytes:
    """17 bytes: the ring's head, and the sample index behind its newest block."""
    return _DESCRIPTOR.pack(_VERSION, head, end_sample_index)


def decode_descriptor(frame: bytes) -> tuple[int, int]:
    """(head, end_sample_index). Raises WireError."""
    if len(frame) != _DESCRIPTOR.size or frame[0] != _VERSION:
        raise WireError("not a descriptor of this version")
    _, head, end_sample_index = _DESCRIPTOR.unpack(frame)
    return head, end_sample_index


def topic(row: int) -> bytes:
    """The subscription of the reader in this row of the subscriber table."""
    return b"%02d" % row
