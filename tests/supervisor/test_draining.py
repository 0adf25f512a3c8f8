"""How a run ends: whom it waits for, and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from parts import BLOCK, LISTEN, RATE_HZ, Bench, S, journal, sink

from dtopipe.core.ending import BY_BOARD, BY_FULL_DISK, EndedBy, stopped_by
from dtopipe.core.lifecycle import SinkState, WorkerState
from dtopipe.core.verdict import VerdictState
from dtopipe.model.clock import Anchor
from dtopipe.model.position import Position
from dtopipe.model.span import Cause
from dtopipe.supervisor.progress import Phase
from dtopipe.wire.messages import CutOff, Hello, OutputClosed, SinkAway, SinkBack, SinkDone, StopBoard

Make = Callable[..., Bench]
ANN = stopped_by("ann", "daq-pc")


def test_a_stopped_run_ends_once_board_and_sinks_have_ended(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(3)
    bench.drain.begin(ANN)
    assert bench.sent.to("acquirer.0")[-1] == StopBoard()
    assert bench.events.last("draining")["by"] == ANN.text
    bench.end_board()
    assert bench.memory.has_ended
    bench.done("table")
    bench.turn()
    bench.turn()
    assert bench.phase() is Phase.FINISHED
    verdict = bench.finish()
    assert verdict.state is VerdictState.GOOD
    assert verdict.text.endswith(f"ended by {ANN.text}")
    assert bench.agent().outcome(3 * BLOCK).gaps == 0
    assert bench.agent().row is None


@pytest.mark.parametrize(("duration_s", "by"), [(None, EndedBy.BOARD), (0.2, EndedBy.DURATION)])
def test_a_run_that_ends_by_itself_says_by_what(a_bench: Make, duration_s: float | None, by: EndedBy) -> None:
    bench = a_bench(duration_s=duration_s)
    bench.run()
    bench.publish(2)
    bench.end_board()
    assert bench.progress.ended_by is not None
    assert bench.progress.ended_by.by is by


def test_who_asked_first_is_who_ended_it(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.drain.begin(ANN)
    bench.drain.end_early("the disk is full")
    assert (bench.progress.ended_by, bench.progress.ended_early) == (ANN, "the disk is full")


def test_a_disk_that_is_nearly_full_ends_the_run_in_order(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.drain.end_early("the disk is full")
    assert (bench.progress.ended_by, bench.progress.phase) == (BY_FULL_DISK, Phase.DRAINING)


def test_a_sink_that_gets_on_is_waited_for_and_one_that_does_not_is_cut_off(a_bench: Make) -> None:
    bench = a_bench(sink("slow"), sink("stuck"), drain_limit_s=10.0)
    bench.run()
    bench.publish(6)
    bench.drain.begin(ANN)
    bench.end_board()
    for n in range(1, 5):
        bench.commit("slow", n * BLOCK)
        bench.turn(3.0)
    assert bench.agent("slow").state is WorkerState.RUNNING
    cut = bench.sent.to("sink.stuck.0")[-1]
    assert cut == CutOff("cut off after 10 s without progress at the end of the run")
    bench.says("sink.stuck.0", SinkDone(Position(0, BLOCK, BLOCK, BLOCK)))
    assert bench.agent("stuck").state is WorkerState.CUT_OFF
    outcome = bench.agent("stuck").outcome(6 * BLOCK)
    assert (outcome.gaps, outcome.samples) == (5 * BLOCK, BLOCK)
    assert bench.agent("stuck").tail_cause is Cause.STALLED
    assert outcome.failure.endswith("; its output could not be closed")


def test_one_that_cannot_even_commit_is_killed(a_bench: Make) -> None:
    bench = a_bench(drain_limit_s=1.0)
    bench.run()
    bench.publish(1)
    bench.drain.begin(ANN)
    bench.end_board()
    bench.turn(1.1)
    bench.turn(0.1)
    assert not bench.process("table").was_killed
    bench.turn(3.1)
    assert bench.starter.of("table")[0].was_killed
    assert bench.agent().state is WorkerState.CUT_OFF
    assert bench.agent().row is None


def test_what_is_away_says_why_it_was_cut_off(a_bench: Make) -> None:
    bench = a_bench(drain_limit_s=1.0)
    bench.run()
    bench.publish(1)
    bench.says("sink.table.0", SinkAway("no space left", "free some"))
    assert bench.agent().condition is SinkState.AWAY
    bench.drain.begin(ANN)
    bench.end_board()
    bench.turn(1.1)
    assert bench.agent().failure == ("cut off after 1 s without progress at the end of the run (no space left)")


def test_what_came_back_is_not_away(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.says("sink.table.0", SinkAway("no space left"))
    bench.says("sink.table.0", SinkBack())
    assert bench.agent().condition is SinkState.RUNNING
    assert bench.events.names("table") == ["ready", "away", "back"]


def test_a_second_request_to_stop_waits_two_seconds(a_bench: Make) -> None:
    bench = a_bench(drain_limit_s=600.0, listen=LISTEN)
    bench.run()
    bench.publish(1)
    bench.drain.begin(ANN)
    bench.drain.hurry()
    assert bench.sent.to("acquirer.0")[-1] == StopBoard(hurry=True)
    bench.end_board()
    bench.turn(1.0)
    assert bench.agent().cut_off_at_ns == 0
    bench.turn(1.5)
    assert bench.agent().failure.startswith("cut off 2 s after the second request to stop")
    bench.turn(3.1)
    bench.turn()
    assert bench.phase() is Phase.FINISHED
    verdict = bench.finish()
    assert (verdict.state, verdict.state.exit_code) == (VerdictState.DEGRADED, 4)
    assert "second request to stop" in verdict.text
    record = bench.record.facts()["sinks"]["table"]
    assert record["state"] == "cut_off"
    assert record["start"] + record["samples"] + record["gaps"] == record["stop"] == BLOCK


def test_an_acquirer_that_does_not_end_is_killed(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.drain.begin(ANN)
    bench.turn(5.1)
    assert bench.starter.of("acquirer")[0].was_killed
    bench.turn()
    bench.turn()
    assert bench.memory.has_ended, "nobody waits for a mark that will not come"


def test_a_process_that_is_done_and_does_not_go_is_killed(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.drain.begin(ANN)
    bench.end_board()
    bench.says("sink.table.0", SinkDone(Position()))
    bench.turn(5.1)
    assert bench.starter.of("table")[0].was_killed
    bench.turn()
    assert bench.phase() is Phase.FINISHED
    assert bench.agent().state is WorkerState.DONE


def test_a_sink_that_dies_at_the_end_is_restarted_and_completed(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.publish(2)
    bench.drain.begin(ANN)
    bench.end_board()
    bench.die("table", code=-9)
    bench.turn(5.0)
    bench.says("sink.table.1", Hello(2))
    bench.ready("table", bench.agent().position)
    bench.done("table")
    bench.turn()
    bench.turn()
    assert bench.phase() is Phase.FINISHED
    assert bench.agent().state is WorkerState.DONE


def test_an_acquirer_that_dies_at_the_end_is_not_started_again(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.drain.begin(ANN)
    bench.process("acquirer").end(-9)
    bench.turn()
    bench.turn(60.0)
    assert len(bench.starter.of("acquirer")) == 1
    assert bench.memory.has_ended


def test_a_run_that_is_stopped_before_there_is_a_board_ends_without_outputs(a_bench: Make) -> None:
    bench = a_bench(listen=LISTEN)
    bench.start()
    bench.drain.begin(ANN)
    assert bench.agent().state is WorkerState.CANCELLED
    assert bench.process("table").was_killed
    bench.process("acquirer").end(0)
    for _ in range(3):
        bench.turn()
    assert bench.phase() is Phase.FINISHED
    assert bench.gateway.has_ended


def test_a_journal_whose_disk_is_full_is_not_cut_off_while_there_is_room_kept_for_it(a_bench: Make) -> None:
    bench = a_bench(journal(), drain_limit_s=1.0)
    bench.run()
    bench.publish(1)
    bench.progress.is_room_kept = True
    bench.says("sink.raw.0", SinkAway("no space left"))
    bench.drain.begin(ANN)
    bench.end_board()
    bench.turn(5.0)
    assert bench.agent("raw").cut_off_at_ns == 0
    bench.progress.is_room_kept = False
    bench.drain.wait_anew(bench.agent("raw"))
    bench.turn(0.5)
    assert bench.agent("raw").cut_off_at_ns == 0
    bench.turn(1.0)
    assert bench.agent("raw").cut_off_at_ns > 0


def test_what_a_clocked_board_took_while_it_was_away_to_the_end_is_a_gap(a_bench: Make) -> None:
    bench = a_bench(duration_s=600.0)
    bench.run()
    bench.publish(1)
    assert bench.writer is not None
    assert bench.memory.ring is not None
    # It began ten seconds ago.
    bench.writer.begin_epoch(Anchor(0, bench.progress.started_ns - 10 * S, bench.progress.times.utc_ns() - 10 * S))
    bench.die("acquirer", "no answer", is_final=False)
    bench.drain.begin(ANN)
    gaps = bench.memory.ring.board_gaps()
    assert [(gap.cause, gap.span.start) for gap in gaps] == [(Cause.BOARD_AWAY, BLOCK)]
    assert 10 * RATE_HZ <= bench.memory.end_sample_index == gaps[0].span.stop <= 600 * RATE_HZ


def test_an_output_says_what_it_is_not_that_was_promised(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.says("sink.table.0", OutputClosed("the log could not be folded in"))
    assert [remark.text for remark in bench.record.remarks] == ["table: the log could not be folded in"]


def test_a_sink_that_has_no_output_cannot_have_ended_it(a_bench: Make) -> None:
    bench = a_bench()
    bench.start()
    bench.says("sink.table.0", SinkDone(Position()))
    assert bench.malformed.count == 1
    assert bench.agent().state is WorkerState.STARTING


def test_the_end_of_the_board_is_an_end_by_the_board(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    bench.end_board()
    assert bench.progress.ended_by == BY_BOARD
