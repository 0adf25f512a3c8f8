"""Runs in a stream of a real NATS server: what comes of breaks, limits, losses and other people's streams."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats_server import NatsServer
from recordings import block, blocks, gap, recorded

from dtopipe.broker.address import address_of
from dtopipe.broker.listing import published_runs
from dtopipe.broker.log import covers
from dtopipe.model.errors import OutputExists, SinkError, SinkUnavailable
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions, OutputRows
from dtopipe.sinks.jetstream.messages import batches
from dtopipe.sinks.jetstream.reader import JetStreamReader
from dtopipe.sinks.jetstream.server import is_own, target
from dtopipe.sinks.jetstream.writer import JetStreamWriter

STREAM = recorded()


@pytest.fixture
def own_server() -> Iterator[NatsServer]:
    """One that a test may kill."""
    server = NatsServer("max_payload: 65536")
    yield server
    server.close()


@pytest.fixture(scope="module")
def apart() -> Iterator[NatsServer]:
    """One whose streams are those of these tests: another's `dtopipe.>` would have their subjects."""
    server = NatsServer()
    yield server
    server.close()


def writer(server: NatsServer, **options: Any) -> JetStreamWriter:
    return JetStreamWriter(OutputOptions(None), endpoint=server.endpoint, timeout_s=2.0, **options)


def indices(server: NatsServer, run_name: str = "heat", **options: Any) -> list[int]:
    reader = JetStreamReader(None, "run-1", endpoint=server.endpoint, run_name=run_name, **options)
    return [int(index) for rows in reader.batches() for index in rows.sample_index]


def n_messages(server: NatsServer, stream: str = "dtopipe") -> int:
    async def asked(js: Any) -> int:
        return int((await js.stream_info(stream)).state.messages)

    return int(server.ask(asked))


def test_a_restart_after_a_break_longer_than_the_duplicate_window_doubles_nothing(
    apart: NatsServer, wait_for: Callable[..., None]
) -> None:
    name = apart.new_stream()
    options = {"run_name": name, "stream": name, "duplicate_window": 0.1}

    async def make(js: Any) -> None:
        await js.add_stream(name=name, subjects=[f"dtopipe.{name}.>", f"other.{name}"], duplicate_window=0.1)

    apart.ask(make)
    first = writer(apart, **options)
    first.open(STREAM, 0, resume=False)
    first.append(blocks(STREAM, 0, 500))
    first.commit()
    first.abandon()

    # The server knows a message of that id no more.
    async def is_known_no_more(js: Any) -> bool:
        found = await js.publish(f"other.{name}", b"", headers={"Nats-Msg-Id": "said"})
        return not found.duplicate

    apart.ask(is_known_no_more)
    wait_for(lambda: apart.ask(is_known_no_more))
    before = n_messages(apart, name)
    second = writer(apart, **options)
    position = second.open(STREAM, 0, resume=True)
    assert (position.committed, position.samples) == (500, 500)
    # One that says again what the run is.
    assert n_messages(apart, name) == before + 1
    second.append(blocks(STREAM, 500, 700))
    second.close()
    assert indices(apart, name, stream=name) == list(range(700))
    with pytest.raises(OutputExists, match="the run run-1 is there already"):
        writer(apart, **options).open(STREAM, 0, resume=False)


@pytest.mark.parametrize("is_detached", [False, True])
def test_only_a_run_that_is_over_ends_in_the_stream(own_server: NatsServer, *, is_detached: bool) -> None:
    leaving = writer(own_server, run_name="heat")
    leaving.open(STREAM, 0, resume=False)
    leaving.append(blocks(STREAM, 0, 500))
    if is_detached:
        leaving.detach()
    leaving.close()
    (found,) = published_runs(address_of({"endpoint": own_server.endpoint}))
    assert (found.has_ended, found.position.committed) == (not is_detached, 500)


def test_small_blocks_go_together_and_large_ones_in_pieces_below_the_limit(own_server: NatsServer) -> None:
    long = replace(STREAM, samples_per_block=100_000)
    open_writer = writer(own_server)
    open_writer.open(long, 0, resume=False)
    before = n_messages(own_server)
    open_writer.append(blocks(long, 0, 1000, 10))
    open_writer.commit()
    assert n_messages(own_server) == before + 1
    open_writer.append([block(long, 1000, 91_000)])
    assert open_writer.commit().committed == 91_000
    # 360 kB, and a message has at most 64 KiB.
    assert n_messages(own_server) == before + 1 + 6
    open_writer.close()
    assert indices(own_server) == list(range(91_000))


def test_batches_have_every_sample_once_in_messages_of_bounded_size() -> None:
    items: list[Any] = [
        *blocks(STREAM, 0, 300),
        gap(STREAM, 300, 350),
        block(STREAM, 350, 1350),
        block(STREAM, 1350, 1360),
    ]
    found = list(batches(items, 1000))
    assert [batch.piece for batch in found][:2] == [(1, 1), (1, 1)]
    assert [batch.piece for batch in found if batch.piece != (1, 1)] == [(k, 5) for k in range(1, 6)]
    spans = [item.span for batch in found for item in batch.items]
    assert spans[0].start == 0
    assert all(one.stop == other.start for one, other in pairwise(spans))
    assert spans[-1].stop == 1360
    assert all(sum(item.codes.nbytes for item in batch.items if isinstance(item, Block)) <= 1000 for batch in found)


