"""What strangers send: a hundred thousand spoilt frames, and nothing comes of them but a count."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from mutations import BOMBS, COMMANDS, REQUESTS, WORDS_OF_WORKERS, Spoiler, packed, spoilt_items
from thoroughness import times

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.transport.control import ControlServer
from dtopipe.transport.link import Keys
from dtopipe.transport.stream_server import Admission, StreamServer
from dtopipe.wire.commands import ANSWERED, ASKED
from dtopipe.wire.control import Message, decode
from dtopipe.wire.link_items import decode_items, encode_items
from dtopipe.wire.link_messages import FROM_REMOTE, PULLS, TO_REMOTE
from dtopipe.wire.messages import FROM_ACQUIRER, FROM_GATEWAY, FROM_SINK, TO_ACQUIRER, TO_GATEWAY, TO_SINK

N_DECODED = times(100_000)
N_SENT = times(30_000)
# In flight at a time: a server that does not keep up is not drowned.
BATCH = 1000
QUESTION = packed({"kind": "question of the test"})
VOCABULARIES = (
    ASKED, ANSWERED, FROM_ACQUIRER, FROM_GATEWAY, FROM_REMOTE, FROM_SINK, PULLS, TO_ACQUIRER, TO_GATEWAY, TO_REMOTE,
    TO_SINK,
)  # fmt: skip

CODES = np.array([[1, -2, 3], [256, -32768, 32767]], np.int16)
STATUS = np.array([[0, 1, 0], [2, 3, 4]], np.int8)
ANCHOR = Anchor(7, 11, 13)
ITEMS: list[Block | Gap] = [
    Block(0, 10, CODES, ANCHOR),
    Gap(Span(13, 20), Cause.ACQUIRER_RESTART, 99),
    Block(0, 20, CODES, ANCHOR, STATUS),
    Gap(Span(23, 30), Cause.BOARD_OVERRUN, 100),
]


def frame_of(items: Sequence[Block | Gap]) -> tuple[bytes, list[tuple[int, int, int]]]:
    """The frame, and where in it each item's head begins and what it is the head of ends."""
    heads, at = [], 0
    for item in items:
        size = len(encode_items([item]))
        arrays = (item.codes, item.sensor_status) if isinstance(item, Block) else ()
        heads.append((at, size - sum(array.nbytes for array in arrays if array is not None), at + size))
        at += size
    return encode_items(items), heads


def test_of_spoilt_messages_nothing_comes_but_messages_and_wire_errors() -> None:
    spoiler = Spoiler((*REQUESTS, *COMMANDS), WORDS_OF_WORKERS, seed=1)
    n_messages = n_understood = 0
    for _ in range(N_DECODED):
        try:
            message = decode(spoiler.frame())
            n_messages += 1
            assert isinstance(message.kind, str)
        except WireError:
            continue
        for vocabulary in VOCABULARIES:
            with suppress(WireError):
                understood = vocabulary.read(message)
                assert understood is None or understood.kind == message.kind
                n_understood += understood is not None
    assert n_understood > 0
    # Neither everything is refused at the first look, nor is much of it sound.
    assert N_DECODED // 10 < n_messages < N_DECODED * 9 // 10


def test_a_spoilt_request_costs_little_memory_whatever_it_promises() -> None:
    """Measured by the largest of what each costs; a request has at most 64 KiB."""
    spoiler = Spoiler(REQUESTS, WORDS_OF_WORKERS, seed=2)
    frames = [*BOMBS, *(spoiler.frame() for _ in range(10_000))]
    worst = b""
    tracemalloc.start()
    try:
        most = 0
        for frame in frames:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            with suppress(WireError):
                decode(frame)
            cost = tracemalloc.get_traced_memory()[1] - before
            if cost > most:
                most, worst = cost, frame
    finally:
        tracemalloc.stop()
    # A list of a short frame's own elements has eight bytes each, a number has thirty-two.
    assert most < 8_000_000, f"{most} bytes for a frame of {len(worst)}: {worst[:60]!r}..."


def test_of_spoilt_samples_nothing_comes_but_items_that_fit_and_wire_errors() -> None:
    chance, n_taken = random.Random(3), 0
    sound = [frame_of(ITEMS[first : first + 2]) for first in range(len(ITEMS))]
    for number in range(N_DECODED):
        try:
            items = decode_items(spoilt_items(*sound[number % len(sound)], chance.random), 2, "int16", 3)
        except WireError:
            continue
        n_taken += 1
        for item in items:
            assert 0 <= item.span.start < item.span.stop < 2**62 + 3
            if isinstance(item, Block):
                assert item.codes.shape == (2, item.n_samples)
                assert item.n_samples <= 3
                assert item.sensor_status is None or item.sensor_status.shape == item.codes.shape
    # Of those whose checksum was made to fit.
    assert n_taken > N_DECODED // 100


