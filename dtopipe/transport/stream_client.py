"""The other machine's end of a link: connects, says why it does not, and begins anew when it is told to."""

from __future__ import annotations

import contextlib
import socket as sockets

import zmq
from zmq.utils.monitor import recv_monitor_message

from dtopipe.model.errors import DtopipeError, WireError
from dtopipe.model.keys import KeyPair, PublicKey
from dtopipe.transport.link_failure import GUESSED, LinkFailure
from dtopipe.transport.network import addresses_of, place_of, tune, z85_text
from dtopipe.transport.stream_server import Admission
from dtopipe.wire.control import Message, decode, encode
from dtopipe.wire.message_fields import TypedMessage

# A message holds some blocks, of a size that fits into memory many times.
_LARGEST_ANSWER_BYTES = 2**30
_CONNECT_TIMEOUT_MS = 2000
# One failed handshake may be a connection that broke in the middle of it.
_FAILED_HANDSHAKES_TELL = 2
# Behind a tunnel handshakes fail while nobody is there, and the other end may come up just before it is looked for.
_PROBES_TELL = 2
# ZMTP 3.0: signature, version, mechanism, as server, filler.
_GREETING = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
_PROBE_S = 0.5


class StreamClient:
    """One link at a time; one thread uses it. Without keys it is open to everybody on the way."""

    def __init__(self, endpoint: str, own: KeyPair | None, server: PublicKey | None) -> None:
        self._own = own
        self._server = server
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._poller = zmq.Poller()
        self._failed_handshakes = 0
        self._suspected: list[LinkFailure] = []
        self._failure = LinkFailure.NOT_REACHED
        self._place = place_of(endpoint)
        self._addresses: list[tuple[str, bool]] = []
        self._tries = 0
        self.is_connected = False
        self.was_cut = False

    def ensure_resolved(self) -> None:
        """Raises DtopipeError if the endpoint's name is that of no machine."""
        try:
            self._addresses = addresses_of(*self._place)
        except OSError as error:
            raise DtopipeError(f"{self._place[0]} is not found: {error}") from error

    def renew(self) -> None:
        """Begin anew: what was said and not heard is forgotten. Of several addresses the next is tried each time."""
        if not self.is_connected and self._socket is not None:
            self._tries += 1
        self._drop()
        address, is_ipv6 = self._addresses[self._tries % len(self._addresses)]
        socket = self._socket = self._context.socket(zmq.DEALER)
        tune(socket, _LARGEST_ANSWER_BYTES)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT_TIMEOUT_MS)
        socket.reconnect_ivl = 100
        socket.reconnect_ivl_max = 300
        socket.ipv6 = is_ipv6
        if self._own is not None and self._server is not None:
            socket.curve_serverkey = z85_text(self._server.key)
            socket.curve_publickey = z85_text(self._own.public.key)
            socket.curve_secretkey = z85_text(self._own.secret)
        monitor = self._monitor = socket.get_monitor_socket()
        for each in (socket, monitor):
            self._poller.register(each, zmq.POLLIN)
        socket.connect(address)
        self.is_connected = self.was_cut = False

    def send(self, message: Message | TypedMessage) -> None:
        """Never waits; what finds nobody is dropped."""
        if self._socket is not None:
            with contextlib.suppress(zmq.ZMQError):
                self._socket.send(encode(message), zmq.NOBLOCK)

    def receive(self, timeout_s: float) -> tuple[Message, memoryview] | None:
        """The next message with its payload, or None if there is none in time. Raises WireError if it is none."""
        ready = dict(self._poller.poll(round(timeout_s * 1000)))
        if self._monitor in ready:
            self._follow()
        if self._socket is None or self._socket not in ready:
            return None
        # Blocks stay where ZeroMQ has put them.
        frames = self._socket.recv_multipart(copy=False)
        if len(frames) != 2:
            raise WireError(f"an answer of {len(frames)} frames")
        return decode(frames[0].bytes), frames[1].buffer

    @property
    def failure(self) -> LinkFailure:
        """Why there is no link, as far as it is known."""
        return LinkFailure.NONE if self.is_connected else self._failure

    def close(self) -> None:
        """Leave, once what was said last has gone out (at most 1 s). Harmless twice."""
        if not self._context.closed:
            self._drop(linger_ms=1000 if self.is_connected else 0)
            self._context.term()

    def _probed(self) -> LinkFailure:
        """It finds out what ends the connection: a tunnel without another end does that as well as another key."""
        found = b""
        with contextlib.suppress(OSError), sockets.create_connection(self._place, _PROBE_S) as probe:
            probe.settimeout(_PROBE_S)
            probe.sendall(_GREETING)
            while len(found) < len(_GREETING) and (piece := probe.recv(len(_GREETING))):
                found += piece
        mechanism = found[12:32].rstrip(b"\0")
        if found[:1] != b"\xff" or not mechanism:
            return LinkFailure.NOT_REACHED
        same = mechanism == b"CURVE" and self._own is not None
        return LinkFailure.WRONG_SERVER_KEY if same else LinkFailure.OTHER_PROTOCOL

    def _suspect(self, found: LinkFailure) -> None:
        """What a guess is by is told once it was found several times in a row, handshakes having failed in between."""
        if found in GUESSED and self._suspected in ([], [found]):
            self._suspected.append(found)
        else:
            self._suspected = [found] if found in GUESSED else []
        is_sure = found not in GUESSED or len(self._suspected) >= _PROBES_TELL
        self._failure = found if is_sure else LinkFailure.NOT_REACHED

    def _drop(self, linger_ms: int = 0) -> None:
        if self._socket is None or self._monitor is None:
            return
        for each in (self._socket, self._monitor):
            self._poller.unregister(each)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(linger_ms)
        self._socket = self._monitor = None

    def _follow(self) -> None:
        """What became of the connection: libzmq tells it as events."""
        was_probed = False
        while self._monitor is not None and self._monitor.poll(0):
            seen = recv_monitor_message(self._monitor)
            event, value = seen["event"], seen["value"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.is_connected = True
                self._failed_handshakes = 0
                self._suspected.clear()
                self._failure = LinkFailure.NOT_REACHED
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._failure = LinkFailure.REVOKED_KEY if value == Admission.REVOKED else LinkFailure.UNKNOWN_KEY
            elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                self._failure = LinkFailure.OTHER_PROTOCOL
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and not was_probed:
                self._failed_handshakes += 1
                if self._failed_handshakes >= _FAILED_HANDSHAKES_TELL:
                    self._failed_handshakes = 0
                    # What waits to be told here now failed before that.
                    was_probed = True
                    self._suspect(self._probed())
            elif event == zmq.EVENT_DISCONNECTED:
                self.was_cut = self.is_connected
                self.is_connected = False