def test_a_server_that_is_away_is_waited_for_and_nothing_is_missing_or_doubled(own_server: NatsServer) -> None:
    open_writer = writer(own_server, window_messages=2)
    open_writer.open(STREAM, 0, resume=False)
    open_writer.append(blocks(STREAM, 0, 200))
    open_writer.commit()
    own_server.kill()
    open_writer.append(blocks(STREAM, 200, 400))
    for _ in range(2):
        with pytest.raises(SinkUnavailable, match=r"reached|lost"):
            open_writer.commit()
    own_server.start()
    assert open_writer.commit().committed == 400
    # What hangs in the middle of a commit.
    own_server.pause()
    open_writer.append(blocks(STREAM, 400, 600))
    with pytest.raises(SinkUnavailable, match="answer"):
        open_writer.commit()
    own_server.go_on()
    assert open_writer.commit().samples == 600
    open_writer.append([gap(STREAM, 600, 650), block(STREAM, 650, 700)])
    position = open_writer.close()
    assert (position.committed, position.samples, position.gap_samples) == (700, 650, 50)
    assert indices(own_server) == [*range(600), *range(650, 700)]


def test_after_the_server_has_lost_acknowledged_messages_the_run_goes_on_behind_what_it_has(
    own_server: NatsServer, tmp_path: Path
) -> None:
    open_writer = writer(own_server)
    open_writer.open(STREAM, 0, resume=False)
    open_writer.append(blocks(STREAM, 0, 300))
    open_writer.commit()
    own_server.kill()
    synced = tmp_path / "synced"
    shutil.copytree(own_server.store, synced)
    own_server.start()
    open_writer.append(blocks(STREAM, 300, 900))
    assert open_writer.commit().committed == 900
    assert open_writer.sync().durable == 0
    # As a power cut leaves it.
    own_server.kill()
    shutil.rmtree(own_server.store)
    shutil.copytree(synced, own_server.store)
    own_server.start()
    open_writer.append(blocks(STREAM, 900, 1000))
    with pytest.raises(SinkError, match="the run is there up to sample 300, and was up to sample 900") as lost:
        open_writer.commit()
    assert not isinstance(lost.value, SinkUnavailable)
    assert "published again from the journal" in lost.value.remedy
    open_writer.abandon()
    successor = writer(own_server)
    assert successor.open(STREAM, 0, resume=True).committed == 300
    successor.append(blocks(STREAM, 300, 1000))
    successor.close()
    assert indices(own_server) == list(range(1000))


def test_a_look_goes_on_where_the_server_forgets_it_or_hesitates(own_server: NatsServer) -> None:
    open_writer = writer(own_server)
    open_writer.open(STREAM, 0, resume=False)
    # More messages than are asked for at once.
    for first in range(0, 4000, 10):
        open_writer.append(blocks(STREAM, first, first + 10))
        open_writer.commit()
    open_writer.close()

    async def forget(js: Any) -> None:
        for each in await js.consumers_info("dtopipe"):
            if each.name.startswith("dtopipe-look-"):
                await js.delete_consumer("dtopipe", each.name)

    def some() -> tuple[list[int], Iterator[OutputRows]]:
        rows = JetStreamReader(None, "run-1", endpoint=own_server.endpoint, run_name="heat").batches()
        return next(rows).sample_index.tolist(), rows

    found, rest = some()
    own_server.ask(forget)
    assert [*found, *(index for rows in rest for index in rows.sample_index)] == list(range(4000))

    found, rest = some()
    own_server.pause()
    goes_on = threading.Timer(3.0, own_server.go_on)
    goes_on.start()
    try:
        found += [index for rows in rest for index in rows.sample_index]
    finally:
        goes_on.join()
    assert found == list(range(4000))


def test_a_full_stream_that_discards_what_is_new_is_waited_for(apart: NatsServer) -> None:
    name = apart.new_stream()

    async def make(js: Any) -> None:
        await js.add_stream(name=name, subjects=[f"dtopipe.{name}.>"], max_bytes=16_000, discard="new")

    apart.ask(make)
    open_writer = writer(apart, stream=name, run_name=name, discard="new", max_bytes=16_000)
    open_writer.open(STREAM, 0, resume=False)
    open_writer.append(blocks(STREAM, 0, 10_000))
    with pytest.raises(SinkUnavailable, match="the stream is full, and discards what is new") as full:
        open_writer.commit()
    assert "max_bytes" in full.value.remedy

    async def enlarge(js: Any) -> None:
        config = (await js.stream_info(name)).config
        config.max_bytes = 10**6
        await js.update_stream(config=config)

    apart.ask(enlarge)
    assert open_writer.commit().committed == 10_000
    open_writer.close()
    assert np.array_equal(indices(apart, name, stream=name), np.arange(10_000))


