"""What becomes of a process that dies: its successor, its row, its budget, and what the run makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from parts import BLOCK, LISTEN, Bench, journal, sink

from dtopipe.core.ending import BY_FAILURE
from dtopipe.core.lifecycle import SinkState, WorkerState
from dtopipe.core.verdict import VerdictState
from dtopipe.model.errors import TopologyError
from dtopipe.model.plan import BoardPlan, RestartPlan
from dtopipe.model.policy import Policy
from dtopipe.model.span import Cause
from dtopipe.supervisor.progress import Phase
from dtopipe.wire.messages import (
    EXIT_AFTER_FAILED,
    BeginSink,
    Failed,
    Hello,
    LetGo,
    RemoteFacts,
    RemotesServed,
    RunEnded,
    Serving,
    StartBoard,
    StopBoard,
)
from dtopipe.wire.orders import GatewayOrders

Make = Callable[..., Bench]
ONCE = RestartPlan(max_restarts=1, within_s=60.0)


def begin_of(bench: Bench, address: str) -> BeginSink:
    begin = bench.sent.to(address)[0]
    assert isinstance(begin, BeginSink)
    return begin


def test_a_dead_sink_holds_its_slots_until_its_successor_goes_on_behind_its_last_commit(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(3)
    bench.commit("table", 2 * BLOCK)
    bench.publish(1)
    bench.die("table", code=-9)
    assert bench.agent().state is WorkerState.RESTARTING
    assert bench.agent().row is not None, "nobody may overwrite what it has not written"
    bench.turn(10.0)
    assert bench.agent().life.restarts == 1
    bench.says("sink.table.1", Hello(2))
    begin = begin_of(bench, "sink.table.1")
    assert (begin.resume, begin.committed, begin.otherwise) == (True, 2 * BLOCK, Cause.WORKER_FAILED)
    bench.ready("table", bench.agent().position)
    assert bench.agent().state is WorkerState.RUNNING
    assert (bench.sink_status()["restarts"], bench.sink_status().get("failure")) == (1, None)
    assert [name for name in bench.events.names("table") if name != "ready"] == ["died"]


def test_its_last_words_are_what_is_wrong_with_a_sink_until_it_is_back(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.die("table", "the disk is on fire", remedy="leave")
    assert bench.agent().troubles() == {"failure": "the disk is on fire"}
    assert bench.agent().condition is SinkState.RESTARTING


def test_words_that_come_late_from_a_busy_machine_are_why_it_died(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.process("table").end(EXIT_AFTER_FAILED)
    for _ in range(10):
        bench.turn()
    assert "died" not in bench.events.names("table")
    bench.says("sink.table.0", Failed("the disk is on fire"))
    bench.turn()
    assert bench.agent().failure == "the disk is on fire"
    assert bench.agent().state is WorkerState.RESTARTING


def test_a_sink_that_ended_in_order_is_done_though_it_is_heard_late(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    bench.end_board()
    bench.process("table").end(0)
    for _ in range(10):
        bench.turn()
    bench.done("table")
    assert bench.agent().state is WorkerState.DONE
    assert "died" not in bench.events.names("table")


def test_a_gateway_whose_words_come_late_refuses_the_run_with_them(a_bench: Make) -> None:
    bench = a_bench(listen=LISTEN)
    bench.start()
    bench.process("gateway").end(EXIT_AFTER_FAILED)
    bench.turn()
    bench.turn()
    bench.says("gateway.0", Failed("cannot listen: Address already in use"))
    with pytest.raises(TopologyError, match="Address already in use"):
        bench.turn()


def test_a_ring_that_runs_full_shortens_the_pause_of_who_holds_it(a_bench: Make) -> None:
    bench = a_bench(sink("table", restart=RestartPlan(max_restarts=9, backoff_s=8.0)))
    bench.run()
    bench.publish(7)
    bench.die("table")
    bench.turn(0.0)
    assert len(bench.starter.of("table")) == 2, "there is room for 100 ms, and a start takes longer"


def test_a_covered_sink_holds_nothing_and_waits_its_whole_pause(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table", restart=RestartPlan(max_restarts=9, backoff_s=8.0)))
    bench.run()
    bench.publish(7)
    bench.die("table")
    bench.turn(7.0)
    assert len(bench.starter.of("table")) == 1
    # It died as soon as it was ready, which counts double.
    bench.turn(3.5)
    assert len(bench.starter.of("table")) == 2


def test_a_sink_that_gives_up_frees_its_slots_and_says_what_it_had_logged(a_bench: Make) -> None:
    bench = a_bench(sink("table", restart=RestartPlan(max_restarts=0)), sink("other"))
    bench.run()
    bench.die("table", "no such table")
    assert bench.agent().state is WorkerState.GAVE_UP
    assert bench.agent().row is None
    gave_up = bench.events.last("gave_up")
    assert (gave_up["why"], gave_up["log"]) == ("gave up after 1 failure: no such table", ["its log"])
    assert bench.phase() is Phase.RUNNING, "the others go on"
    assert bench.sink_status()["state"] == "gave_up"
    bench.publish(2)
    bench.end_board()
    bench.done("other")
    verdict = bench.finish()
    assert (verdict.state, verdict.state.exit_code) == (VerdictState.DEGRADED, 4)
    assert "gave up after 1 failure: no such table" in verdict.text
    assert [(sink, len(gap), gap.cause) for sink, gap in bench.gaps.found] == [
        ("table", 2 * BLOCK, Cause.WORKER_FAILED),
    ]  # fmt: skip
    record = bench.record.facts()["sinks"]["table"]
    assert record["start"] + record["samples"] + record["gaps"] == record["stop"] == 2 * BLOCK


def test_a_run_ends_with_a_sink_that_is_essential(a_bench: Make) -> None:
    bench = a_bench(journal(restart=RestartPlan(max_restarts=0)), sink("table"))
    bench.run()
    bench.die("raw", "no such disk")
    assert bench.progress.aborted == "the essential sink raw gave up after 1 failure: no such disk"
    assert bench.progress.ended_by == BY_FAILURE
    assert bench.phase() is Phase.DRAINING
    assert bench.finish().state is VerdictState.ABORTED


def test_a_clocked_board_whose_process_dies_is_gone_on_with_at_once(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    bench.die("acquirer", code=-9)
    bench.turn(0.0)
    assert len(bench.starter.of("acquirer")) == 2, "each moment of a pause is a gap"
    bench.open_board()
    start = bench.sent.to("acquirer.1")[0]
    assert isinstance(start, StartBoard)
    assert start.hole_cause is Cause.ACQUIRER_RESTART
    assert bench.acquirer.life.restarts == 1


def test_one_that_has_delivered_nothing_has_a_pause(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.die("acquirer", code=-9)
    bench.turn(0.0)
    assert len(bench.starter.of("acquirer")) == 1
    bench.turn(5.0)
    assert len(bench.starter.of("acquirer")) == 2


def test_a_board_that_cannot_for_good_ends_the_run(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.die("acquirer", "it was sold", is_final=True)
    assert bench.progress.aborted == "the acquirer gave up: it was sold"
    assert bench.phase() is Phase.DRAINING


def test_an_acquirer_that_dies_again_and_again_ends_the_run(a_bench: Make) -> None:
    bench = a_bench(board=BoardPlan("simulated", {}, None, restart=RestartPlan(max_restarts=2, within_s=600.0)))
    bench.run()
    for generation in (0, 1):
        assert bench.acquirer.life.generation == generation
        bench.turn(30.0)
        bench.die("acquirer", code=-9)
        bench.turn(30.0)
        bench.open_board()
    bench.turn(30.0)
    bench.die("acquirer", code=-9)
    assert bench.progress.aborted == "the acquirer gave up after 3 failures in 120 s: exit -9"


def test_a_board_that_is_away_is_waited_for_as_long_as_it_takes(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(1)
    for _ in range(30):
        bench.die("acquirer", "no answer", is_final=False)
        assert bench.acquirer.away == "no answer"
        bench.turn(10.0)
    assert bench.phase() is Phase.RUNNING
    assert bench.events.names("acquirer").count("away") == 1, "it is said once"
    assert bench.acquirer.hole_cause is Cause.BOARD_AWAY


def test_how_long_a_board_is_waited_for_is_the_topologys_to_say(a_bench: Make) -> None:
    bench = a_bench(board=BoardPlan("simulated", {}, None, restart=RestartPlan(max_restarts=2, within_s=600.0)))
    bench.run()
    for _ in range(3):
        bench.die("acquirer", "no answer", is_final=False)
        bench.turn(20.0)
    assert bench.progress.aborted == "the acquirer gave up after 3 failures in 40 s: no answer"
    verdict = bench.finish()
    assert verdict.state.exit_code == 5
    assert "the acquirer gave up after 3 failures in 40 s: no answer" in verdict.text


def test_a_gateway_that_dies_is_started_at_the_same_port_and_waits_for_whom_it_served(a_bench: Make) -> None:
    bench = a_bench(listen=LISTEN)
    bench.run()
    served = RemoteFacts("one", "office", "", "10.0.0.7", "block", 5, 3, 0, away=False, finished=False)
    gone = RemoteFacts("two", "lab", "", "10.0.0.8", "block", 5, 5, 0, away=False, finished=True)
    bench.says("gateway.0", RemotesServed((served, gone), 2))
    bench.process("gateway").end(-9)
    bench.turn(0.0)
    bench.turn(0.0)
    assert bench.phase() is Phase.RUNNING, "it harms no sink"
    bench.turn(10.0)
    orders = bench.process("gateway").orders
    assert isinstance(orders, GatewayOrders)
    assert (orders.endpoint, orders.address) == ("tcp://127.0.0.1:5700", "gateway.1")
    assert orders.expected == ("one",)
    bench.says("gateway.1", Serving("tcp://127.0.0.1:5700"))
    bench.says("gateway.1", RemotesServed((), 1))
    snapshot = bench.gateway.snapshot()
    assert snapshot is not None
    assert snapshot["malformed"] == 3, "those of its predecessor count too"


def test_a_gateway_that_cannot_live_is_started_ever_more_slowly_and_harms_nobody(a_bench: Make) -> None:
    bench = a_bench(listen=LISTEN)
    bench.run()
    for generation in range(1, 8):
        bench.process("gateway").end(EXIT_AFTER_FAILED)
        bench.says(f"gateway.{generation - 1}", Failed("no room"))
        bench.turn(0.0)
        bench.turn(0.0)
        before = len(bench.starter.of("gateway"))
        bench.turn(0.2)
        assert len(bench.starter.of("gateway")) == before
        bench.turn(10.0)
        assert len(bench.starter.of("gateway")) == generation + 1
    assert (bench.progress.phase, bench.progress.aborted) == (Phase.RUNNING, "")
    assert bench.events.names("gateway").count("died") == 7


def test_a_gateway_that_was_told_the_end_and_ends_in_order_has_ended(a_bench: Make) -> None:
    bench = a_bench(listen=LISTEN)
    bench.run()
    bench.publish(1)
    bench.end_board()
    assert RunEnded(BLOCK) in bench.sent.to("gateway.0")
    before = bench.gateway.has_ended
    bench.process("gateway").end(0)
    bench.turn()
    bench.turn()
    assert (before, bench.gateway.has_ended) == (False, True)
    assert "died" not in bench.events.names("gateway")


@pytest.mark.parametrize("then", ["drop", "stop"])
def test_a_sink_that_holds_the_board_for_too_long_is_overruled(a_bench: Make, then: str) -> None:
    bench = a_bench(sink("table", stall_limit_s=2.0, on_stall=then))
    bench.run()
    bench.publish(8)
    assert bench.writer is not None
    stall = bench.writer.lease()
    assert not isinstance(stall, int)
    bench.writer.waits(stall)
    bench.turn(1.0)
    assert len(bench.starter.of("table")) == 1
    bench.turn(2.0)
    assert bench.events.last("stalled")["then"] == then
    if then == "stop":
        assert bench.progress.aborted == "table held the board longer than its stall_limit of 2 s"
        verdict = bench.finish()
        assert (verdict.state, verdict.state.exit_code) == (VerdictState.ABORTED, 5)
        assert "stall_limit" in verdict.text
        return
    assert bench.starter.of("table")[0].was_killed
    assert isinstance(bench.writer.lease(), int), "the board goes on"
    bench.says("sink.table.1", Hello(2))
    assert begin_of(bench, "sink.table.1").otherwise is Cause.STALLED


def test_a_dropped_sink_is_restarted_too(a_bench: Make) -> None:
    bench = a_bench(sink("view", policy=Policy.DROP_OLDEST))
    bench.run()
    bench.die("view")
    bench.turn(10.0)
    assert len(bench.starter.of("view")) == 2


def test_a_restart_that_is_asked_for_lets_the_process_go_first(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    answer = bench.restarts.ask("table", bench.now_ns)
    assert (answer.kind, bench.sent.to("sink.table.0")[-1]) == ("restarting", LetGo())
    bench.process("table").end(0)
    bench.turn(0.0)
    bench.turn(0.0)
    bench.turn(0.0)
    assert len(bench.starter.of("table")) == 2
    assert bench.agent().life.restarts == 1


def test_who_does_not_let_go_is_killed(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.restarts.ask("table", bench.now_ns)
    bench.turn(5.1)
    assert bench.starter.of("table")[0].was_killed
    assert bench.events.last("killed")["why"] == "it did not let go of its output"


def test_a_sink_that_gave_up_is_revived_with_a_whole_budget(a_bench: Make) -> None:
    bench = a_bench(journal(), sink("table", restart=RestartPlan(max_restarts=0)))
    bench.run()
    bench.die("table", "no such table")
    assert bench.agent().state is WorkerState.GAVE_UP
    assert bench.restarts.ask("table", bench.now_ns).kind == "restarting"
    assert len(bench.starter.of("table")) == 2
    bench.says("sink.table.1", Hello(2))
    assert bench.agent().row is not None
    assert begin_of(bench, "sink.table.1").resume
    bench.ready("table", bench.agent().position)
    assert bench.agent().state is WorkerState.RUNNING


def test_nobody_restarts_what_is_not_there_not_begun_or_closed(a_bench: Make) -> None:
    bench = a_bench()
    asked = bench.restarts.ask
    assert "'tabel'" in str(asked("tabel", 0))
    assert "has not begun yet" in str(asked("table", 0))
    bench.run()
    bench.end_board()
    bench.done("table")
    assert "its output is closed" in str(asked("table", 0))


def test_a_stop_before_the_board_has_opened_reaches_it_when_it_has(a_bench: Make) -> None:
    bench = a_bench()
    bench.start()
    bench.drain.begin(BY_FAILURE)
    bench.open_board()
    assert bench.sent.to("acquirer.0")[-1] == StopBoard()
