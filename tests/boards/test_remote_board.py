"""The remote board by itself, with a link that says and forgets what the test wants."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dtopipe.boards import remote
from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.boards.remote import RemoteBoard
from dtopipe.core.link_clock import LinkPair
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import BoardError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.wire.control import Message
from dtopipe.wire.describe import describe_stream
from dtopipe.wire.link_items import encode_items
from dtopipe.wire.link_messages import Credit, Pull
from dtopipe.wire.message_fields import TypedMessage

ANCHOR = Anchor(0, 5_000_000_000, 1_700_000_000_000_000_000)
GUESS = ("the handshake failed", "compare the keys")
STREAM = Stream("run-1", "lab", "unit 7", (Channel("a"), Channel("b")), "int16", 1000.0, 10, "2026-11-25T00:00:00Z")


def codes(start: int, stop: int) -> Any:
    return np.array([np.arange(start, stop), -np.arange(start, stop)], np.int16)


def block(start: int, stop: int) -> Block:
    return Block(0, start, codes(start, stop), ANCHOR)


class FakeLink:
    """Answers come from a queue; what was said is kept."""

    def __init__(self) -> None:
        self.stream = STREAM
        self.is_connected = True
        self.was_cut = False
        self.renewals = 0
        self.said: list[TypedMessage] = []
        self.coming: deque[tuple[Message, bytes]] = deque()
        self.refused: tuple[str, str] | None = None

    def renew(self) -> None:
        self.renewals += 1
        self.was_cut = False
        self.coming.clear()

    def send(self, message: TypedMessage) -> None:
        self.said.append(message)
        if message.kind == "pull":
            anchor = [0, ANCHOR.t_mono_ns, ANCHOR.t_utc_ns]
            self.answer("stream", stream=describe_stream(self.stream), anchor=anchor, start=0)

    def receive(self, timeout_s: float) -> tuple[Message, bytes] | None:
        return self.coming.popleft() if self.coming else None

    def refusal(self, *, was_linked: bool = False) -> tuple[str, str] | None:
        return None if was_linked and self.refused == GUESS else self.refused

    def close(self) -> None:
        self.is_connected = False

    @property
    def pulls(self) -> list[Pull]:
        return [message for message in self.said if isinstance(message, Pull)]

    @property
    def session(self) -> int:
        return self.pulls[-1].session

    def answer(self, kind: str, payload: bytes = b"", **body: Any) -> None:
        self.coming.append((Message(kind, {"session": self.session, **body}), payload))

    def items(self, first: int, *items: Block | Gap) -> None:
        self.answer("items", encode_items(items), first=first)


class Quiet:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.pairs: list[LinkPair] = []
        self.wanted = True

    def away(self, why: str) -> None:
        self.told.append(why)

    def back(self) -> None:
        self.told.append("back")

    def compared(self, pair: LinkPair) -> None:
        self.pairs.append(pair)

    def is_wanted(self) -> bool:
        return self.wanted


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def quiet() -> Quiet:
    return Quiet()


@pytest.fixture
def board(link: FakeLink, quiet: Quiet) -> RemoteBoard:
    board = RemoteBoard({"endpoint": "tcp://daq-pc:5700"})
    board.take_link(link, quiet, "me", "")
    opened = board.open()
    assert (opened.run_id, opened.started_at, opened.anchor, opened.clocked) == (
        "run-1",
        STREAM.started_at,
        ANCHOR,
        False,
    )
    board.start(0)
    return board


def read(board: RemoteBoard, times: int = 12) -> list[Any]:
    """Everything that comes: (start, stop) of blocks, (start, stop, cause) of gaps, the end."""
    found: list[Any] = []
    for _ in range(times):
        event = board.read(0)
        if isinstance(event, Taken):
            stop = event.first_sample_index + event.codes.shape[1]
            assert np.array_equal(event.codes, codes(event.first_sample_index, stop))
            assert event.anchor == ANCHOR
            found.append((event.first_sample_index, stop))
            board.give_back()
        elif isinstance(event, Overrun):
            found.append((event.span.start, event.span.stop, event.cause.value))
        elif isinstance(event, Ended):
            found.append(event)
            break
    return found


def test_blocks_gaps_and_the_end_come_in_order(board: RemoteBoard, link: FakeLink) -> None:
    link.items(0, block(0, 10), Gap(Span(10, 15), Cause.ACQUIRER_RESTART, 9), block(15, 20))
    link.answer("end", first=3, end_sample_index=20)
    assert read(board) == [(0, 10), (10, 15, "acquirer_restart"), (15, 20), Ended(20)]
    board.stop()
    assert "leave" not in {message.kind for message in link.said}


def test_what_is_not_there_in_its_order_is_asked_for_anew_behind_what_was_taken(
    board: RemoteBoard, link: FakeLink
) -> None:
    link.items(0, block(0, 10), block(10, 20))
    assert read(board) == [(0, 10), (10, 20)]
    link.items(3, block(30, 40))
    assert read(board) == []
    assert link.pulls[-1].since == 20
    link.items(0, block(20, 30), block(30, 40))
    assert read(board) == [(20, 30), (30, 40)]


def test_what_belongs_to_an_older_session_is_thrown_away(board: RemoteBoard, link: FakeLink) -> None:
    link.coming.append((Message("items", {"session": link.session - 1, "first": 0}), encode_items([block(0, 10)])))
    link.items(0, block(0, 5))
    assert read(board) == [(0, 5)]


def test_a_connection_that_was_cut_is_made_anew_and_said(
    board: RemoteBoard, link: FakeLink, quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.items(0, block(0, 10), block(10, 20))
    assert read(board, 2) == [(0, 10)]
    later_ns = board._end.heard_ns + 1_000_000_000
    monkeypatch.setattr(remote, "mono_ns", lambda: later_ns)
    link.was_cut = True
    # What had come is taken first; behind it everything is asked for anew.
    assert read(board) == [(10, 20)]
    assert (link.pulls[-1].since, quiet.told) == (20, ["tcp://daq-pc:5700: the connection was cut", "back"])


def test_silence_is_a_break_too(
    board: RemoteBoard, link: FakeLink, quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(link.pulls)
    read(board)
    heard_ns = board._end.heard_ns
    monkeypatch.setattr(remote, "mono_ns", lambda: heard_ns + 2_900_000_000)
    read(board)
    assert len(link.pulls) == before
    monkeypatch.setattr(remote, "mono_ns", lambda: heard_ns + 3_100_000_000)
    read(board, 1)
    assert len(link.pulls) == before + 1
    assert quiet.told == ["tcp://daq-pc:5700: nobody answers there"]


def test_what_comes_twice_is_taken_once_and_a_hole_that_nobody_explains_is_one(
    board: RemoteBoard, link: FakeLink
) -> None:
    link.items(0, block(0, 10), block(5, 12), block(2, 4), block(20, 25), Gap(Span(22, 30), Cause.STALLED, 9))
    assert read(board) == [(0, 10), (10, 12), (12, 20, "transport"), (20, 25), (25, 30, "stalled")]


def test_credit_counts_what_was_taken_and_what_is_durable(
    board: RemoteBoard, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.items(0, block(0, 10), block(10, 20))
    read(board)
    board.acknowledge(10)
    later_ns = board._end.heard_ns + 600_000_000
    monkeypatch.setattr(remote, "mono_ns", lambda: later_ns)
    read(board)
    credit = [message for message in link.said if isinstance(message, Credit)][-1]
    assert (credit.taken, credit.durable) == (2, 10)


def test_who_speaks_another_language_is_given_up(board: RemoteBoard, link: FakeLink) -> None:
    with pytest.raises(BoardError, match="does not speak as it should"):
        for _ in range(10):
            link.answer("items", b"nonsense", first=0)
            read(board, 3)


def test_blocks_larger_than_was_said_are_refused(board: RemoteBoard, link: FakeLink) -> None:
    before = len(link.pulls)
    link.items(0, block(0, 11))
    assert read(board) == []
    assert len(link.pulls) == before + 1


def test_another_run_is_not_taken_for_the_one_that_is_followed(board: RemoteBoard, link: FakeLink) -> None:
    other = describe_stream(replace(STREAM, run_id="run-2"))
    link.coming.clear()
    link.answer("stream", stream=other, anchor=[0, 1, 1], start=0)
    with pytest.raises(BoardError, match="serves another one now"):
        read(board)


@pytest.mark.parametrize("changes", [{"run_id": "../../x"}, {"run_id": "*"}, {"run_id": "a\n"}, {"started_at": "soon"}])
def test_a_run_whose_id_or_time_is_none_is_not_followed(link: FakeLink, quiet: Quiet, changes: dict[str, Any]) -> None:
    board = RemoteBoard({"endpoint": "tcp://daq-pc:5700"})
    board.take_link(link, quiet, "me", "")
    link.coming.clear()
    link.stream = replace(STREAM, **changes)
    with pytest.raises(BoardError, match="does not speak as it should: message 'stream': stream"):
        board.open()


def test_a_refusal_ends_it_with_the_way_out(board: RemoteBoard, link: FakeLink) -> None:
    link.refused = ("it does not know this key", "dtopipe keys authorize")
    with pytest.raises(BoardError, match="it does not know this key\n    dtopipe keys authorize"):
        read(board)


def test_a_guess_about_a_handshake_ends_no_run_that_was_linked(board: RemoteBoard, link: FakeLink) -> None:
    link.items(0, block(0, 10))
    assert read(board) == [(0, 10)]
    link.refused = GUESS
    link.items(1, block(10, 20))
    assert read(board) == [(10, 20)]


def test_stopped_here_it_leaves_and_ends_where_it_is(board: RemoteBoard, link: FakeLink) -> None:
    link.items(0, block(0, 10), block(10, 20))
    assert read(board, 2) == [(0, 10)]
    board.stop()
    assert read(board) == [(10, 20), Ended(20)]
    assert link.said[-1].kind == "leave"


def test_nobody_waits_for_a_run_that_is_not_wanted_any_more(link: FakeLink, quiet: Quiet) -> None:
    board = RemoteBoard({"endpoint": "tcp://daq-pc:5700"})
    board.take_link(link, quiet, "me", "")
    quiet.wanted = False
    with pytest.raises(BoardError, match="there was no run"):
        board.open()
