"""The descriptor that wakes a reader: a hint about the newest block, never the truth.

The truth is in shared memory; a descriptor that is lost, late or doubled loses nothing.
"""

from __future__ import annotations

import struct

from dtopipe.model.errors import WireError

# version, number of the newest block + 1; first sample index and samples of it
_DESCRIPTOR = struct.Struct("<BQqI")
_VERSION = 1


def encode_descriptor(head: int, first_sample_index: int, n_samples: int) -> bytes:
    """21 bytes: the ring's head and the newest block's span."""
    return _DESCRIPTOR.pack(_VERSION, head, first_sample_index, n_samples)


def decode_descriptor(frame: bytes) -> tuple[int, int, int]:
    """(head, first_sample_index, n_samples). Raises WireError."""
    if len(frame) != _DESCRIPTOR.size or frame[0] != _VERSION:
        raise WireError("not a descriptor of this version")
    _, head, first_sample_index, n_samples = _DESCRIPTOR.unpack(frame)
    return head, first_sample_index, n_samples


def topic(row: int) -> bytes:
    """The subscription of the reader in this row of the subscriber table."""
    return b"%02d" % row
