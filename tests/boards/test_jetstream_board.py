"""A run that is followed through a stream of a real NATS server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nats_server import NatsServer
from recordings import ANCHOR, block, blocks, gap, recorded

from dtopipe.boards.contract import FollowingBoard, LinkedBoard, SurroundedBoard
from dtopipe.boards.jetstream.board import JetStreamBoard
from dtopipe.core.link_clock import LinkPair
from dtopipe.model.board_events import Ended, Overrun, Taken
from dtopipe.model.errors import BoardError
from dtopipe.model.span import Span
from dtopipe.model.stream import Block
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.jetstream.writer import JetStreamWriter

RUN_ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
OTHER_ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3302"
STREAM = recorded(run_id=RUN_ID)


class Around:
    """A worker that waits for as long as it is told to."""

    def __init__(self, looks: int = 1000) -> None:
        self._looks = looks
        self.said: list[str] = []

    def away(self, why: str) -> None:
        self.said.append(why)

    def back(self) -> None:
        self.said.append("back")

    def is_wanted(self) -> bool:
        self._looks -= 1
        return self._looks >= 0

    def compared(self, pair: LinkPair) -> None:
        raise AssertionError("nobody compares clocks here")


def board(server: NatsServer, name: str, remote_id: str = "here", looks: int = 1000, **options: Any) -> JetStreamBoard:
    found = JetStreamBoard({"endpoint": server.endpoint, "run_name": name, "timeout_s": 2.0, **options})
    found.take_surroundings(Around(looks), remote_id, "")
    return found


def published(
    server: NatsServer, name: str, items: Sequence[Any], run_id: str = RUN_ID, *, close: bool = True
) -> JetStreamWriter:
    writer = JetStreamWriter(OutputOptions(None), endpoint=server.endpoint, run_name=name)
    stream = replace(STREAM, run_id=run_id)
    writer.open(stream, 0, resume=False)
    for item in items:
        writer.append([item])
        writer.commit()
    if close:
        writer.close()
    return writer


def taken(one: JetStreamBoard, until: int | None = None) -> list[Taken | Overrun | Ended]:
    """Every event up to the end, or up to a sample index."""
    found: list[Taken | Overrun | Ended] = []
    for _ in range(1000):
        event = one.read(0.1)
        if event is None:
            continue
        found.append(event)
        if isinstance(event, Ended) or (
            isinstance(event, Taken) and event.first_sample_index + event.codes.shape[1] == until
        ):
            return found
    raise AssertionError(f"it never came: {found}")


def samples(events: Sequence[Taken | Overrun | Ended]) -> list[int]:
    of_blocks = [event for event in events if isinstance(event, Taken)]
    return [each.first_sample_index + k for each in of_blocks for k in range(each.codes.shape[1])]


def test_a_run_comes_back_with_its_id_times_gaps_and_codes(nats_server: NatsServer) -> None:
    name = nats_server.new_stream()
    status = np.zeros((2, 100), np.int8)
    status[1, 5] = 1
    published(nats_server, name, [block(STREAM, 0, 100, 0, status), gap(STREAM, 100, 130), *blocks(STREAM, 130, 330)])
    one = board(nats_server, name, runs=RUN_ID)
    assert isinstance(one, FollowingBoard)
    assert isinstance(one, SurroundedBoard)
    assert not isinstance(one, LinkedBoard)
    opened = one.open()
    assert (opened.run_id, opened.channels, opened.dtype, opened.anchor) == (RUN_ID, STREAM.channels, "int16", ANCHOR)
    assert (opened.first_sample_index, opened.end_sample_index, opened.resumable) == (0, 330, True)
    assert opened.metadata["operator"] == "Zo\u00eb"
    one.start(0)
    events = taken(one)
    assert samples(events) == [*range(100), *range(130, 330)]
    first = events[0]
    assert isinstance(first, Taken)
    assert np.array_equal(first.codes, block(STREAM, 0, 100).codes)
    assert first.sensor_status is not None
    assert np.array_equal(first.sensor_status, status)
    overruns = [event for event in events if isinstance(event, Overrun)]
    assert [(each.span, each.t_utc_ns) for each in overruns] == [(Span(100, 130), gap(STREAM, 100, 130).t_utc_ns)]
    assert events[-1] == Ended(330)
    one.acknowledge(330)
    one.finish()
    one.close()


@pytest.mark.parametrize(("start", "first"), [("earliest", 0), ("latest", 400), (150, 150)])
def test_a_run_in_progress_is_followed_from_where_it_is_told(
    nats_server: NatsServer, start: str | int, first: int
) -> None:
    name = nats_server.new_stream()
    writer = published(nats_server, name, blocks(STREAM, 0, 400), close=False)
    one = board(nats_server, name, start=start)
    assert one.open().first_sample_index == first
    one.start(first)
    writer.append(blocks(STREAM, 400, 500))
    writer.close()
    assert samples(taken(one)) == list(range(first, 500))
    one.close()


def test_a_sample_that_is_not_there_is_refused(nats_server: NatsServer) -> None:
    name = nats_server.new_stream()
    writer = published(nats_server, name, blocks(STREAM, 0, 400), close=False)
    one = board(nats_server, name, start=401)
    with pytest.raises(BoardError, match="sample 401 is not there yet: the newest is 399"):
        one.open()
    one.close()
    writer.abandon()


def test_what_was_not_acknowledged_comes_again_to_who_follows_by_the_same_name(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dtopipe.boards.jetstream.devices._COMES_BACK_NS", 0)
    name = nats_server.new_stream()
    published(nats_server, name, blocks(STREAM, 0, 1000))
    one = board(nats_server, name, durable="office", runs=RUN_ID)
    one.open()
    one.start(0)
    assert samples(taken(one, until=1000)) == list(range(1000))
    # Durable up to the middle of a message: that one is wanted again.
    one.acknowledge(350)
    one.close()
    other = board(nats_server, name, "elsewhere", durable="office", runs=RUN_ID)
    assert other.open().first_sample_index == 300
    other.start(300)
    assert samples(taken(other)) == list(range(300, 1000))
    third = board(nats_server, name, "third", looks=1, durable="office", runs=RUN_ID)
    with pytest.raises(BoardError, match="there was no run"):
        third.open()
    third.close()
    other.acknowledge(1000)
    other.finish()
    other.close()


def test_messages_that_somebody_else_was_sent_come_again_and_are_no_gap(nats_server: NatsServer) -> None:
    """As where two pipelines of one name are cut off from each other, or a route between servers breaks."""
    name = nats_server.new_stream()
    writer = published(nats_server, name, blocks(STREAM, 0, 500), close=False)
    one = board(nats_server, name, durable="shared", runs=RUN_ID)
    one.open()
    one.start(0)
    events = taken(one, until=500)
    (consumer,) = [each for each in consumers_of(nats_server) if each.startswith("dtopipe-shared-")]
    with robbed(nats_server, consumer):
        for item in blocks(STREAM, 500, 5000):
            writer.append([item])
            writer.commit()
    writer.close()
    events += taken(one)
    assert samples(events) == list(range(5000))
    assert not [event for event in events if isinstance(event, Overrun)]
    assert "did not come" in one_around(one).said[0]
    assert one_around(one).said[-1] == "back"
    one.close()


def one_around(one: JetStreamBoard) -> Around:
    around = one._surroundings
    assert isinstance(around, Around)
    return around


def consumers_of(server: NatsServer) -> list[str]:
    async def asked(js: Any) -> list[str]:
        return [str(each.name) for each in await js.consumers_info("dtopipe")]

    found: list[str] = server.ask(asked)
    return found


@contextlib.contextmanager
def robbed(server: NatsServer, consumer: str) -> Iterator[None]:
    """Meanwhile some messages of that consumer are taken, and nothing is said of them."""
    asks, is_over = threading.Event(), threading.Event()

    async def take(js: Any) -> None:
        found = await js.pull_subscribe_bind(consumer, stream="dtopipe")
        while not is_over.is_set():
            asks.set()
            with contextlib.suppress(TimeoutError):
                await found.fetch(3, timeout=0.2)

    thread = threading.Thread(target=server.ask, args=(take,))
    thread.start()
    try:
        assert asks.wait(30)
        yield
    finally:
        is_over.set()
        thread.join()


def test_who_is_cut_off_in_the_middle_of_a_run_comes_back_to_it(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = nats_server.new_stream()
    published(nats_server, name, blocks(STREAM, 0, 1000))
    one = board(nats_server, name, durable="archive", runs=RUN_ID)
    one.open()
    one.start(0)
    taken(one, until=1000)
    one.acknowledge(500)
    spare = board(nats_server, name, "spare", looks=3, durable="archive", runs=RUN_ID)
    one.close()
    with pytest.raises(BoardError, match="there was no run"):
        spare.open()
    spare.close()
    again = board(nats_server, name, "here", durable="archive", runs=RUN_ID)
    again.take_surroundings(Around(), "here", RUN_ID)
    again.open()
    again.start(1000)
    again.close()
    monkeypatch.setattr("dtopipe.boards.jetstream.devices._COMES_BACK_NS", 0)
    spare = board(nats_server, name, "spare", durable="archive", runs=RUN_ID)
    assert spare.open().first_sample_index == 500
    spare.close()


def test_every_run_comes_one_after_the_other(nats_server: NatsServer) -> None:
    name = nats_server.new_stream()
    one = board(nats_server, name, looks=1, durable="all", runs="every")
    with pytest.raises(BoardError, match="there was no run"):
        one.open()
    one.close()
    writer = published(nats_server, name, blocks(STREAM, 0, 200), close=False)
    one = board(nats_server, name, durable="all", runs="every")
    assert one.open().run_id == RUN_ID
    one.start(0)
    writer.close()
    assert samples(taken(one)) == list(range(200))
    one.acknowledge(200)
    one.finish()
    one.close()
    published(nats_server, name, blocks(STREAM, 0, 300), OTHER_ID)
    two = board(nats_server, name, durable="all", runs="every", followed=[RUN_ID])
    assert two.open().run_id == OTHER_ID
    two.start(0)
    assert samples(taken(two)) == list(range(300))
    two.close()


def test_a_large_block_comes_back_whole(nats_server: NatsServer) -> None:
    name, long = nats_server.new_stream(), replace(STREAM, samples_per_block=200_000)
    writer = JetStreamWriter(OutputOptions(None), endpoint=nats_server.endpoint, run_name=name)
    writer.open(long, 0, resume=False)
    whole: Block = block(long, 0, 200_000)
    writer.append([whole])
    writer.close()
    one = board(nats_server, name, runs=RUN_ID)
    one.open()
    one.start(0)
    first, *_ = taken(one)
    assert isinstance(first, Taken)
    assert np.array_equal(first.codes, whole.codes)
    one.close()
