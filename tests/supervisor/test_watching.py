"""What a supervisor sees of board, clocks and journal, and what the run record has of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from parts import BLOCK, LISTEN, Bench, journal, sink

from dtopipe.core.lifecycle import WorkerState
from dtopipe.model.errors import Place
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.position import Position
from dtopipe.supervisor.hanging import Hanging
from dtopipe.supervisor.progress import Phase
from dtopipe.supervisor.refusal import refusal
from dtopipe.wire.messages import ClocksCompared, Held, HoldAsked, RemoteEvent, RemoteFacts, RemotesServed, SourceAway

Make = Callable[..., Bench]


def test_a_board_that_delivers_nothing_is_said_once_and_once_that_it_does_again(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    bench.turn()
    for _ in range(6):
        bench.turn(0.25)
    assert bench.events.names("acquirer").count("silent") == 1
    assert bench.board_watch.silent_since
    board = bench.status.snapshot()["board"]
    assert board["state"] == f"silent: no sample since {board['silent_since']}"
    assert (board["condition"], board["why"]) == ("silent", f"no sample since {board['silent_since']}")
    assert [remark.is_lack for remark in bench.board_watch.remarks()] == [True]
    bench.publish(1)
    bench.turn()
    assert bench.events.last("delivers_again")["after_s"] >= 1.0
    assert not bench.board_watch.silent_since
    assert "was silent once" in bench.board_watch.remarks()[0].text


def test_a_board_that_has_no_room_is_not_silent(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(8)
    assert bench.writer is not None
    stall = bench.writer.lease()
    assert not isinstance(stall, int)
    bench.writer.waits(stall)
    for _ in range(20):
        bench.turn(0.25)
    assert "silent" not in bench.events.names()


def test_a_board_that_was_away_and_came_back_is_a_remark(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    bench.die("acquirer", "no answer", is_final=False)
    bench.turn(3.0)
    assert [(each.is_lack, "no answer" in each.text) for each in bench.board_watch.remarks()] == [(True, True)]
    bench.turn(10.0)
    bench.open_board()
    assert bench.writer is not None
    bench.writer.begin_epoch(bench.memory.ring.anchor())  # type: ignore[union-attr]
    bench.turn()
    assert bench.events.last("back")["after_s"] == pytest.approx(13.05)
    assert not bench.acquirer.away
    assert "was away once, for 13.1 s: no answer" in bench.board_watch.remarks()[0].text


def test_a_run_with_a_duration_waits_for_a_silent_board_only_so_long(a_bench: Make) -> None:
    bench = a_bench(duration_s=10.0, overtime_limit_s=5.0)
    bench.run()
    bench.publish(1)
    seconds = 0.0
    while not bench.board_watch.over_time:
        bench.turn(0.25)
        seconds += 0.25
        assert seconds < 60
    assert 15.0 < seconds < 16.0
    assert "the board delivers nothing: it was at sample 100 of 10000" in bench.board_watch.over_time


def test_the_journal_keeps_what_a_triggered_sink_has_to_look_back_on(a_bench: Make) -> None:
    retiring = journal(options={"segment": 2**20, "retention": {"until": "durable"}})
    # At 1 kHz, blocks of 100 samples.
    waiting = sink("view", trigger=TriggerPlan("a > 1 for 100ms", pre_s=5.0, post_s=0.05))
    bench = a_bench(retiring, sink("table"), waiting)
    bench.run()
    bench.publish(6)
    assert bench.memory.table is not None
    bench.commit("table", 5 * BLOCK)
    bench.commit("view", 3 * BLOCK)
    bench.turn()
    bench.turn()
    assert bench.memory.table.settled() == 3 * BLOCK - 100 - 50 - 1


def test_the_journal_keeps_what_others_lack(a_bench: Make) -> None:
    retiring = journal(options={"segment": 2**20, "retention": {"until": "durable"}})
    bench = a_bench(retiring, sink("table"), sink("view"), listen=LISTEN)
    bench.run()
    bench.publish(6)
    assert bench.memory.table is not None
    bench.commit("table", 5 * BLOCK)
    bench.commit("view", 3 * BLOCK)
    bench.turn()
    bench.turn()
    assert bench.memory.table.settled() == 3 * BLOCK
    assert bench.retention.waited_for(6 * BLOCK) == ["view"]
    bench.says("gateway.0", HoldAsked("one", 0))
    assert bench.sent.to("gateway.0")[-1] == Held("one", 3 * BLOCK)
    facts = RemoteFacts("one", "office", "", "10.0.0.7", "block", 6 * BLOCK, 4 * BLOCK, 0, away=False, finished=False)
    bench.says("gateway.0", RemotesServed((facts,), 0))
    assert bench.gateway.kept() == {"remote:office": 4 * BLOCK}
    bench.says("gateway.0", RemoteEvent("remote_left", "one", "office", ""))
    assert bench.gateway.kept() == {}
    snapshot = bench.gateway.snapshot()
    assert snapshot is not None
    assert snapshot["former"] == {"office": "left"}


def test_clocks_of_another_machine_are_compared_and_the_quickest_answer_counts(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    for pair in ((1, 2, 3, 4, 500), (1, 2, 3, 9, 200), (1, 2, 3, 7, 900)):
        bench.says("acquirer.0", ClocksCompared(pair))
    assert bench.acquirer.link_pair is not None
    assert bench.acquirer.link_pair.round_trip_ns == 200
    assert bench.record.facts()["clock"]["link"]["offset_ns"] == 7
    assert len((bench.folder.path / "clock.jsonl").read_text().splitlines()) == 3


def test_another_machine_that_is_away_is_said_with_its_words(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.says("acquirer.0", SourceAway("the connection was cut"))
    assert bench.acquirer.away == "the connection was cut"
    assert bench.events.last("away")["why"] == "the connection was cut"


def test_a_process_that_stands_in_one_call_is_said_and_then_killed(a_bench: Make) -> None:
    bench = a_bench(sink("table", hung_limit_s=4.0))
    hanging = Hanging(bench.memory, bench.acquirer, bench.sinks, bench.events)
    bench.start()
    for _ in range(6):
        hanging.look(4.0)
    assert bench.events.last("hung")["process"] == "table"
    assert bench.agent().stands == "hung in start"
    for _ in range(9):
        hanging.look(4.0)
    # A start has a minute, whatever the limit of its calls.
    assert not bench.process("table").was_killed
    hanging.look(4.0)
    assert bench.process("table").was_killed
    said = bench.agent().life.last_words
    assert said is not None
    assert said.message == "hung in start for 60 s"


def test_time_in_which_nobody_looked_makes_nobody_hang(a_bench: Make) -> None:
    bench = a_bench(sink("table", hung_limit_s=4.0))
    hanging = Hanging(bench.memory, bench.acquirer, bench.sinks, bench.events)
    bench.start()
    # A look counts as what the supervisor was awake for, however long ago the last one was.
    hanging.look(0.5)
    hanging.look(0.9)
    hanging.look(0.9)
    assert not bench.process("table").was_killed
    assert bench.events.names("table") == []


def test_the_record_has_every_sink_with_its_place_and_no_verdict_before_the_end(a_bench: Make) -> None:
    bench = a_bench(sink("a"), sink("b"))
    bench.run()
    bench.publish(2)
    bench.agent("a").position = Position(0, BLOCK, 0, BLOCK)
    facts = bench.record.facts()
    assert facts["verdict"] is None
    assert facts["acquired"]["end_sample_index"] == 2 * BLOCK
    assert (facts["sinks"]["a"]["committed"], facts["sinks"]["b"]["committed"]) == (BLOCK, 0)
    bench.progress.phase = Phase.FINISHED
    assert bench.record.facts()["sinks"]["a"]["gaps"] == BLOCK, "what it lacks at the end counts"


def test_a_record_that_the_disk_refuses_is_tried_again(a_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = a_bench()

    def full(record: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(bench.folder, "write_record", full)
        assert not bench.record.save()
    assert bench.record.save()
    assert not bench.record.is_concluded


def test_a_refusal_is_at_its_key_or_at_what_is_around_it(a_bench: Make) -> None:
    bench = a_bench(places={"sinks.table": Place("x.yaml", 7, 3), "board": Place("x.yaml", 2, 1)})
    assert str(refusal(bench.plan, "sinks.table.path", "no")).startswith("x.yaml:7:3: sinks.table.path: no")
    assert str(refusal(bench.plan, "ring", "no", "yes")) == "ring: no\n    yes"


def test_every_process_has_its_name_its_module_and_what_all_must_know(a_bench: Make, tmp_path: Path) -> None:
    bench = a_bench(listen=LISTEN)
    bench.start()
    modules = {name: process.module.rpartition(".")[2] for name, process in bench.starter.started}
    assert modules == {"acquirer": "acquirer", "gateway": "gateway", "table": "sink_worker"}
    assert {process.orders.control for _, process in bench.starter.started} == {"ipc://control"}
    assert {process.orders.address for _, process in bench.starter.started} == {
        "acquirer.0", "gateway.0", "sink.table.0",
    }  # fmt: skip
    assert bench.agent().state is WorkerState.STARTING