def test_spoilt_samples_cost_no_memory() -> None:
    chance = random.Random(4)
    sound = frame_of(ITEMS)
    tracemalloc.start()
    try:
        for _ in range(5000):
            try:
                decode_items(spoilt_items(*sound, chance.random), 2, "int16", 3)
            except WireError:
                continue
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


class Counted:
    """A server that is asked in a thread: what it took for messages, and how many it dropped."""

    def __init__(self, server: Any, receive: Callable[[float], Message | None]) -> None:
        self.server = server
        self.n_messages = self.n_questions = 0
        self.longest = 0
        self.failure: BaseException | None = None
        self._receive = receive
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def n_heard(self) -> int:
        return int(self.n_messages + self.server.malformed.count)

    def _serve(self) -> None:
        try:
            while not self._stop.is_set():
                message = self._receive(0.02)
                if message is not None:
                    self.n_messages += 1
                    self.n_questions += message.kind == "question of the test"
                    self.longest = max(self.longest, len(message.kind))
        except BaseException as error:
            self.failure = error

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.server.close()


@contextmanager
def stream_server() -> Iterator[tuple[Counted, str]]:
    server = StreamServer("tcp://127.0.0.1:*", None, lambda key, address: Admission.WELCOME)

    def receive(timeout_s: float) -> Message | None:
        request = server.receive(timeout_s)
        return None if request is None else request.message

    counted = Counted(server, receive)
    try:
        yield counted, server.endpoint
    finally:
        counted.close()


@contextmanager
def control_server(folder: Path) -> Iterator[tuple[Counted, str]]:
    server = ControlServer(folder, Keys())

    def receive(timeout_s: float) -> Message | None:
        received = server.receive(timeout_s)
        return None if received is None else received[1]

    counted = Counted(server, receive)
    try:
        yield counted, server.endpoint
    finally:
        counted.close()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A Unix socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="dtp-f-", dir=os.environ.get("DTOPIPE_RUNTIME_DIR")) as folder:
        yield Path(folder)


def send_all(counted: Counted, endpoint: str, spoiler: Spoiler, identity_of: Callable[[int], bytes]) -> None:
    """Many spoilt frames by connections that come and go; each is counted, and every sound one among them heard."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    n_sent = n_asked = 0
    try:
        while n_sent < N_SENT:
            socket = context.socket(zmq.DEALER)
            socket.linger = 5000
            if identity := identity_of(n_sent):
                socket.setsockopt(zmq.IDENTITY, identity)
            socket.connect(endpoint)
            for _ in range(10):
                for _ in range(BATCH - 1):
                    socket.send_multipart(spoiler.message())
                socket.send(QUESTION)
                n_sent, n_asked = n_sent + BATCH, n_asked + 1
                until = time.monotonic() + 30
                while counted.n_heard < n_sent and counted.failure is None:
                    assert time.monotonic() < until, f"{counted.n_heard} of {n_sent} were heard"
                    time.sleep(0.002)
            socket.close(0)
        assert counted.failure is None
        assert counted.n_questions == n_asked
        assert counted.server.malformed.count > n_sent // 10
        assert counted.n_messages > n_sent // 10
    finally:
        context.destroy(0)


def identities(spoiler: Spoiler) -> Callable[[int], bytes]:
    """None comes twice: who takes a name that is in use may not be heard there."""
    names = (b"", b"sink.table.%d", b"\0\0%d", b"%d" + b"y" * 200)

    def identity(n_sent: int) -> bytes:
        name = spoiler.chance.choice(names)
        return name % n_sent if name else b""

    return identity


def test_hostile_frames_at_the_gateways_port_are_counted_and_sound_ones_among_them_heard() -> None:
    # Longer ones end the connection, with whatever was on its way: the fuzzer's matter.
    spoiler = Spoiler(REQUESTS, WORDS_OF_WORKERS, 5, lambda frame: len(frame) < 64 * 1024)
    with stream_server() as (counted, endpoint):
        send_all(counted, endpoint, spoiler, identities(spoiler))


def test_hostile_frames_at_the_control_socket_are_counted_and_sound_ones_among_them_heard(short_folder: Path) -> None:
    spoiler = Spoiler(COMMANDS, WORDS_OF_WORKERS, 6)
    with control_server(short_folder) as (counted, endpoint):
        send_all(counted, endpoint, spoiler, identities(spoiler))
