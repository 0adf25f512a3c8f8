"""A name that one connection to a real NATS server holds, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from nats_server import NatsServer

from dtopipe.broker.address import Address
from dtopipe.broker.claim import Claim, Held
from dtopipe.broker.connection import BrokerConnection


@pytest.fixture
def connections(nats_server: NatsServer) -> Iterator[list[BrokerConnection]]:
    found = [BrokerConnection(Address(nats_server.endpoint)) for _ in range(4)]
    for each in found:
        each.connect()
    yield found
    for each in found:
        each.close()


def test_a_name_is_held_until_its_connection_ends_or_lets_it_go(connections: list[BrokerConnection]) -> None:
    first, second, third, _ = connections
    claim = Claim(first, "bench", "the first")
    claim.take("taken")
    claim.take("taken")
    other = Claim(second, "bench", "the second")
    with pytest.raises(Held, match="taken \\(the first, process"):
        other.take("taken")
    assert "the first" in str(other.holder())
    Claim(second, "another bench", "the second").take("taken")
    claim.release()
    assert other.holder() is None
    other.take("taken")
    second.drop()
    Claim(third, "bench", "the third").take("taken")


def test_of_many_who_ask_at_once_one_has_it(connections: list[BrokerConnection]) -> None:
    for turn in range(5):
        ready = threading.Barrier(len(connections))
        won: list[int] = []

        def ask(number: int, name: str, ready: threading.Barrier, won: list[int]) -> None:
            claim = Claim(connections[number], name, str(number))
            ready.wait()
            try:
                claim.take("taken")
                won.append(number)
            except Held:
                pass

        threads = [
            threading.Thread(target=ask, args=(number, f"at once {turn}", ready, won))
            for number in range(len(connections))
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(won) == 1, won


def test_who_only_looks_takes_a_name_from_nobody(connections: list[BrokerConnection]) -> None:
    first, *others = connections
    is_over = threading.Event()

    def look(connection: BrokerConnection) -> None:
        while not is_over.is_set():
            Claim(connection, "looked at", "a looker").holder()

    threads = [threading.Thread(target=look, args=(each,)) for each in others]
    for each in threads:
        each.start()
    try:
        for _ in range(100):
            claim = Claim(first, "looked at", "the first")
            claim.take("taken")
            claim.release()
    finally:
        is_over.set()
        for each in threads:
            each.join()


def test_what_is_no_word_of_a_claim_takes_nothing(nats_server: NatsServer, connections: list[BrokerConnection]) -> None:
    stranger, first, *_ = connections
    claim = Claim(first, "strange", "the first")

    async def answer_nonsense() -> None:
        async def nonsense(message: object) -> None:
            await stranger.client.publish(message.reply, b"{]")  # type: ignore[attr-defined]

        await stranger.client.subscribe("_dtopipe.claim.>", cb=nonsense)
        await stranger.client.flush()

    stranger.call(answer_nonsense)
    claim.take("taken")
