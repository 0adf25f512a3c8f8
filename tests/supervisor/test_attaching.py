"""Sinks and programs that come and go while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from parts import BLOCK, Bench, journal, sink

from dtopipe.core.lifecycle import SinkState, WorkerState
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.shm.layout import MAX_ROWS
from dtopipe.wire.commands import (
    Answered,
    AskAttachment,
    Asked,
    AskStatus,
    Attaching,
    Attachment,
    AttachSinks,
    Detaching,
    DetachSink,
    NotYet,
    Refused,
    Restarting,
    RestartSink,
    StatusSnapshot,
    Stopping,
    StopRun,
    Subscribe,
    Subscribed,
    Unsubscribe,
)
from dtopipe.wire.control import Message
from dtopipe.wire.messages import BeginSink, CutOff, DetachNow, Failed, Hello, OutputClosed, SinkAway, SinkDone
from dtopipe.wire.plans import describe_sink

Make = Callable[..., Bench]
KEY = "0123456789abcdef"


def ask(bench: Bench, asked: Asked) -> Answered | None:
    """As a command does it."""
    bench.says("a command", asked)
    said = bench.sent.to("a command")
    return said[-1] if said else None  # type: ignore[return-value]


def attach(bench: Bench, plan: SinkPlan, since: str | int = "latest") -> Answered | None:
    return ask(bench, AttachSinks((plan,), {plan.name: {"type": plan.type}}, since))


def test_a_sink_that_is_attached_begins_where_the_run_is_and_is_on_record(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(3)
    assert attach(bench, sink("more")) == Attaching(("more",))
    assert "more" not in bench.folder.read_record()["sinks"], "nobody knows yet where it starts"
    assert ask(bench, AskAttachment("more")) == Attachment("more", "starting", 0, is_under_way=True)
    bench.publish(1)
    bench.says("sink.more.0", Hello(3))
    begin = bench.sent.to("sink.more.0")[0]
    assert isinstance(begin, BeginSink)
    assert (begin.start, begin.resume) == (4 * BLOCK, False)
    record = bench.folder.read_record()
    assert record["topology"]["sinks"]["more"] == {"type": "csv"}
    assert record["sinks"]["more"]["start"] == 4 * BLOCK
    bench.ready("more", bench.agent("more").position)
    assert bench.events.last("attached")["start"] == 4 * BLOCK
    assert ask(bench, AskAttachment("more")) == Attachment("more", "running", 4 * BLOCK, is_under_way=False)


def test_from_earliest_without_a_journal_is_as_far_as_the_ring_goes_back(a_bench: Make) -> None:
    bench = a_bench(sink("view", policy=Policy.DROP_OLDEST))
    bench.run()
    bench.publish(20)
    attach(bench, sink("more"), "earliest")
    bench.says("sink.more.0", Hello(3))
    begin = bench.sent.to("sink.more.0")[0]
    assert isinstance(begin, BeginSink)
    assert 12 * BLOCK < begin.start < 20 * BLOCK


@pytest.mark.parametrize(
    ("plan", "since", "why"),
    [
        (sink("table"), "latest", "there is a sink 'table' in this run already"),
        (SinkPlan("other", "csv", "table.csv"), "latest", "writes to"),
        (sink("more"), "soon", "'soon' is no place to start from"),
        (sink("more"), 10**9, "is not there yet: the newest is"),
        (sink("more"), 0, "sample 0 is gone"),
    ],
)
def test_what_cannot_be_attached_is_refused_and_changes_nothing(
    a_bench: Make, plan: SinkPlan, since: str | int, why: str
) -> None:
    bench = a_bench(sink("table", policy=Policy.DROP_OLDEST))
    bench.run()
    bench.publish(20)
    answer = attach(bench, plan, since)
    assert isinstance(answer, Refused)
    assert why in answer.message
    assert list(bench.sinks.by_name) == ["table"]
    assert len(bench.starter.of(plan.name)) == (plan.name == "table")


def test_a_sink_that_cannot_open_its_output_is_taken_out_and_says_why(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    attach(bench, sink("more"))
    bench.says("sink.more.0", Hello(3))
    bench.says("sink.more.0", Failed("no such folder", "make it", "/x/more.csv"))
    bench.turn()
    assert ask(bench, AskAttachment("more")) == Refused("/x/more.csv: no such folder", "make it")
    assert list(bench.sinks.by_name) == ["table"]
    assert "more" not in bench.folder.read_record()["topology"]["sinks"]
    assert bench.process("more").was_killed
    assert attach(bench, sink("more")) == Attaching(("more",)), "mended, it is tried again"


def test_nobody_is_attached_to_a_run_that_has_not_begun_or_is_ending(a_bench: Make) -> None:
    bench = a_bench()
    bench.start()
    answer = attach(bench, sink("more"))
    assert isinstance(answer, Refused)
    assert "has not begun yet" in answer.message
    bench.open_board()
    bench.turn()
    bench.ready("table")
    bench.turn()
    bench.end_board()
    answer = attach(bench, sink("more"))
    assert isinstance(answer, Refused)
    assert "is ending" in answer.message


def test_a_detached_sink_is_whole_up_to_there_and_closed(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table"))
    bench.run()
    bench.publish(3)
    assert ask(bench, DetachSink("table")) == Detaching("table", 3 * BLOCK)
    assert bench.sent.to("sink.table.0")[-1] == DetachNow()
    assert bench.agent().condition is SinkState.DETACHING
    bench.publish(1)
    bench.says("sink.table.0", OutputClosed())
    bench.says("sink.table.0", SinkDone(Position(0, 3 * BLOCK, 3 * BLOCK, 3 * BLOCK)))
    bench.process("table").end(0)
    bench.turn()
    assert (bench.agent().condition, bench.agent().is_detached) == (SinkState.DETACHED, True)
    assert bench.agent().row is None
    sink_record = bench.folder.read_record()["sinks"]["table"]
    assert (sink_record["state"], sink_record["stop"]) == ("detached", 3 * BLOCK)
    assert bench.agent().outcome(bench.agent().stop(4 * BLOCK)).gaps == 0
    answer = ask(bench, DetachSink("table"))
    assert isinstance(answer, Refused)
    assert answer.message == "table is detached already"


def test_an_output_that_is_away_is_given_up_after_five_seconds_where_the_journal_has_the_rest(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table"), drain_limit_s=60.0)
    bench.run()
    bench.publish(3)
    bench.says("sink.table.0", SinkAway("no space left"))
    ask(bench, DetachSink("table"))
    bench.turn(4.0)
    assert bench.agent().cut_off_at_ns == 0
    bench.turn(1.5)
    assert bench.sent.to("sink.table.0")[-1] == CutOff(
        "cut off after 5 s without progress when it was detached (no space left)"
    )
    bench.says("sink.table.0", OutputClosed())
    bench.says("sink.table.0", SinkDone(Position(0, BLOCK, BLOCK, BLOCK)))
    assert bench.agent().troubles() == {"detached": {"asked_at": 3 * BLOCK, "why": bench.agent().detached_short}}
    assert bench.agent().stop(3 * BLOCK) == BLOCK


def test_asked_a_second_time_nothing_is_waited_for(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    ask(bench, DetachSink("table"))
    ask(bench, DetachSink("table"))
    bench.turn(0.1)
    cut = bench.sent.to("sink.table.0")[-1]
    assert isinstance(cut, CutOff)
    assert "because it was asked for again" in cut.reason


def test_a_sink_that_starts_again_is_told_that_it_is_to_go(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    bench.die("table", code=-9)
    ask(bench, DetachSink("table"))
    bench.turn(5.0)
    bench.says("sink.table.1", Hello(2))
    bench.ready("table", bench.agent().position)
    assert bench.sent.to("sink.table.1")[-1] == DetachNow()


def test_a_program_that_follows_has_a_row_that_holds_nothing_until_it_goes(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table"))
    bench.run()
    bench.publish(3)
    bench.life.held.add(KEY)
    answer = ask(bench, Subscribe(KEY, Policy.BLOCK, "latest", 77, "look.py" * 50))
    assert isinstance(answer, Subscribed)
    assert (answer.start, answer.journal) == (3 * BLOCK, str(bench.agent("raw").path))
    assert bench.memory.table is not None
    assert answer.row not in {pin.row for pin in bench.memory.table.pins()}
    assert len(bench.subscriptions.subscribers[KEY].program) == 80
    free = bench.memory.table.n_free()
    bench.life.held.clear()
    bench.turn()
    assert bench.subscriptions.subscribers == {}
    assert bench.memory.table.n_free() == free + 1
    assert bench.life.forgotten == [KEY]


def test_a_program_is_told_to_wait_for_the_beginning_and_nothing_of_the_end(a_bench: Make) -> None:
    bench = a_bench()
    bench.life.held.add(KEY)
    assert ask(bench, Subscribe(KEY, Policy.BLOCK)) == NotYet()
    bench.run()
    bench.end_board()
    answer = ask(bench, Subscribe(KEY, Policy.BLOCK))
    assert isinstance(answer, Refused)
    assert answer.message == "the run is ending"


@pytest.mark.parametrize(
    "asked",
    [
        Subscribe("short", Policy.BLOCK), Subscribe("f" * 16, Policy.BLOCK), Subscribe(KEY, Policy.DROP_NEWEST),
        Subscribe("F" * 16, Policy.BLOCK),
    ],
)  # fmt: skip
def test_nobody_follows_without_a_lock_of_his_own(a_bench: Make, asked: Subscribe) -> None:
    bench = a_bench()
    bench.run()
    bench.life.held.add(KEY)
    assert ask(bench, asked) is None
    assert bench.malformed.count == 1
    assert bench.subscriptions.subscribers == {}


def test_a_ring_without_a_free_row_takes_nobody(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    answers = []
    for n in range(MAX_ROWS):
        key = f"{n:016x}"
        bench.life.held.add(key)
        answers.append(ask(bench, Subscribe(key, Policy.DROP_OLDEST)))
    assert isinstance(answers[0], Subscribed)
    assert answers[-1] == Refused(
        "the ring has as many readers as it can hold", "end a program that follows it, or detach a sink"
    )
    bench.die("table", code=-9)
    bench.turn(5.0)
    bench.says("sink.table.1", Hello(2))
    assert isinstance(bench.sent.to("sink.table.1")[0], BeginSink), "a row is kept for who is started again"
    bench.says("a command", Unsubscribe("0" * 16))
    assert isinstance(ask(bench, Subscribe("0" * 16, Policy.DROP_OLDEST)), Subscribed)


def test_questions_are_answered_to_who_asked(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    status = ask(bench, AskStatus())
    assert isinstance(status, StatusSnapshot)
    assert (status.snapshot["phase"], list(status.snapshot["sinks"])) == ("running", ["table"])
    assert ask(bench, StopRun(user="ann\x1b[2J", host="daq-pc")) == Stopping(str(bench.folder.path))
    ((by, hurry),) = bench.stops
    assert (by.text, hurry) == ("dtopipe stop (ann[2J on daq-pc)", False)
    assert ask(bench, RestartSink("table")) == Restarting("table", "running", 0)
    answer = ask(bench, DetachSink("tabel"))
    assert isinstance(answer, Refused)
    assert "table" in answer.remedy


@pytest.mark.parametrize("state", [state for state in WorkerState if state.has_process])
def test_what_a_sink_shows_is_what_its_worker_does(a_bench: Make, state: WorkerState) -> None:
    bench = a_bench()
    agent = bench.agent()
    agent.life.state = state
    assert agent.condition.value == agent.shown_state == state.value
    agent.stands = "hung in commit"
    assert (agent.condition, agent.shown_state) == (SinkState.HUNG, "hung in commit for 0 s")
    agent.stands, agent.away = "", "no space left"
    assert agent.condition is SinkState.AWAY


def test_a_word_that_is_malformed_changes_nothing_and_is_counted(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    words: list[tuple[str, str, dict[str, Any]]] = [
        ("x", "attach", {"sinks": [7], "document": {}}), ("x", "stop", {"now": "yes"}), ("x", "detach", {}),
        ("sink.table.0", "done", {"committed": "5"}), ("sink.table.0", "gaps", {"gaps": [[0]]}),
        ("x", "attach", {"sinks": [describe_sink(SinkPlan("../x", "csv", "x.csv"))], "document": {}}),
        ("acquirer.0", "opened", {}), ("acquirer.0", "compared", {"pair": [1]}), ("gateway.0", "remotes", {}),
    ]  # fmt: skip
    before = list(bench.events.lines)
    for address, kind, body in words:
        bench.hearing.hear(address.encode(), Message(kind, body))
    assert bench.malformed.count == len(words)
    told = bench.events.lines[len(before) :]
    assert {line["event"] for line in told} == {"malformed_message"}
    bench.hearing.hear(b"nobody", Message("what a later version says", {}))
    assert bench.malformed.count == len(words)
    assert bench.agent().state is WorkerState.RUNNING


def test_a_fault_of_our_own_is_not_taken_for_a_malformed_message(
    a_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = a_bench()
    bench.run()

    def broken(name: str) -> Detaching:
        raise TypeError("a fault of our own")

    monkeypatch.setattr(bench.attachments, "detach", broken)
    with pytest.raises(TypeError, match="a fault of our own"):
        ask(bench, DetachSink("table"))
