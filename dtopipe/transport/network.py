"""What both ends of a link between machines have in common."""

from __future__ import annotations

import socket as sockets

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


def place_of(endpoint: str) -> tuple[str, int]:
    """Host, without brackets, and port of `tcp://HOST:PORT`."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def addresses_of(host: str, port: int) -> list[tuple[str, bool]]:
    """Every address of a host as ZeroMQ takes it, and whether it is one of IPv6. Raises OSError."""
    found: dict[str, bool] = {}
    for family, _, _, _, address in sockets.getaddrinfo(host, port, type=sockets.SOCK_STREAM):
        if family in (sockets.AF_INET, sockets.AF_INET6):
            name, _ = sockets.getnameinfo(address, sockets.NI_NUMERICHOST | sockets.NI_NUMERICSERV)
            is_ipv6 = family == sockets.AF_INET6
            found.setdefault(f"tcp://[{name}]:{port}" if is_ipv6 else f"tcp://{name}:{port}", is_ipv6)
    return list(found.items())


def z85_text(key: bytes) -> bytes:
    """A key as ZeroMQ takes it."""
    return bytes(z85.encode(key))
