"""The link between machines by itself: who is let in, what the other end is told, and what hostile frames do."""

from __future__ import annotations

import contextlib
import random
import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zmq

from dtopipe.model.errors import DtopipeError, WireError
from dtopipe.model.keys import KeyPair, PublicKey
from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.link_failure import LinkFailure
from dtopipe.transport.source_link import SourceLink
from dtopipe.transport.stream_client import StreamClient
from dtopipe.transport.stream_server import Admission, StreamServer
from dtopipe.wire.control import Message, encode

SERVER, CLIENT, OTHER = (new_key_pair(name) for name in ("server", "client", "other"))


class Serving:
    """A server that answers every request with its own body and a payload."""

    def __init__(self, own: KeyPair | None, admission: Admission) -> None:
        self.admission = admission
        self.asked: list[bytes] = []
        self.requests: list[Message] = []
        self.keys: set[bytes] = set()
        self.server = StreamServer("tcp://127.0.0.1:*", own, self._admit)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _admit(self, key: bytes, address: str) -> Admission:
        assert address == "127.0.0.1"
        self.asked.append(key)
        return self.admission

    def _serve(self) -> None:
        while not self._stop.is_set():
            request = self.server.receive(0.02)
            if request is not None:
                self.requests.append(request.message)
                self.keys.add(request.key)
                self.server.send(request.address, Message("answer", request.message.body), bytes(100_000))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.server.close()


@contextmanager
def serving(own: KeyPair | None = SERVER, admission: Admission = Admission.WELCOME) -> Iterator[Serving]:
    served = Serving(own, admission)
    try:
        yield served
    finally:
        served.close()


@contextmanager
def client(
    served: Serving, own: KeyPair | None = CLIENT, server: PublicKey | None = SERVER.public
) -> Iterator[StreamClient]:
    link = StreamClient(served.server.endpoint, own, server)
    link.ensure_resolved()
    link.renew()
    try:
        yield link
    finally:
        link.close()


def answer(link: StreamClient, within_s: float = 30.0) -> tuple[Message, bytes] | None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        received = link.receive(0.02)
        if received is not None:
            return received[0], bytes(received[1])
        if link.failure not in (LinkFailure.NONE, LinkFailure.NOT_REACHED):
            return None
    return None


@pytest.mark.parametrize("own", [SERVER, None])
def test_who_is_let_in_is_heard_and_answered(own: KeyPair | None) -> None:
    with serving(own) as served, client(served, CLIENT if own else None, own.public if own else None) as link:
        link.send(Message("pull", {"at": 7}))
        assert answer(link) == (Message("answer", {"at": 7}), bytes(100_000))
        assert link.failure is LinkFailure.NONE
        assert served.keys == {CLIENT.public.key if own else b""}


@pytest.mark.parametrize(
    ("admission", "server", "failure"),
    [
        (Admission.UNKNOWN, SERVER.public, LinkFailure.UNKNOWN_KEY),
        (Admission.REVOKED, SERVER.public, LinkFailure.REVOKED_KEY),
        (Admission.WELCOME, OTHER.public, LinkFailure.WRONG_SERVER_KEY),
        (Admission.WELCOME, None, LinkFailure.OTHER_PROTOCOL),
    ],
)
def test_a_refusal_is_told_from_an_absent_peer_within_two_seconds(
    admission: Admission, server: PublicKey | None, failure: LinkFailure
) -> None:
    with serving(admission=admission) as served, client(served, CLIENT if server else None, server) as link:
        link.send(Message("pull", {}))
        assert answer(link) is None
        assert link.failure is failure
        assert served.requests == []


@pytest.mark.parametrize(
    ("failure", "is_said"), [(LinkFailure.OTHER_PROTOCOL, False), (LinkFailure.WRONG_SERVER_KEY, False),
                             (LinkFailure.REVOKED_KEY, True), (LinkFailure.UNKNOWN_KEY, True)],
)  # fmt: skip
def test_whoever_was_linked_is_refused_by_what_the_other_end_says_alone(failure: LinkFailure, is_said: bool) -> None:
    link = SourceLink("tcp://127.0.0.1:9", None)
    try:
        link._failure = failure
        assert link.refusal() is not None
        assert (link.refusal(was_linked=True) is not None) is is_said
    finally:
        link.close()


def test_a_tunnel_whose_other_end_is_absent_is_not_taken_for_a_wrong_key() -> None:
    with sockets.create_server(("127.0.0.1", 0)) as tunnel:
        ended = 0

        def accept_and_close() -> None:
            nonlocal ended
            with contextlib.suppress(OSError):
                while True:
                    tunnel.accept()[0].close()
                    ended += 1

        threading.Thread(target=accept_and_close, daemon=True).start()
        link = StreamClient(f"tcp://127.0.0.1:{tunnel.getsockname()[1]}", CLIENT, SERVER.public)
        link.ensure_resolved()
        link.renew()
        until = time.monotonic() + 10
        while ended < 5 and time.monotonic() < until:
            link.receive(0.02)
        assert ended >= 5
        assert link.failure is LinkFailure.NOT_REACHED
        link.close()
        tunnel.shutdown(sockets.SHUT_RDWR)


