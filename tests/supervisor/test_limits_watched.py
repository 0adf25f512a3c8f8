"""Limits of a run: who watches them, what becomes of what he says, and of him; no output has to do with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from parts import BLOCK, Bench, journal, sink

from dtopipe.core.ending import BY_CTRL_C, BY_KILL
from dtopipe.core.lifecycle import SinkState, WorkerState
from dtopipe.core.limit_words import CROSSED, OVER, limit_remarks, outcomes_from, with_events
from dtopipe.core.verdict import VerdictState
from dtopipe.core.worker import WorkerLife
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import TopologyError
from dtopipe.model.limits import Crossing, LimitPlan, LimitSeen, Side, Then
from dtopipe.model.plan import RestartPlan
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.supervisor.limits_agent import LimitsAgent
from dtopipe.wire.commands import Attaching, AttachSinks, Refused, Restarting
from dtopipe.wire.messages import GapsCommitted, Hello, LimitsSeen
from dtopipe.wire.orders import LimitOrders

Make = Callable[..., Bench]
LIMITS = (LimitPlan("a", high=5.0, for_s=0.1), LimitPlan("b", low=-1.0))


def watched(a_bench: Make, *sinks: Any) -> Bench:
    """A run in progress with limits."""
    bench = a_bench(*sinks, limits=LIMITS)
    bench.run()
    return bench


def begun(bench: Bench, number: int = 1, start: int = 150, extreme: float = 7.0) -> Crossing:
    began_ns = bench.progress.started_ns + start
    return Crossing(number, start, 5.5, began_ns, start + 100, 6.0, extreme, start + 50)


def seen(crossing: Crossing, **more: Any) -> LimitSeen:
    is_over = crossing.stop is not None
    facts: dict[str, Any] = {
        "crossings": crossing.number, "outside": crossing.stop - crossing.start if crossing.stop is not None else 0,
        "extreme": crossing.extreme, "current": None if is_over else crossing, "news": (crossing,),
    }  # fmt: skip
    return LimitSeen("a", Side.HIGH, **{**facts, **more})


def says(bench: Bench, *limits: LimitSeen, committed: int | None = None) -> None:
    position = None if committed is None else Position(0, committed, committed, committed)
    bench.says(bench.agent("limits").lock, LimitsSeen(limits, position))


def over(crossing: Crossing, stop: int, then: Then = Then.INSIDE, **more: Any) -> Crossing:
    return replace(crossing, stop=stop, then=then, **more)


def finish(bench: Bench) -> Any:
    bench.drain.begin(BY_CTRL_C)
    bench.end_board()
    bench.done("table")
    if bench.agent("limits").process is not None:
        bench.done("limits")
    return bench.finish()


def told(bench: Bench, event: str) -> list[dict[str, Any]]:
    return [line for line in bench.events.lines if line["event"] == event]


def test_without_limits_there_is_nobody_who_watches(a_bench: Make) -> None:
    bench = a_bench()
    bench.run()
    assert bench.sinks.watcher is None
    assert "limits" not in bench.status.snapshot()
    assert "limits" not in bench.record.facts()


@pytest.mark.parametrize(
    ("sinks", "policy"), [((sink("table"),), Policy.DROP_OLDEST), ((journal(), sink("table")), Policy.BLOCK)]
)
def test_who_watches_holds_nobody_and_is_no_output(a_bench: Make, sinks: Any, policy: Policy) -> None:
    bench = watched(a_bench, *sinks)
    agent = bench.agent("limits")
    assert isinstance(agent, LimitsAgent)
    assert (agent.state, agent.plan.policy, agent.plan.stall_limit_s) == (WorkerState.RUNNING, policy, 0.25)
    orders = bench.process("limits").orders
    assert isinstance(orders, LimitOrders)
    assert (bench.process("limits").module, orders.channels, orders.limits) == (
        "dtopipe.workers.limits",
        ("a", "b"),
        LIMITS,
    )
    table = bench.memory.table
    assert table is not None
    assert agent.row not in [pin.row for pin in table.pins()]
    assert "limits" not in bench.status.snapshot()["sinks"]
    assert "limits" not in bench.record.facts()["sinks"]


def test_a_board_that_waits_waits_for_who_watches(a_bench: Make) -> None:
    bench = a_bench(clocked=False, limits=LIMITS)
    bench.run()
    table, agent = bench.memory.table, bench.agent("limits")
    assert table is not None
    assert agent.row in [pin.row for pin in table.pins()]
    assert agent.plan.stall_limit_s == 10.0


def test_a_crossing_is_an_event_when_it_counts_and_when_it_is_over_and_words_of_the_verdict(a_bench: Make) -> None:
    bench = watched(a_bench)
    bench.publish(4)
    crossing = begun(bench)
    says(bench, seen(crossing))
    event = bench.events.last(CROSSED)
    wanted = {"channel": "a", "limit": "high", "value": 5.0, "number": 1, "began": 150, "began_value": 5.5,
              "counts_from": 250, "counts_from_value": 6.0, "after_s": 0.1}  # fmt: skip
    assert {key: event[key] for key in wanted} == wanted
    at = f"{iso_utc(crossing.start_utc_ns)[:19]}Z"
    assert event["text"] == f"a above 5 since {at}"
    status = bench.status.snapshot()["limits"]
    assert status["now"] == [f"a above 5 since {at}, up to 7"]
    assert status["over"] == []
    bench.commit("table", 4 * BLOCK)
    says(bench, seen(over(crossing, 320, extreme=9.0)), committed=400)
    event = bench.events.last(OVER)
    wanted = {"began": 150, "stop": 320, "lasted_s": 0.17, "extreme": 9.0, "extreme_at": 200, "then": "inside"}
    assert {key: event[key] for key in wanted} == wanted
    status = bench.status.snapshot()["limits"]
    assert (status["now"], status["over"]) == ([], [f"a above 5 for 0.17 s at {at}"])
    verdict = finish(bench)
    assert verdict.state is VerdictState.GOOD
    assert f"whole in 1 output; a above 5 for 0.17 s at {at}; ended by Ctrl-C" in verdict.text
    facts = bench.record.facts()["limits"]["seen"][0]
    assert (facts["crossings"], facts["outside_s"], facts["extreme"]) == (1, 0.17, 9.0)


def test_a_crossing_that_lasts_to_the_end_is_told_to_do_so(a_bench: Make) -> None:
    bench = watched(a_bench)
    bench.publish(4)
    says(bench, seen(begun(bench)), committed=300)
    verdict = finish(bench)
    assert "a above 5 for 0.25 s at " in verdict.text
    assert ", to the end; ended by" in verdict.text


def test_many_crossings_are_told_in_one_sentence(a_bench: Make) -> None:
    bench = watched(a_bench)
    bench.publish(8)
    first = over(begun(bench), 260)
    says(bench, seen(first))
    # So many that they were only counted.
    says(bench, LimitSeen("a", Side.HIGH, crossings=500, outside=90_000, extreme=9.0), committed=800)
    at = f"{iso_utc(first.start_utc_ns)[:19]}Z"
    assert f"a above 5 500 times, for 90 s in all, the first at {at}; " in finish(bench).text
    assert len(told(bench, CROSSED)) == 1


def test_a_successor_goes_on_with_what_was_seen_up_to_the_last_commit(a_bench: Make) -> None:
    bench = watched(a_bench)
    bench.publish(3)
    crossing = begun(bench)
    says(bench, seen(crossing), committed=200)
    # Told after that commit: the successor sees it again.
    says(bench, seen(over(crossing, 290)))
    bench.die("limits", code=-9)
    bench.turn(10.0)
    orders = bench.process("limits").orders
    assert isinstance(orders, LimitOrders)
    assert orders.position == Position(0, 200, 200, 200)
    assert orders.seen == (seen(crossing),)
    bench.ready("limits", orders.position)
    says(bench, seen(crossing, news=()), committed=200)
    says(bench, seen(over(crossing, 290)), committed=300)
    assert len(told(bench, CROSSED)) == len(told(bench, OVER)) == 1
    bench.commit("table", 3 * BLOCK)
    assert finish(bench).state is VerdictState.GOOD


def test_the_end_of_a_crossing_that_a_killed_watcher_did_not_tell_is_no_secret(a_bench: Make) -> None:
    bench = watched(a_bench)
    bench.publish(6)
    says(bench, seen(begun(bench)))
    bench.die("limits", code=-9)
    bench.turn(10.0)
    bench.ready("limits", Position(0, 0, 0))
    # Its hole was where the crossing counted, and behind it there is none.
    says(bench, LimitSeen("a", Side.HIGH), committed=600)
    assert bench.events.last(OVER)["then"] == "gap"
    assert bench.status.snapshot()["limits"]["now"] == []


def test_what_was_not_watched_is_said_and_changes_no_state(a_bench: Make) -> None:
    bench = watched(a_bench)
    bench.publish(4)
    gaps = Gap(Span(100, 300), Cause.WORKER_FAILED, 1), Gap(Span(300, 350), Cause.BOARD_OVERRUN, 1)
    bench.says(bench.agent("limits").lock, GapsCommitted(gaps))
    assert bench.gaps.found == {}
    assert [(line["start"], line["stop"]) for line in told(bench, "not_watched")] == [(100, 300)]
    assert bench.status.snapshot()["limits"]["watcher"]["missed_samples"] == 200
    bench.commit("table", 4 * BLOCK)
    verdict = finish(bench)
    assert verdict.state is VerdictState.GOOD
    assert "; limits were not watched for 200 samples, 0.2 s; " in verdict.text


def test_a_watcher_that_gives_up_ends_nothing(a_bench: Make) -> None:
    bench = watched(a_bench)
    agent = bench.agent("limits")
    agent.life = WorkerLife(RestartPlan(max_restarts=0))
    agent.life.state = WorkerState.RUNNING
    bench.publish(2)
    bench.die("limits", "out of memory", code=1)
    assert agent.condition is SinkState.GAVE_UP
    assert agent.row is None
    bench.commit("table", 2 * BLOCK)
    assert "out of memory" in bench.status.snapshot()["limits"]["not_watched"]
    assert isinstance(bench.restarts.ask("limits", bench.now_ns), Restarting)
    verdict = finish(bench)
    assert verdict.state is VerdictState.GOOD


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (LimitPlan("tc", high=1.0), r"limits\.tc: the board has no such channel"),
        (
            LimitPlan("a", 1.0, unit="K"),
            r"limits\.a\.unit: these limits are in K, and the board gives values without a",
        ),
    ],
)
def test_a_limit_that_the_board_cannot_have_refuses_the_run(a_bench: Make, limit: LimitPlan, said: str) -> None:
    bench = a_bench(limits=(limit,))
    bench.start()
    bench.open_board()
    with pytest.raises(TopologyError, match=said):
        bench.turn()


def test_a_watcher_that_cannot_begin_refuses_the_run(a_bench: Make) -> None:
    bench = a_bench(limits=LIMITS)
    bench.start()
    bench.open_board()
    bench.turn()
    bench.says(bench.agent("limits").lock, Hello(2))
    with pytest.raises(TopologyError, match="limits: no memory"):
        bench.die("limits", "no memory", code=3)


def test_its_name_is_taken(a_bench: Make) -> None:
    bench = watched(a_bench)
    answer = bench.attachments.attach(AttachSinks((sink("limits"),), {}))
    assert isinstance(answer, Refused)
    assert isinstance(bench.attachments.attach(AttachSinks((sink("other"),), {})), Attaching)


def test_what_is_malformed_or_of_another_process_changes_nothing(a_bench: Make) -> None:
    bench = watched(a_bench)
    crossing = begun(bench)
    bench.says(bench.agent("table").lock, LimitsSeen((seen(crossing),)))
    says(bench, LimitSeen("nobody", Side.HIGH, 1, news=(crossing,)), LimitSeen("a", Side.LOW, 1, news=(crossing,)))
    assert told(bench, CROSSED) == []


def test_the_events_tell_what_the_record_of_a_killed_run_does_not(a_bench: Make) -> None:
    bench = watched(a_bench)
    bench.publish(7)
    before = bench.record.facts()
    first = begun(bench)
    says(bench, seen(first))
    says(bench, seen(over(first, 350, extreme=8.0)))
    says(bench, seen(begun(bench, 2, 500)))
    lines = json.loads(json.dumps(bench.events.lines))
    found = with_events(outcomes_from(before["limits"]), lines)
    record = {**before, "limits": {"seen": [each.facts() for each in found]}, "ended_by": BY_KILL.facts()}
    at = f"{iso_utc(first.start_utc_ns)[:19]}Z"
    (remark,) = limit_remarks(record)
    assert remark.text == f"a above 5 2 times, for 0.3 s in all, the first at {at}, and longer"
    # Told twice, nothing changes.
    assert with_events(found, lines) == found


@pytest.mark.parametrize("facts", [None, 5, [], {"seen": 5}, {"seen": [{}, 5, None, {"channel": "a"}]}])
def test_a_record_of_a_stranger_has_no_words(facts: Any) -> None:
    assert limit_remarks({"limits": facts, "started_at": 5, "ended_by": []}) == ()