@pytest.mark.parametrize(
    ("config", "options", "words", "remedy"),
    [
        ({"subjects": ["elsewhere.>"]}, {}, "does not take dtopipe.NAME.simulated: its subjects are else", "stream:"),
        ({"retention": "workqueue"}, {}, "deletes what was read", "limits"),
        ({"no_ack": True}, {}, "acknowledges nothing", "no_ack"),
        ({}, {"replicas": 3}, "has num_replicas 1, and replicas 3 was asked for", "take replicas out"),
        ({"max_bytes": 300}, {}, "the stream holds 300 bytes, and one block takes", "max_bytes"),
        ({"max_msg_size": 1030}, {}, "one sample of all channels has", "max_msg_size"),
        (None, {"create": False}, "there is no stream NAME", "create: true"),
        (None, {"replicas": 3}, "a single server keeps no replicas", "replicas: 1"),
    ],
)  # fmt: skip
def test_a_stream_that_is_not_what_was_asked_for_is_refused_with_the_way_out(
    apart: NatsServer, config: dict[str, Any] | None, options: dict[str, Any], words: str, remedy: str
) -> None:
    name = apart.new_stream()
    if config is not None:
        made = {"name": name, "subjects": [f"dtopipe.{name}.>"], **config}

        async def make(js: Any) -> None:
            await js.add_stream(**made)

        apart.ask(make)
    refused = writer(apart, stream=name, run_name=name, **options)
    with pytest.raises(SinkError) as error:
        refused.open(STREAM, 0, resume=False)
    assert words.replace("NAME", name) in error.value.message
    assert remedy in error.value.remedy
    assert not isinstance(error.value, SinkUnavailable)


def test_a_subject_that_somebody_else_writes_is_left_alone(apart: NatsServer) -> None:
    name = apart.new_stream()

    async def make(js: Any) -> None:
        await js.add_stream(name=name, subjects=[f"dtopipe.{name}.>"])
        await js.publish(f"dtopipe.{name}.simulated", b"by hand")

    apart.ask(make)
    with pytest.raises(SinkError, match="a message that dtopipe has not written"):
        writer(apart, stream=name, run_name=name).open(STREAM, 0, resume=False)
    assert n_messages(apart, name) == 1


def test_a_wrong_user_and_a_wrong_server_are_said_without_the_password(tmp_path: Path) -> None:
    server = NatsServer('authorization { users: [ {user: lab, password: "s3cr3t"} ] }')
    try:
        for options in ({}, {"user": "lab", "password": "wr0ng"}):
            with pytest.raises(SinkError, match="the server refuses this user") as refused:
                writer(server, **options).open(STREAM, 0, resume=False)
            assert not isinstance(refused.value, SinkUnavailable)
            assert "wr0ng" not in str(refused.value)
        welcome = writer(server, user="lab", password="s3cr3t")
        welcome.open(STREAM, 0, resume=False)
        welcome.close()
        for option in ("credentials", "nkey"):
            absent = str(tmp_path / "absent")
            with pytest.raises(SinkError, match=rf"{option} .*absent cannot be read"):
                writer(server, **{option: absent}).open(STREAM, 0, resume=False)
        port = server.port
    finally:
        server.close()
    with pytest.raises(SinkUnavailable, match="the server cannot be reached"):
        JetStreamWriter(OutputOptions(None), endpoint=f"nats://127.0.0.1:{port}").open(STREAM, 0, resume=False)


def test_readings_are_refused(nats_server: NatsServer) -> None:
    with pytest.raises(SinkError, match="takes no polled readings"):
        writer(nats_server).open(recorded(polled=True), 0, resume=False)


@pytest.mark.parametrize(
    ("pattern", "subject", "is_covered"),
    [
        ("dtopipe.>", "dtopipe.a.b", True), (">", "dtopipe.a", True), ("dtopipe.*.*", "dtopipe.a.b", True),
        ("dtopipe.*", "dtopipe.a.b", False), ("dtopipe.a.b", "dtopipe.a.c", False), ("dtopipe.>", "dtopipe", False),
        ("dtopipe.a.>", "dtopipe.>", False),
    ],
)  # fmt: skip
def test_a_pattern_covers_what_it_has_in_it(pattern: str, subject: str, is_covered: bool) -> None:
    assert covers(pattern, subject) is is_covered


def test_a_server_here_is_ones_own_and_its_target_has_no_password() -> None:
    def resolved(part: Any) -> Any:
        return part

    assert is_own({"endpoint": "nats://localhost,nats://127.0.0.1:4223"}, resolved)
    assert is_own({"endpoint": "${NATS}"}, resolved)
    assert not is_own({"endpoint": "nats://localhost,nats://lab"}, resolved)
    assert not is_own({"endpoint": 3}, resolved)
    options = {"endpoint": "nats://lab", "user": "ada", "password": "s3cr3t"}
    assert target(options, "heat flux") == "nats://lab:4222/dtopipe/dtopipe.heat%20flux"
    with pytest.raises(SinkError, match="no user and no password") as refused:
        target({"endpoint": "nats://ada:s3cr3t@lab"}, "x")
    assert "s3cr3t" not in str(refused.value)
