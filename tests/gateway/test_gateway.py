"""A gateway with a real port: how many it serves, and who makes room."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dtopipe.core import link
from dtopipe.gateway.gateway import Gateway, Limits
from dtopipe.model.keys import KeyPair
from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.key_folder import KeyFolder
from dtopipe.transport.stream_client import StreamClient
from dtopipe.wire.control import Message
from dtopipe.wire.link_items import PROTOCOL_VERSION
from dtopipe.wire.messages import GatewaySays, RemoteEvent

MOST = 256


def pull(number: int) -> Message:
    return Message(
        "pull",
        {
            "version": PROTOCOL_VERSION, "session": number, "remote": f"remote-{number}", "label": "", "run_id": "",
            "skip": [], "may_wait": True, "since": "earliest", "resumes": False, "drops": False, "window": 4,
            "durable": 0, "gaps": [],
        },
    )  # fmt: skip


class Hall:
    """A gateway, and one program there that says it is many remotes."""

    def __init__(self, gateway: Gateway, client: StreamClient, told: list[GatewaySays]) -> None:
        self.gateway, self.client, self._told = gateway, client, told

    def events(self, name: str) -> list[RemoteEvent]:
        return [each for each in self._told if isinstance(each, RemoteEvent) and each.event == name]

    def turn_until_answered(self, kind: str, asked: Message | None = None) -> Message:
        """`asked`: said again each second, as remotes do that hear nothing, for a line that is full loses answers."""
        until, ask_at = time.monotonic() + 30, 0.0
        while time.monotonic() < until:
            if asked is not None and time.monotonic() > ask_at:
                self.client.send(asked)
                ask_at = time.monotonic() + 1
            self.gateway.turn()
            # All that has come: what hundreds are told waits in one line, which holds only so much.
            while (received := self.client.receive(0)) is not None:
                if received[0].kind == kind:
                    return received[0]
        raise AssertionError(f"no answer {kind}")

    def turn_until_joined(self, n: int) -> None:
        until = time.monotonic() + 30
        while len(self.events("remote_joined")) < n:
            assert time.monotonic() < until, f"{len(self.events('remote_joined'))} of {n}"
            self.gateway.turn()
            while self.client.receive(0) is not None:
                pass


@contextmanager
def a_hall(keys: KeyFolder | None = None, own: KeyPair | None = None) -> Iterator[Hall]:
    """`keys`: the gateway's; `own`: the program's."""
    told: list[GatewaySays] = []
    gateway = Gateway("tcp://127.0.0.1:*", keys, Limits(drain_ns=10**9), told.append)
    client = StreamClient(gateway.endpoint, own, keys.own().public if keys else None)
    client.ensure_resolved()
    client.renew()
    try:
        yield Hall(gateway, client, told)
    finally:
        client.close()
        gateway.close()


def test_one_too_many_is_told_to_wait_until_somebody_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody may fall silent while a busy machine takes its time for all of them.
    monkeypatch.setattr(link, "FOLLOWER_SILENCE_NS", 10**18)
    with a_hall() as hall:
        for number in range(MOST):
            hall.client.send(pull(number))
        hall.turn_until_joined(MOST)
        refused = hall.turn_until_answered("refused", pull(MOST))
        assert refused.body["session"] == MOST
        assert f"serves {MOST} others already" in refused.body["message"]
        # It may come again: it has done nothing wrong.
        assert refused.body["is_final"] is False
        assert not hall.events("remote_forgotten")
        # Whoever fell silent and never took anything has nothing to lose.
        monkeypatch.setattr(link, "FOLLOWER_SILENCE_NS", 0)
        hall.client.send(pull(MOST))
        hall.turn_until_joined(MOST + 1)
        assert hall.events("remote_forgotten")


def test_who_comes_without_a_proper_id_is_nobody() -> None:
    with a_hall() as hall:
        for wrong in ("", "x" * 65, "a\nb", "../x"):
            message = pull(1)
            hall.client.send(Message("pull", {**message.body, "remote": wrong}))
        hall.client.send(pull(2))
        hall.turn_until_joined(1)
        assert [each.remote for each in hall.events("remote_joined")] == ["remote-2"]


def test_who_is_revoked_is_told_at_once_and_gets_nothing_by_a_connection_that_it_still_has(tmp_path: Path) -> None:
    keys, office = KeyFolder(tmp_path), new_key_pair("office")
    keys.write_own(new_key_pair("daq-pc"))
    keys.authorize(office.public, "2026-11-28T00:00:00Z")
    with a_hall(keys, office) as hall:
        hall.client.send(pull(1))
        hall.turn_until_joined(1)
        keys.revoke("office", "2026-11-28T00:00:01Z")
        refused = hall.turn_until_answered("refused")
        assert (refused.body["session"], refused.body["is_final"]) == (1, True)
        assert f"has revoked this machine's key {office.public.fingerprint}" in refused.body["message"]
        # It need not ask by a new connection, which would be refused.
        refused = hall.turn_until_answered("refused", pull(2))
        assert (refused.body["session"], refused.body["is_final"]) == (2, True)
        assert len(hall.events("remote_joined")) == len(hall.events("remote_revoked")) == 1
