"""The serving end of links between machines: one port, every remote by its own key, no stranger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import zmq

from dtopipe.host.sockets import ends_what_is_not_acknowledged
from dtopipe.model.errors import CannotListen, WireError
from dtopipe.model.keys import KeyPair
from dtopipe.transport.malformed import Malformed
from dtopipe.transport.network import addresses_of, place_of, tune, z85_text
from dtopipe.wire.control import MOST_PASSED_OVER, Message, decode, encode
from dtopipe.wire.message_fields import TypedMessage

# Requests are small; a stranger's are not even read.
_LARGEST_REQUEST_BYTES = 64 * 1024
# Messages that wait for one peer: more than its credit, and less than would be felt.
_MOST_WAITING = 256
# Values in a request: 500 gaps have 2500.
_MOST_ITEMS = 8192
_ZAP = "inproc://zeromq.zap.01"


class Admission(IntEnum):
    """ZAP's answers; the other end sees the number, never a text."""

    WELCOME = 200
    UNKNOWN = 400
    REVOKED = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What a remote said: where to answer, by which key (empty without CURVE), from which host, and what."""

    address: bytes
    key: bytes
    peer: str
    message: Message


class StreamServer:
    """`admit(key, address)` is asked at each handshake. One thread uses it. Raises DtopipeError if it cannot listen."""

    def __init__(self, endpoint: str, own: KeyPair | None, admit: Callable[[bytes, str], Admission]) -> None:
        self._admit = admit
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._zap: zmq.Socket[bytes] | None = None
        self._socket = self._context.socket(zmq.ROUTER)
        tune(self._socket, _LARGEST_REQUEST_BYTES)
        # Heartbeats come from the other end, which is known to be away by its silence. Ours could end this process:
        # libzmq 4.3.5 asserts when one is due on a connection that broke while it had stopped reading from it.
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 0)
        # A peer that is gone without a word, with nothing or with something on the way to it.
        self._socket.tcp_keepalive, self._socket.tcp_keepalive_idle = 1, 10
        self._socket.tcp_keepalive_intvl, self._socket.tcp_keepalive_cnt = 5, 3
        if ends_what_is_not_acknowledged():
            self._socket.setsockopt(zmq.TCP_MAXRT, 30_000)
        # Who asks again and again and never reads is sent no more than that, and who floods is read no faster.
        self._socket.sndhwm = self._socket.rcvhwm = _MOST_WAITING
        # Whoever is gone is an error, not silence.
        self._socket.router_mandatory = True
        self._socket.ipv6 = _is_ipv6(endpoint)
        self.malformed = Malformed("request")
        try:
            if own is not None:
                self._zap = self._context.socket(zmq.REP)
                self._zap.linger = 0
                self._zap.bind(_ZAP)
                self._poller.register(self._zap, zmq.POLLIN)
                self._socket.curve_server = True
                self._socket.curve_publickey = z85_text(own.public.key)
                self._socket.curve_secretkey = z85_text(own.secret)
                self._socket.setsockopt(zmq.ZAP_DOMAIN, b"dtopipe")
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            is_in_use = error.errno == zmq.EADDRINUSE
            raise CannotListen(f"cannot listen at {endpoint}: {error.strerror}", is_in_use=is_in_use) from error
        self._poller.register(self._socket, zmq.POLLIN)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def receive(self, timeout_s: float) -> Request | None:
        """The next request, or None if there is none in time; handshakes are answered meanwhile."""
        ready = dict(self._poller.poll(round(timeout_s * 1000)))
        if self._zap in ready:
            self._answer_zap()
        if self._socket not in ready:
            return None
        # What is malformed costs no turn of its own.
        for _ in range(MOST_PASSED_OVER):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            try:
                return self._request(frames)
            except WireError as error:
                self.malformed.note(error)
        return None

    def _request(self, frames: list[zmq.Frame]) -> Request:
        if len(frames) != 2:
            raise WireError(f"{len(frames)} frames")
        message = decode(frames[1].bytes, _MOST_ITEMS)
        key, peer = self._told(frames[1], "User-Id"), self._told(frames[1], "Peer-Address")
        return Request(frames[0].bytes, bytes.fromhex(key), peer, message)

    def send(self, address: bytes, message: Message | TypedMessage, payload: bytes = b"") -> bool:
        """False if nobody is there any more. Never waits: who sends has been given credit for it."""
        try:
            self._socket.send_multipart([address, encode(message), payload], zmq.NOBLOCK, copy=len(payload) < 65536)
        except zmq.ZMQError:
            return False
        return True

    def close(self) -> None:
        """Give the port up, once what was said last has gone out (at most 1 s)."""
        self._socket.close(1000)
        if self._zap is not None:
            self._zap.close(0)
        self._context.term()

    def _told(self, frame: zmq.Frame, what: str) -> str:
        """What ZeroMQ knows of a frame's sender; empty where it knows nothing."""
        with contextlib.suppress(zmq.ZMQError):
            return str(frame.get(what))
        return ""

    def _answer_zap(self) -> None:
        """RFC 27: version, request id, domain, address, identity, mechanism, the client's public key."""
        if self._zap is None:
            return
        frames = self._zap.recv_multipart()
        status, user = Admission.UNKNOWN, b""
        if len(frames) == 7 and frames[0] == b"1.0" and frames[5] == b"CURVE":
            status = self._admit(frames[6], frames[3].decode(errors="replace"))
            user = frames[6].hex().encode() if status is Admission.WELCOME else b""
        request_id = frames[1] if len(frames) > 1 else b""
        self._zap.send_multipart([b"1.0", request_id, str(int(status)).encode(), status.name.encode(), user, b""])


def _is_ipv6(endpoint: str) -> bool:
    """True for every address of the machine, and for a host that has none of IPv4."""
    host, port = place_of(endpoint)
    if host == "*":
        return True
    try:
        return all(is_ipv6 for _, is_ipv6 in addresses_of(host, port))
    except OSError:
        # An interface's name, or what binding will refuse.
        return False
