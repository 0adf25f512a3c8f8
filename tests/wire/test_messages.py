"""Every message is in PROTOCOL.md with its keys, nothing else is there, and what is said is what is heard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import dtopipe.wire
from dtopipe.model.board_events import Opened
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.limits import Crossing, LimitPlan, LimitSeen, Side, Then
from dtopipe.model.marks import Mark
from dtopipe.model.newest import NewestValue, NewestValues
from dtopipe.model.plan import SinkPlan, TriggerPlan
from dtopipe.model.policy import Layout, OnExists, Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel, Stream
from dtopipe.wire import commands, link_messages, messages, orders
from dtopipe.wire.control import Message, decode, encode
from dtopipe.wire.message_fields import TypedMessage, field_names
from dtopipe.wire.vocabulary import Vocabulary

PROTOCOL = (Path(dtopipe.wire.__file__).parent / "PROTOCOL.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\w+), (\w+) \| `(\w+)` \| ([^|]*)\|", re.MULTILINE)
VOCABULARIES: dict[tuple[str, str], Vocabulary[Any]] = {
    ("acquirer", "supervisor"): messages.FROM_ACQUIRER,
    ("sink", "supervisor"): messages.FROM_SINK,
    ("gateway", "supervisor"): messages.FROM_GATEWAY,
    ("supervisor", "acquirer"): messages.TO_ACQUIRER,
    ("supervisor", "sink"): messages.TO_SINK,
    ("supervisor", "gateway"): messages.TO_GATEWAY,
    ("command", "supervisor"): commands.ASKED,
    ("supervisor", "command"): commands.ANSWERED,
    ("remote", "gateway"): link_messages.FROM_REMOTE,
    ("gateway", "remote"): link_messages.TO_REMOTE,
    ("gateway", "onlooker"): link_messages.SEEN,
}
STREAM = Stream("run-1", "heat", "board", (Channel("a", range=(-1.0, 1.0)),), "int16", 10.0, 5, "2026-11-22T23:41:00Z")
GAPS = (Gap(Span(3, 7), Cause.TRANSPORT, 9),)
ANCHOR = Anchor(1, 2, 3)
SINK = SinkPlan("table", "csv", "table.csv", channels=("a",))
PLACE = {"segment": "dtopipe-1", "held": "", "descriptor_endpoint": "ipc://a", "credit_endpoint": "ipc://b"}
OPENED = Opened("board", STREAM.channels, "int16", 10.0, 5, clocked=True, resumable=False, anchor=ANCHOR, run_id="r")
CROSSING = Crossing(2, 7, 901.5, 10**18, 9, 902.0, 955.25, 8)
OVER = Crossing(1, 3, float("inf"), 10**18, 3, 900.5, float("inf"), 3, 5, Then.NO_VALUE)
SEEN = LimitSeen("tc1", Side.HIGH, 2, 2, float("inf"), CROSSING, (OVER, CROSSING))
REMOTE = messages.RemoteFacts("id", "office", "", "10.0.0.7", "block", 5, 3, 0, away=False, finished=False)
NOTHING = NewestValue("b", "", None, None, None, "sensor_open")
VALUES = NewestValues(9, 10**18, (NewestValue("a", "V", 1.5, -2.0, 3.0), NOTHING))
WORKER: dict[str, Any] = {
    "name": "table", "lock": "sink.table.0", "address": "sink.table.0", "entry": "/e", "run_folder": "/r",
    "control": "ipc://c", "public_key": "", "secret_key": "", "drain_limit_s": 60.0,
}  # fmt: skip
SAID: dict[tuple[str, str], list[TypedMessage]] = {
    ("acquirer", "supervisor"): [
        messages.Hello(7), messages.Failed("no such board", "plug it in", is_final=True), messages.Failed("why"),
        messages.BoardOpened(OPENED, "ipc://a", "ipc://b"), messages.StreamEnded(), messages.SourceAway("cut"),
        messages.SourceBack(), messages.ClocksCompared((1, 2, 3, 4, 5)),
    ],
    ("sink", "supervisor"): [
        messages.Hello(7), messages.Failed("full", path="/a", error="SinkError"),
        messages.SinkReady(Position(1, 5, 2, 3, 1)), messages.SinkDone(Position(0, 9, 9, 9)), messages.SinkBack(),
        messages.GapsCommitted(GAPS), messages.SinkAway("full", "free space"), messages.OutputClosed("in two files"),
        messages.TriggerTold((messages.EventBegun(7, 10**18, {"a": 1.5, "b": None}),), 3, waits=False),
        messages.LimitsSeen((SEEN, LimitSeen("a", Side.LOW))), messages.LimitsSeen((), Position(0, 9, 9, 9)),
    ],
    ("gateway", "supervisor"): [
        messages.Hello(7), messages.Failed("in use"), messages.Serving("tcp://0.0.0.0:5700"),
        messages.RemotesServed((REMOTE,), 3), messages.HoldAsked("id", 7), messages.RemoteGaps("office", GAPS),
        messages.RemoteEvent("remote_joined", "id", "office", "", {"sent": 5, "away": False}),
        messages.RemoteEvent("remote_refused", name="", details={"why": "unknown key", "times": 1}),
    ],
    ("supervisor", "acquirer"): [
        messages.StartBoard("dtopipe-1", "/proc/1/fd/3", 10**18, Cause.BOARD_AWAY), messages.StopBoard(hurry=True),
    ],
    ("supervisor", "sink"): [
        messages.BeginSink(**PLACE, stream=STREAM, row=3, start=1, committed=2, resume=True, otherwise=Cause.STALLED),
        messages.BeginSink(
            **PLACE, stream=STREAM, row=3, start=1, committed=2, resume=False, otherwise=Cause.POLICY_DROP, journal="/j"
        ),
        messages.CutOff("too slow"), messages.LetGo(), messages.DetachNow(),
    ],
    ("supervisor", "gateway"): [
        messages.BeginServing(STREAM, "dtopipe-1", "", None, retires=False), messages.Held("id", 7),
        messages.RunEnded(9),
    ],
    ("command", "supervisor"): [
        commands.AskStatus(), commands.StopRun(now=True, user="ann"), commands.RestartSink("table"),
        commands.AttachSinks((SINK,), {"table": {"type": "csv"}}, 77), commands.AskAttachment("table"),
        commands.DetachSink("table"), commands.Subscribe("0123456789abcdef", Policy.BLOCK, "earliest", 7, "look.py"),
        commands.Unsubscribe("0123456789abcdef"),
        commands.SetMark("ignition", "valve 3", 3.5, said_ns=7, user="ann", host="pc"),
        commands.SetMark("ignition", sample_index=9), commands.SetMark("ignition", t_utc_ns=10**18),
        commands.NoteReading("balance", {"mass": 12.5, "drift": None}, {"mass": "g"}, 7),
        commands.ChangeMetadata({"sample": "A7"}, "ann", "pc"),
    ],
    ("supervisor", "command"): [
        commands.StatusSnapshot({"name": "heat", "sinks": {"table": {"lag_s": 0.5}}}), commands.Stopping("/r"),
        commands.Restarting("table", "gave_up", 3), commands.Attaching(("table",)), commands.NotYet(),
        commands.Attachment("table", "ready", 5, is_under_way=True),
        commands.Detaching("table", 9), commands.Refused("no", "yes"),
        commands.Marked(Mark(1, "ignition", 9, 5, 10**18, "", "ann@pc", 10**18), is_durable=False),
        commands.ReadingNoted(1, 9, 10**18), commands.MetadataChanged({"sample": "A7"}, ({"key": "sample"},)),
        commands.Subscribed(**PLACE, stream=STREAM, row=3, start=1, name="heat", journal="/j"),
    ],
    ("remote", "gateway"): [
        link_messages.Pull(1, "me", 2, "", ("run-0",), True, "latest", False, False, 8, 5, GAPS, "pc"),
        link_messages.Credit(1, "me", 3, 5, GAPS), link_messages.Probe(1, "me", 12),
        link_messages.Finished(1, "me", 9, ()), link_messages.Leave(1, "me"),
        link_messages.Look(1, 2),
    ],
    ("gateway", "remote"): [
        link_messages.StreamBegins(1, STREAM, ANCHOR, 5), link_messages.StreamBegins(1, STREAM, ANCHOR, 5, 9),
        link_messages.Items(1, 3), link_messages.StreamEnds(1, 4, 99), link_messages.Alive(1), link_messages.Bye(1),
        link_messages.LinkRefused(1, "gone", "from latest", is_final=False), link_messages.ClockAnswer(1, 5, 6, 7),
        link_messages.StatusFollows(1), link_messages.ServedNoLonger(1),
    ],
    ("gateway", "onlooker"): [
        link_messages.RunSeen({"name": "heat", "sinks": {}}), link_messages.RunSeen({}, VALUES, {"event": "running"}),
    ],
}  # fmt: skip
ORDERS = [
    orders.AcquirerOrders(
        **WORKER, type="simulated", options={"seed": 1}, task=None, duration_s=None, remote_id="me", followed_run=""
    ),
    orders.SinkOrders(
        **WORKER, type="csv", path=None, policy=Policy.BLOCK, layout=Layout.LONG, on_exists=OnExists.ERROR,
        channels=("a",), flush_interval_s=0.5, sync_s=None, queue_blocks=64, delay_per_block_s=0.0, every_s=1.0,
        reduce="mean", split="1h", trigger=TriggerPlan("a > 1 for 2s", 3.0, 4.5), options={},
    ),
    orders.LimitOrders(
        **WORKER, type="", path=None, policy=Policy.BLOCK, layout=Layout.WIDE, on_exists=OnExists.ERROR,
        channels=("tc1",), flush_interval_s=0.5, sync_s=None, queue_blocks=64, delay_per_block_s=0.0, every_s=None,
        reduce="mean", split=None, trigger=None, options={},
        limits=(LimitPlan("tc1", 900.0, None, 2.0, "degC"),), seen=(SEEN,), position=Position(0, 9, 9, 9),
    ),
    orders.GatewayOrders(**WORKER, endpoint="tcp://*:1", insecure=True, keep_for_s=None, expected=("me",)),
]  # fmt: skip


def keys_in(cell: str) -> list[tuple[str, bool]]:
    """(key, whether it must be there) as the document has them."""
    return [(word.rstrip("?"), not word.endswith("?")) for word in re.findall(r"`([^`]+)`", cell)]


def in_protocol() -> dict[tuple[str, str], dict[str, list[tuple[str, bool]]]]:
    found: dict[tuple[str, str], dict[str, list[tuple[str, bool]]]] = {}
    for sender, receiver, kind, cell in ROW.findall(PROTOCOL):
        kinds = found.setdefault((sender, receiver), {})
        assert kind not in kinds, f"{sender} to {receiver}: {kind} stands there twice"
        kinds[kind] = keys_in(cell)
    return found


def test_the_protocol_has_every_message_with_its_keys_and_nothing_else() -> None:
    in_code = {
        ends: {message.kind: list(field_names(message)) for message in vocabulary.messages}
        for ends, vocabulary in VOCABULARIES.items()
    }
    assert in_protocol() == in_code


def test_the_protocol_has_all_orders_and_nothing_else() -> None:
    rows = dict(re.findall(r"^\| (every worker|acquirer|sink|watcher|gateway) \| (`[^|]*)\|", PROTOCOL, re.MULTILINE))
    common = keys_in(rows["every worker"])
    of_sinks = keys_in(rows["sink"])
    for worker, wanted in zip(("acquirer", "sink", "watcher", "gateway"), map(type, ORDERS), strict=True):
        before = common + of_sinks if worker == "watcher" else common
        assert before + keys_in(rows[worker]) == list(field_names(wanted))


def test_the_protocol_says_what_is_told_of_a_remote() -> None:
    keys = ", ".join(key for key, _ in field_names(messages.RemoteFacts))
    assert f"`{keys}` of each" in PROTOCOL


def test_nothing_is_left_out_here() -> None:
    for ends, vocabulary in VOCABULARIES.items():
        assert {type(message) for message in SAID[ends]} == set(vocabulary.messages)


@pytest.mark.parametrize(
    ("ends", "message"), [(ends, message) for ends, said in SAID.items() for message in said], ids=str
)
def test_what_is_said_is_what_is_heard(ends: tuple[str, str], message: TypedMessage) -> None:
    assert VOCABULARIES[ends].read(decode(encode(message))) == message


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_orders_are_read_as_they_were_written(order: TypedMessage) -> None:
    assert Vocabulary[Any](type(order)).read(decode(encode(order))) == order


@pytest.mark.parametrize(
    ("ends", "message"), [(ends, message) for ends, said in SAID.items() for message in said], ids=str
)
def test_a_message_without_one_of_its_keys_or_with_another_value_there_is_none(
    ends: tuple[str, str], message: TypedMessage
) -> None:
    sound = decode(encode(message))
    for key, is_required in field_names(type(message)):
        without = Message(sound.kind, {name: value for name, value in sound.body.items() if name != key})
        if is_required:
            with pytest.raises(WireError, match=f"{sound.kind!r}: {key} is absent"):
                VOCABULARIES[ends].read(without)
        elif not isinstance(message, (messages.SinkReady, messages.SinkDone)):
            assert VOCABULARIES[ends].read(without) is not None
        with pytest.raises(WireError):
            VOCABULARIES[ends].read(Message(sound.kind, {**sound.body, key: b"\x00 nothing of ours"}))


def test_what_a_later_version_says_besides_is_passed_over() -> None:
    later = Message("hello", {"pid": 7, "machine": "daq-pc"})
    assert messages.FROM_SINK.read(later) == messages.Hello(7)
    assert messages.FROM_SINK.read(Message("what a later version says", {})) is None


def test_no_number_is_a_truth_value() -> None:
    with pytest.raises(WireError, match="pid: it is bool, not int"):
        messages.FROM_SINK.read(Message("hello", {"pid": True}))


def test_a_whole_number_will_do_for_a_rate() -> None:
    body = dict(decode(encode(messages.BoardOpened(OPENED, "a", "b"))).body)
    opened = messages.FROM_ACQUIRER.read(Message("opened", {**body, "rate_hz": 10}))
    assert isinstance(opened, messages.BoardOpened)
    assert isinstance(opened.board.rate_hz, float)


@pytest.mark.parametrize("details", [{"process": "x"}, {"t_utc": "x"}, {"what": [1]}, {b"what": 1}])
def test_an_event_holds_what_a_line_can_hold(details: dict[Any, Any]) -> None:
    with pytest.raises(WireError):
        messages.FROM_GATEWAY.read(Message("event", {"event": "x", **details}))


def test_every_message_is_a_frozen_value() -> None:
    for vocabulary in VOCABULARIES.values():
        for message in vocabulary.messages:
            assert message.__dataclass_params__.frozen, message  # type: ignore[attr-defined]
