"""Who looks at a run from another machine: asks for nothing that costs it, and leaves no mark on it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dtopipe.gateway import gateway as gateway_module
from dtopipe.gateway.gateway import Gateway, Limits
from dtopipe.gateway.lookers import Lookers
from dtopipe.model.errors import DtopipeError
from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.key_folder import KeyFolder, keys_dir
from dtopipe.transport.looking import LookingLink
from dtopipe.transport.stream_server import Admission, Request, StreamServer
from dtopipe.wire.control import Message
from dtopipe.wire.link_items import PROTOCOL_VERSION
from dtopipe.wire.link_messages import (
    FROM_REMOTE,
    LinkRefused,
    Look,
    Pull,
    RunSeen,
    ServedNoLonger,
    StatusFollows,
)
from dtopipe.wire.messages import GatewaySays, RemotesServed
from dtopipe.wire.vocabulary import Vocabulary

SECOND_NS = 1_000_000_000
SEEN = RunSeen({"name": "heat", "phase": "running"})


class Room:
    """A gateway with a real port, whose run answers at once that it runs."""

    def __init__(self, keys: KeyFolder | None, *, is_over: bool = False) -> None:
        self.told: list[GatewaySays] = []
        self.times_asked = self.owed = 0
        ask = None if is_over else self._ask
        self.gateway = Gateway("tcp://127.0.0.1:*", keys, Limits(drain_ns=10**9), self.told.append, (), ask)

    def _ask(self) -> None:
        self.times_asked += 1
        self.owed += 1

    def turn(self) -> None:
        self.gateway.turn()
        for _ in range(self.owed):
            self.gateway.show(SEEN)
        self.owed = 0

    def look(self, link: LookingLink) -> RunSeen | None:
        """What is answered; None once the run is over."""
        until_s = time.monotonic() + 30
        while not link.is_over:
            self.turn()
            if (seen := link.look(0.0)) is not None:
                return seen
            assert time.monotonic() < until_s, link.trouble
        return None


@contextlib.contextmanager
def a_room(keys: KeyFolder | None = None, *, is_over: bool = False) -> Iterator[Room]:
    room = Room(keys, is_over=is_over)
    try:
        yield room
    finally:
        room.gateway.close()


@contextlib.contextmanager
def a_look(endpoint: str, server_key: Path | None = None) -> Iterator[LookingLink]:
    link = LookingLink(endpoint, server_key)
    try:
        yield link
    finally:
        link.close()


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    """Those of the machine with the board, which has authorized whoever looks here."""
    monkeypatch.setenv("DTOPIPE_KEYS_DIR", str(tmp_path / "office"))
    office, there = new_key_pair("office"), KeyFolder(tmp_path / "daq-pc")
    KeyFolder(keys_dir()).write_own(office)
    there.write_own(new_key_pair("daq-pc"))
    there.authorize(office.public, "2026-11-28T00:00:00Z")
    return there


def test_who_looks_sees_the_run_and_is_in_no_list_and_no_event(keys: KeyFolder) -> None:
    with a_room(keys) as room, a_look(room.gateway.endpoint, keys.public_path("daq-pc")) as link:
        assert room.look(link) == room.look(link) == SEEN
        assert all(isinstance(each, RemotesServed) and not each.remotes for each in room.told)
        assert room.times_asked == 2
        # It is asked for nothing while nobody looks.
        until_s = time.monotonic() + 5
        told = len(room.told)
        while len(room.told) < told + 6:
            room.turn()
            assert time.monotonic() < until_s
        assert room.times_asked == 2
        keys.revoke("office", "2026-11-28T00:00:01Z")
        with pytest.raises(DtopipeError, match="has revoked this machine's key") as refused:
            # What is known of keys is some instants old.
            for _ in range(5):
                room.look(link)
        assert "dtopipe keys new --replace" in refused.value.remedy


def test_who_looks_hears_of_the_end_and_keeps_nobody_from_it() -> None:
    with a_room() as room, a_look(room.gateway.endpoint) as link:
        assert room.look(link) == SEEN
        # It asks again, and is not heard any more.
        assert link.look(0.0) is None
        room.gateway.close()
        assert link.look(30.0) is None
        assert link.is_over


def test_a_key_that_nobody_knows_is_told_so_and_shown_nothing(keys: KeyFolder) -> None:
    KeyFolder(keys_dir()).write_own(stranger := new_key_pair("stranger"))
    with a_room(keys) as room, a_look(room.gateway.endpoint, keys.public_path("daq-pc")) as link:
        with pytest.raises(DtopipeError, match=stranger.public.fingerprint) as refused:
            room.look(link)
        assert "dtopipe keys authorize stranger.pub" in refused.value.remedy
        assert not room.times_asked


@pytest.mark.parametrize(("is_over", "words"), [(True, "the run that it serves is over"), (False, "too old to be")])
def test_who_cannot_be_looked_at_says_why(monkeypatch: pytest.MonkeyPatch, is_over: bool, words: str) -> None:
    if not is_over:
        # As before there was a look: it is passed over, and no version is special.
        monkeypatch.setattr(gateway_module, "FROM_REMOTE", Vocabulary[Any](Pull))
        monkeypatch.setattr(gateway_module, "NO_VERSION", None)
    with a_room(is_over=is_over) as room, a_look(room.gateway.endpoint) as link:
        with pytest.raises(DtopipeError, match=words):
            room.look(link)
        assert not room.times_asked


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", b"\xdd\xff\xff\xff\xff", b"\x81\xa4kind\xa4seen"])
def test_an_answer_that_is_none_is_told_in_words(payload: bytes) -> None:
    server = StreamServer("tcp://127.0.0.1:*", None, lambda key, address: Admission.WELCOME)
    try:
        with a_look(server.endpoint) as link, pytest.raises(DtopipeError, match="does not speak as it should"):
            until_s = time.monotonic() + 30
            while time.monotonic() < until_s:
                request = server.receive(0.01)
                if request is not None and isinstance(asked := FROM_REMOTE.read(request.message), Look):
                    server.send(request.address, StatusFollows(asked.session), payload)
                link.look(0.0)
    finally:
        server.close()


class Answers:
    """What goes to whom."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []

    def send(self, address: bytes, message: Any, payload: bytes = b"") -> bool:
        self.sent.append((address, message))
        return True


