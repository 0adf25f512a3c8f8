"""One remote by itself: what it is sent, what its words do, and when its gaps are known to have come."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

from dtopipe.gateway.remote import ServedRemote
from dtopipe.gateway.source import first_sample
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Channel, Stream
from dtopipe.wire.control import Message
from dtopipe.wire.link_items import PROTOCOL_VERSION, decode_items
from dtopipe.wire.link_messages import FROM_REMOTE, Credit, Finished, Items, LinkRefused, Pull, StreamBegins, StreamEnds

ANCHOR = Anchor(0, 5, 1_700_000_000_000_000_000)
STREAM = Stream("run-1", "lab", "unit 7", (Channel("a"),), "int16", 1000.0, 10, "2026-11-25T00:00:00Z")


def block(start: int, stop: int) -> Block:
    return Block(0, start, np.zeros((1, stop - start), np.int16), ANCHOR)


class FakeReader:
    def __init__(self, source: FakeSource, at: int) -> None:
        self.source, self.at, self.is_closed = source, at, False

    @property
    def is_at_end(self) -> bool:
        return self.source.end is not None and not self.source.items

    def take(self, most: int) -> list[Block | Gap]:
        return [self.source.items.popleft() for _ in range(min(most, len(self.source.items)))]

    def close(self) -> None:
        self.is_closed = True


class FakeSource:
    def __init__(self, *items: Block | Gap, oldest: int = 0, retires: bool = False) -> None:
        self.stream, self.items = STREAM, deque(items)
        self.end: int | None = None
        self.retires, self.has_begun = retires, True
        self._oldest = oldest
        self.readers: list[FakeReader] = []

    def anchor(self) -> Anchor:
        return ANCHOR

    def oldest(self, *, drops: bool) -> int:
        return self._oldest

    def newest(self) -> int:
        return 1000

    def reader(self, at: int, *, drops: bool) -> FakeReader:
        self.readers.append(FakeReader(self, at))
        return self.readers[-1]


def pull(session: object = 1, since: Any = "earliest", window: int = 8, **more: Any) -> Message:
    body = {"version": PROTOCOL_VERSION, "session": session, "remote": "me", "run_id": "", "skip": [], "may_wait": True,
            "since": since, "window": window, "resumes": False, "drops": False, "durable": 0, "gaps": []}  # fmt: skip
    return Message("pull", {**body, **more})


def credit(taken: int, session: int = 1, durable: int = 0, gaps: Any = ()) -> Message:
    return Message(
        "credit", {"session": session, "remote": "me", "taken": taken, "durable": durable, "gaps": list(gaps)}
    )


def as_pull(message: Message) -> Pull:
    """As a gateway takes it for a request. Raises WireError."""
    found = FROM_REMOTE.read(message)
    assert isinstance(found, Pull)
    return found


def as_credit(message: Message) -> Credit:
    found = FROM_REMOTE.read(message)
    assert isinstance(found, Credit)
    return found


def due(remote: ServedRemote, source: FakeSource) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for message, payload in remote.due(source):
        if isinstance(message, Items):
            items = decode_items(payload, 1, "int16", 10)
            found.append(("items", [(item.span.start, item.span.stop) for item in items]))
        elif isinstance(message, StreamBegins):
            found.append((message.kind, message.start))
        elif isinstance(message, StreamEnds):
            found.append((message.kind, message.end_sample_index))
        elif isinstance(message, LinkRefused):
            found.append((message.kind, None))
    return found


@pytest.fixture
def remote() -> ServedRemote:
    return ServedRemote("id", "office", b"key")


def test_it_is_sent_no_more_than_it_gave_credit_for(remote: ServedRemote) -> None:
    source = FakeSource(*(block(n, n + 10) for n in range(0, 100, 10)))
    remote.pull(b"a", as_pull(pull(window=3)))
    assert due(remote, source) == [("stream", 0), ("items", [(0, 10), (10, 20), (20, 30)])]
    assert due(remote, source) == []
    remote.credit(as_credit(credit(2)))
    assert due(remote, source) == [("items", [(30, 40), (40, 50)])]


def test_the_end_comes_behind_everything_else_and_only_to_who_takes_something(remote: ServedRemote) -> None:
    source = FakeSource(block(0, 10))
    source.end = 10
    remote.pull(b"a", as_pull(pull(window=0)))
    assert due(remote, source) == [("stream", 0)]
    remote.pull(b"a", as_pull(pull(2, 0, resumes=True)))
    assert due(remote, source) == [("stream", 0), ("items", [(0, 10)])]
    assert due(remote, source) == [("end", 10)]
    had_everything = remote.has_everything
    assert not had_everything
    remote.credit(as_credit(credit(1, 2, durable=10)))
    assert remote.has_everything
    assert remote.link.durable == 10


def told(*gaps: Gap) -> list[list[Any]]:
    return [[gap.span.start, gap.span.stop, gap.cause.value, gap.t_utc_ns] for gap in gaps]


def test_gaps_of_the_link_are_on_record_once_however_often_they_are_told(remote: ServedRemote) -> None:
    first, second = Gap(Span(10, 50), Cause.TRANSPORT, 9), Gap(Span(60, 90), Cause.POLICY_DROP, 9)
    remote.pull(b"a", as_pull(pull()))
    due(remote, FakeSource(block(0, 10), first, block(50, 60), second))
    # What was sent may never have come: only the remote knows.
    assert remote.new_gaps == []
    remote.credit(as_credit(credit(2, gaps=told(first))))
    remote.pull(b"b", as_pull(pull(2, 90, resumes=True, gaps=told(first, second))))
    remote.finish(Finished(2, "me", 90, (first, second)))
    assert remote.new_gaps == [first, second]
    assert remote.gap_samples == 70


@pytest.mark.parametrize(
    "wrong",
    [
        told(Gap(Span(10, 50), Cause.BOARD_OVERRUN, 9)), told(Gap(Span(50, 10), Cause.TRANSPORT, 9)),
        [[0, 2**63, "transport", 9]], [[0, 1.5, "transport", 9]], [[0, 1, "weather", 9]], [[0, 1]], [7],
        [[0, 1, "transport", None]], [["0", "1", "transport", 9]], [[0, 1, "transport", 2**64 - 1]],
    ],
)  # fmt: skip
def test_gaps_that_are_none_are_not_believed(remote: ServedRemote, wrong: Any) -> None:
    remote.pull(b"a", as_pull(pull()))
    due(remote, FakeSource(block(0, 10)))
    with pytest.raises(WireError):
        remote.credit(as_credit(credit(1, gaps=wrong)))
    assert remote.new_gaps == []


def test_where_segments_retire_it_begins_once_they_are_kept_for_it(remote: ServedRemote) -> None:
    source = FakeSource(block(300, 310), oldest=200, retires=True)
    remote.pull(b"a", as_pull(pull()))
    needs_hold = remote.needs_hold
    assert needs_hold == 0
    assert due(remote, source) == []
    remote.was_held(300)
    assert remote.needs_hold is None
    assert due(remote, source)[0] == ("stream", 300)


def test_a_place_that_is_gone_is_refused_unless_it_goes_on_there(remote: ServedRemote) -> None:
    source = FakeSource(block(300, 310), oldest=300)
    remote.pull(b"a", as_pull(pull(since=100)))
    assert [message.message for message, _ in remote.due(source) if isinstance(message, LinkRefused)] == [
        "sample 100 is gone: the oldest that is available is 300"
    ]
    assert remote.was_refused
    remote.pull(b"a", as_pull(pull(2, 100, resumes=True)))
    assert due(remote, source)[0] == ("stream", 100)


def test_who_drops_needs_nothing_to_be_kept(remote: ServedRemote) -> None:
    remote.pull(b"a", as_pull(pull(drops=True)))
    assert remote.needs_hold is None
    assert due(remote, FakeSource(block(0, 10), retires=True))[0] == ("stream", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        pull(since=-1), pull(since=True), pull(since=2**63), pull(since=None), pull(since="later"), pull(window=-1),
        pull(durable=-5), pull(session="x"), pull(resumes=1), Message("pull", {}),
    ],
)  # fmt: skip
def test_a_request_that_is_none_changes_nothing(remote: ServedRemote, wrong: Message) -> None:
    source = FakeSource(block(0, 10), block(10, 20))
    remote.pull(b"a", as_pull(pull(window=1)))
    due(remote, source)
    with pytest.raises(WireError):
        remote.pull(b"b", as_pull(wrong))
    remote.credit(as_credit(credit(1)))
    assert due(remote, source) == [("items", [(10, 20)])]
    assert remote.address == b"a"


@pytest.mark.parametrize(
    "wrong", [credit(2), credit(-1), credit(1, durable=-1), Message("credit", {"session": 1, "remote": "me"})]
)
def test_credit_for_what_was_not_sent_is_none(remote: ServedRemote, wrong: Message) -> None:
    remote.pull(b"a", as_pull(pull()))
    due(remote, FakeSource(block(0, 10)))
    with pytest.raises(WireError):
        remote.credit(as_credit(wrong))
    assert not remote.has_everything


def test_what_a_remote_calls_itself_is_fit_for_a_terminal(remote: ServedRemote) -> None:
    remote.pull(b"a", as_pull(pull(label="pc\x1b[2J\n7" + "x" * 200)))
    assert remote.label.startswith("pc[2J7x")
    assert len(remote.label) == 80


def test_a_start_is_latest_earliest_or_an_index() -> None:
    source = FakeSource(oldest=200)
    assert first_sample(source, "latest", drops=False) == 1000
    assert first_sample(source, "earliest", drops=True) == 200
    assert first_sample(source, 777, drops=False) == 777


def test_no_window_is_larger_than_what_may_wait_here(remote: ServedRemote) -> None:
    source = FakeSource(*(block(n, n + 10) for n in range(0, 10_000, 10)))
    remote.pull(b"a", as_pull(pull(window=4096)))
    # 20 bytes a block.
    sent = [list(remote.due(source, 400)) for _ in range(5)]
    items = [payload for each in sent for message, payload in each if message.kind == "items"]
    assert sum(len(decode_items(payload, 1, "int16", 10)) for payload in items) == 20


def test_who_was_sent_what_did_not_get_through_hears_nothing_more_until_it_asks_anew(
    remote: ServedRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource(block(0, 10), block(10, 20))
    remote.pull(b"a", as_pull(pull(window=1)))
    due(remote, source)
    now_ns = remote.link.heard_ns + 60_000_000_000
    monkeypatch.setattr("dtopipe.gateway.remote.mono_ns", lambda: now_ns)
    assert [message.kind for message, _ in remote.due(source)] == ["alive"]
    remote.pause()
    now_ns += 60_000_000_000
    assert list(remote.due(source)) == []
    remote.pull(b"b", as_pull(pull(2, 10, resumes=True)))
    assert due(remote, source) == [("stream", 10), ("items", [(10, 20)])]


def test_who_takes_the_same_again_and_again_gets_nowhere(remote: ServedRemote, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = remote.link.progress_ns
    monkeypatch.setattr("dtopipe.gateway.remote.mono_ns", lambda: now_ns)
    for session in range(1, 6):
        now_ns += 1_000_000_000
        remote.pull(b"a", as_pull(pull(session, 0, resumes=True)))
        due(remote, FakeSource(block(0, 10), block(10, 20)))
        remote.credit(as_credit(credit(2, session)))
    assert now_ns - remote.link.progress_ns == 4_000_000_000
    # What is new, or durable, is progress.
    remote.credit(as_credit(credit(2, 5, durable=15)))
    assert remote.link.progress_ns == now_ns
