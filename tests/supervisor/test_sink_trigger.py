"""The trigger of a sink as its supervisor knows it."""

from __future__ import annotations

from dtopipe.core.trigger import Window
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.quantities import seconds
from dtopipe.supervisor.sink_trigger import SinkTrigger
from dtopipe.wire.messages import EventBegun, TriggerTold

PLAN = TriggerPlan("a > 1 for 500ms", 2.0, 0.0015)


def told(*indices: int, more: int = 0, waits: bool = True) -> TriggerTold:
    return TriggerTold(tuple(EventBegun(index, 10**18, {"a": 2.0}) for index in indices), more, waits)


def test_an_event_that_a_successor_tells_again_counts_once() -> None:
    trigger = SinkTrigger(PLAN)
    assert trigger.facts() == {"when": PLAN.when, "events": 0, "waits": True}
    assert [details["sample_index"] for details in trigger.hear(told(5, 9, waits=False))] == [5, 9]
    assert trigger.hear(told(9)) == []
    (details,) = trigger.hear(told(9, 12))
    assert details == {
        "sample_index": 12, "t_sample_utc": "2001-09-09T01:46:40.000000000Z", "when": PLAN.when, "values": {"a": 2.0},
    }  # fmt: skip
    assert trigger.facts() == {"when": PLAN.when, "events": 3, "waits": True}


def test_what_is_too_much_to_be_told_is_counted() -> None:
    trigger = SinkTrigger(PLAN)
    trigger.hear(told(1, 2, more=40))
    assert trigger.n_events == 42


def test_times_are_as_many_samples_as_they_take_at_least() -> None:
    assert SinkTrigger(PLAN).window(1000.0) == Window(500, 2000, 2)
    assert SinkTrigger(PLAN).window(0.1) == Window(1, 1, 1)
    exact = TriggerPlan("a > 1 for 300ms", seconds("700ms"), seconds("1.1s"))
    assert SinkTrigger(exact).window(2000.0) == Window(600, 1400, 2200)
