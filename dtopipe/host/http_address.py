"""Where something is served by HTTP: `[HOST:]PORT`, and what a browser is told."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass

from dtopipe.model.errors import UsageError

_LOOPBACK = "127.0.0.1"
# A name of a host, an IPv4 address, or an IPv6 address in brackets.
_ADDRESS = re.compile(r"(?:(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """`host`: a name or an address, without brackets. `port`: 0 for any that is free."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True where only this machine can connect."""
        if self.host == "localhost":
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    def url(self, token: str = "", path: str = "/") -> str:
        """What is typed into a browser; one that listens everywhere is called by this machine's name."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        named = f"[{host}]" if ":" in host else host
        return f"http://{named}:{self.port}{path}" + (f"?token={token}" if token else "")


def address_of(text: str) -> Address:
    """The address of `[HOST:]PORT`; loopback without a host. Raises UsageError."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65_535:
        raise UsageError(f"{text!r} is not [HOST:]PORT", "such as 8080, or 0.0.0.0:8080 for other machines too")
    return Address((found["host"] or _LOOPBACK).strip("[]"), int(found["port"]))


def listening_socket(address: Address, what: str = "the page") -> socket.socket:
    """A socket that listens there. Raises UsageError where that cannot be; `what`: is to be served, for its message."""
    try:
        family, kind, number, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, number)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(place)
            found.listen(128)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise UsageError(
            f"{what} cannot be served at {address.host}:{address.port}: {error.strerror or error}",
            "choose another port",
        ) from error
    return found