def a_request(who: int) -> Request:
    return Request(bytes([who]), b"", "", Message("look"))


def test_however_often_it_is_asked_the_run_is_asked_once_a_second_and_each_is_answered_once() -> None:
    server, asked = Answers(), []
    lookers = Lookers(server, lambda: asked.append(1), lambda key: None)  # type: ignore[arg-type]
    for turn in range(40):
        for who in (1, 2):
            lookers.hear(a_request(who), Look(turn, PROTOCOL_VERSION))
        lookers.look(turn * SECOND_NS // 10)
        if len(asked) > len(server.sent) // 2:
            lookers.show(SEEN, turn * SECOND_NS // 10)
    assert len(asked) == 4
    assert [address for address, _ in server.sent] == [b"\1", b"\2"] * 4
    lookers.hear(a_request(3), Look(40, PROTOCOL_VERSION))
    lookers.part()
    over = [(address, message) for address, message in server.sent if isinstance(message, ServedNoLonger)]
    assert over == [(b"\1", ServedNoLonger(39)), (b"\2", ServedNoLonger(39)), (b"\3", ServedNoLonger(40))]


def test_who_has_not_asked_for_long_is_forgotten() -> None:
    server = Answers()
    lookers = Lookers(server, lambda: None, lambda key: None)  # type: ignore[arg-type]
    lookers.hear(a_request(1), Look(1, PROTOCOL_VERSION))
    lookers.look(SECOND_NS)
    lookers.show(SEEN, SECOND_NS)
    lookers.look(7 * SECOND_NS)
    lookers.part()
    assert [message for _, message in server.sent] == [StatusFollows(1)]


def test_only_so_many_wait_and_nobody_waits_for_a_supervisor_that_says_nothing() -> None:
    server = Answers()
    lookers = Lookers(server, lambda: None, lambda key: None)  # type: ignore[arg-type]
    for who in range(65):
        lookers.hear(a_request(who), Look(who, PROTOCOL_VERSION))
    assert server.sent == [(b"\x40", LinkRefused(64, "64 others look at it already", "", is_final=False))]
    lookers.look(SECOND_NS)
    lookers.look(7 * SECOND_NS)
    refused = [message for _, message in server.sent if isinstance(message, LinkRefused)]
    assert len(refused) == 65
    assert "does not answer" in refused[-1].message
    assert not refused[-1].is_final


def test_another_version_is_told_which_one_is_spoken() -> None:
    server = Answers()
    Lookers(server, lambda: None, lambda key: None).hear(a_request(1), Look(1, 3))  # type: ignore[arg-type]
    ((_, refused),) = server.sent
    assert "it speaks version 2 of the protocol" in refused.message