def test_an_other_end_that_comes_up_just_when_it_is_looked_for_has_no_wrong_key(wait_for: Callable[..., None]) -> None:
    """Two handshakes fail, as behind a tunnel without another end; then there is one, before the client looks."""
    with serving() as served, contextlib.ExitStack() as opened:
        tunnel = opened.enter_context(sockets.create_server(("127.0.0.1", 0)))
        opened.callback(tunnel.shutdown, sockets.SHUT_RDWR)
        host, _, port = served.server.endpoint.removeprefix("tcp://").rpartition(":")

        def let_pass(source: sockets.socket, target: sockets.socket) -> None:
            with contextlib.suppress(OSError):
                while piece := source.recv(65536):
                    target.sendall(piece)
                target.shutdown(sockets.SHUT_WR)

        def accept() -> None:
            with contextlib.suppress(OSError):
                for _ in range(2):
                    tunnel.accept()[0].close()
                while True:
                    near, far = tunnel.accept()[0], sockets.create_connection((host, int(port)))
                    opened.callback(near.close)
                    opened.callback(far.close)
                    for ends in ((near, far), (far, near)):
                        threading.Thread(target=let_pass, args=ends, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        link = StreamClient(f"tcp://127.0.0.1:{tunnel.getsockname()[1]}", CLIENT, SERVER.public)
        opened.callback(link.close)
        link.ensure_resolved()
        link.renew()
        seen: set[LinkFailure] = set()

        def is_connected() -> bool:
            link.receive(0.02)
            seen.add(link.failure)
            return link.is_connected

        wait_for(is_connected)
        assert seen == {LinkFailure.NOT_REACHED, LinkFailure.NONE}


def test_keys_at_one_side_only_are_said() -> None:
    with serving(None) as served, client(served) as link:
        link.send(Message("pull", {}))
        assert answer(link) is None
        assert link.failure is LinkFailure.OTHER_PROTOCOL


def test_an_absent_peer_is_just_that() -> None:
    with serving() as served:
        endpoint = served.server.endpoint
    link = StreamClient(endpoint, CLIENT, SERVER.public)
    link.ensure_resolved()
    link.renew()
    try:
        assert answer(link, 0.3) is None
        assert link.failure is LinkFailure.NOT_REACHED
    finally:
        link.close()


def test_a_name_of_no_machine_is_said() -> None:
    link = StreamClient("tcp://no-such-machine.invalid:5700", None, None)
    with pytest.raises(DtopipeError, match=r"no-such-machine\.invalid is not found"):
        link.ensure_resolved()
    link.close()


def test_a_port_that_is_taken_is_said() -> None:
    with serving() as served, pytest.raises(DtopipeError, match="Address already in use"):
        StreamServer(served.server.endpoint, SERVER, lambda key, address: Admission.WELCOME)


def test_hostile_frames_are_dropped_and_counted_and_the_next_request_is_answered(wait_for: Callable[..., None]) -> None:
    chance = random.Random(3)
    sound = encode(Message("pull", {"version": 1, "session": 1, "remote": "x", "at": 0, "window": 8}))
    with serving(None) as served:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(served.server.endpoint)
        n_sent = 0
        for _ in range(3000):
            spoilt = bytearray(sound)
            for _ in range(chance.randint(1, 6)):
                spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            parts = [bytes(spoilt)] * chance.choice((1, 1, 1, 2, 5))
            socket.send_multipart(parts)
            n_sent += 1
        wait_for(lambda: served.server.malformed.count + len(served.requests) == n_sent)
        assert served.server.malformed.count > n_sent // 2
        # More than a request may have: the connection ends before it is read.
        socket.send(bytes(1_000_000))
        socket.close(0)
        context.term()
        with client(served, None, None) as link:
            link.send(Message("pull", {"at": 1}))
            assert answer(link) == (Message("answer", {"at": 1}), bytes(100_000))
        assert all(len(encode(request)) < 70_000 for request in served.requests)


def test_an_answer_that_is_none_is_a_wire_error() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind("tcp://127.0.0.1:*")
    link = StreamClient(router.getsockopt_string(zmq.LAST_ENDPOINT), None, None)
    link.ensure_resolved()
    link.renew()
    try:
        link.send(Message("pull", {}))
        address, _ = router.recv_multipart()
        router.send_multipart([address, b"\x01"])
        with pytest.raises(WireError):
            for _ in range(500):
                link.receive(0.02)
    finally:
        link.close()
        router.close(0)
        context.term()
