"""Local endpoints that are private to the user, and sockets on them.

On Linux an endpoint is an abstract Unix socket that hears this user and root alone: it has no file that a logout or a
cleaner of temporary folders could take. On other systems with Unix sockets it is one in the run's own folder (mode
0700). Elsewhere, and wherever `DTOPIPE_LOCAL_LINK=tcp` asks for it, it is loopback TCP under CURVE, since loopback is
open to every local user: the run's key pair is known only to those who can read the run's folder, and nobody else can
speak on the link.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket as plain
import sys
from dataclasses import dataclass
from pathlib import Path

import zmq

from dtopipe.model.errors import DtopipeError
from dtopipe.wire.control import MAX_MESSAGE_BYTES

_ABSTRACT = "ipc://@"


@dataclass(frozen=True, slots=True)
class Keys:
    """A CURVE key pair, as Z85 text; the same on both ends of a run's local links. Empty where none is needed."""

    public: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return "Keys(...)"


def uses_tcp() -> bool:
    """True where local links are loopback TCP."""
    return sys.platform == "win32" or os.environ.get("DTOPIPE_LOCAL_LINK") == "tcp"


def run_keys() -> Keys:
    """New keys for one run's local links."""
    if not uses_tcp():
        return Keys()
    public, secret = zmq.curve_keypair()
    return Keys(public.decode(), secret.decode())


def bind(kind: int, folder: Path, name: str, keys: Keys) -> tuple[zmq.Socket[bytes], str]:
    """A bound socket, and the endpoint at which it is reached. Raises DtopipeError."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    _tune(socket)
    if not keys.secret and (endpoint := _bound_without_a_file(socket)):
        return socket, endpoint
    if keys.secret:
        socket.curve_server = True
        socket.curve_publickey = keys.public.encode()
        socket.curve_secretkey = keys.secret.encode()
        wanted = "tcp://127.0.0.1:*"
    else:
        wanted = f"ipc://{folder / name}"
    try:
        socket.bind(wanted)
    except zmq.ZMQError as error:
        socket.close()
        raise DtopipeError(f"the local link {wanted} cannot be made: {error.strerror}") from error
    return socket, socket.getsockopt_string(zmq.LAST_ENDPOINT)


def bind_in(folder: Path, name: str, socket: zmq.Socket[bytes]) -> str:
    """Reached at a Unix socket of that name too, for those with a network of their own; empty where none can be."""
    if uses_tcp():
        return ""
    with contextlib.suppress(zmq.ZMQError):
        socket.bind(f"ipc://{folder / name}")
        return f"ipc://{folder / name}"
    return ""


if sys.platform == "linux":

    def is_reached(endpoint: str) -> bool:
        """False for an abstract socket that is not there, or in another network namespace, as of a container."""
        if not endpoint.startswith(_ABSTRACT):
            return True
        with plain.socket(plain.AF_UNIX) as probe:
            try:
                probe.connect("\0" + endpoint.removeprefix(_ABSTRACT))
            except OSError:
                return False
        return True

    def _bound_without_a_file(socket: zmq.Socket[bytes]) -> str:
        """The endpoint; empty where there are no abstract sockets, or none that hears only some users."""
        with contextlib.suppress(zmq.ZMQError):
            for user_id in {os.getuid(), 0}:
                socket.setsockopt(zmq.IPC_FILTER_UID, user_id)
            # A name that nobody has had before: whoever lost one link must not find another one behind it.
            endpoint = f"{_ABSTRACT}dtopipe-{secrets.token_hex(8)}"
            socket.bind(endpoint)
            return endpoint
        return ""

else:

    def is_reached(endpoint: str) -> bool:
        """True: only Linux has abstract sockets, which are not seen from everywhere."""
        return True

    def _bound_without_a_file(socket: zmq.Socket[bytes]) -> str:
        return ""


def connect(
    kind: int, endpoint: str, keys: Keys, address: str = "", context: zmq.Context[zmq.Socket[bytes]] | None = None
) -> zmq.Socket[bytes]:
    """A socket that connects, and again whenever the other end comes back; a ROUTER knows it by `address`.

    `context`: one of its own, for who has to wait until all was sent; without it, the one of the process.
    """
    socket: zmq.Socket[bytes] = (zmq.Context.instance() if context is None else context).socket(kind)
    _tune(socket)
    if address:
        socket.setsockopt(zmq.IDENTITY, address.encode())
    if keys.public:
        socket.curve_serverkey = keys.public.encode()
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.connect(endpoint)
    return socket


def _tune(socket: zmq.Socket[bytes]) -> None:
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 0
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.reconnect_ivl = 20
    socket.reconnect_ivl_max = 500
