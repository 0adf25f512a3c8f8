"""What both ends of a link between machines have in common."""

from __future__ import annotations

import zmq
from zmq.utils import z85

# Half-open connections and firewalls that drop without a word are found within some seconds.
_HEARTBEAT_MS, _HEARTBEAT_TIMEOUT_MS, _HEARTBEAT_TTL_MS = 1000, 3000, 6000


def tune(socket: zmq.Socket[bytes], largest_message_bytes: int) -> None:
    """Heartbeats, no queue but what credit allows, nothing larger than that."""
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0
    socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, _HEARTBEAT_TTL_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
    socket.setsockopt(zmq.MAXMSGSIZE, largest_message_bytes)


def z85_text(key: bytes) -> bytes:
    """A key as ZeroMQ takes it."""
    return bytes(z85.encode(key))
