"""Control messages as they travel: msgpack maps with limits, never anything that is executed.

A message is `{"kind": str, ...}`. What a program says and hears are the dataclasses of `messages`, `commands` and
`link_messages`; `Message` is one that nobody has looked at. A message that is too large, damaged, or has not the keys
of its kind raises WireError and is dropped by the receiver.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import msgpack

from dtopipe.model.errors import WireError
from dtopipe.wire.message_fields import TypedMessage, body_of
from dtopipe.wire.shape import ensure_modest

# The largest message is a status with 62 sinks and a topology: well below this.
MAX_MESSAGE_BYTES = 4 * 2**20
_MAX_ITEMS = 100_000
# All that comes from other machines; what is larger is of this user's own processes, and would take too long.
_LOOKED_THROUGH_BYTES = 64 * 1024
# Malformed messages in a row that whoever receives drops before it does something else.
MOST_PASSED_OVER = 200
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Message:
    """One message that came in: what it is called, and its other keys, whose values may be anything."""

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)


def encode(message: Message | TypedMessage) -> bytes:
    """The bytes of a message. Raises WireError if it is too large."""
    body = message.body if isinstance(message, Message) else body_of(message)
    packed: bytes = msgpack.packb({"kind": message.kind, **body}, use_bin_type=True)
    if len(packed) > MAX_MESSAGE_BYTES:
        raise WireError(f"message {message.kind!r} has {len(packed)} bytes, more than {MAX_MESSAGE_BYTES}")
    return packed


def decode(frame: bytes, most_items: int = _MAX_ITEMS) -> Message:
    """The message in these bytes, which has so many values at most. Raises WireError."""
    if len(frame) > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {len(frame)} bytes, more than {MAX_MESSAGE_BYTES}")
    if len(frame) <= _LOOKED_THROUGH_BYTES:
        ensure_modest(frame, most_items)
    most = min(most_items, len(frame))
    try:
        document = msgpack.unpackb(frame, raw=False, strict_map_key=True, max_map_len=most, max_array_len=most)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"a message that is not msgpack: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise WireError("a message without a kind")
    return Message(document.pop("kind"), document)


def write_frame(stream: IO[bytes], message: Message | TypedMessage) -> None:
    """A message into a pipe: uint32le length, then its bytes."""
    frame = encode(message)
    stream.write(_LENGTH.pack(len(frame)) + frame)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Message:
    """The next message of a pipe. Raises WireError, also at the pipe's end."""
    head = stream.read(_LENGTH.size)
    if len(head) != _LENGTH.size:
        raise WireError("no orders: this process is started by `dtopipe up`, not by hand")
    (length,) = _LENGTH.unpack(head)
    return decode(stream.read(min(length, MAX_MESSAGE_BYTES + 1)))
