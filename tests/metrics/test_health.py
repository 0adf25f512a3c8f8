"""When a run is called well, by snapshot after snapshot; time is told."""

from __future__ import annotations

from typing import Any

from dtopipe.metrics.health import HealthWatch

SECOND = 1_000_000_000


def status(end: int = 0, *, phase: str = "running", overrun: int = 0, **sinks: dict[str, Any]) -> dict[str, Any]:
    """Of a board with blocks of 2 s."""
    board = {"rate_nominal_hz": 100.0, "samples_per_block": 200, "end_sample_index": end, "overrun_samples": overrun}
    return {"phase": phase, "board": board, "sinks": sinks}


def sink(*, policy: str = "block", gaps: int = 0, condition: str = "running", **other: Any) -> dict[str, Any]:
    return {"policy": policy, "gaps": gaps, "condition": condition, "state": condition, **other}


def test_a_run_is_well_while_samples_arrive() -> None:
    watch = HealthWatch()
    for second in range(20):
        assert watch.look(status(100 * second, table=sink()), second * SECOND).is_well


def test_nothing_for_three_blocks_is_not_well_and_the_next_block_is() -> None:
    watch = HealthWatch()
    assert watch.look(status(200), 0).is_well
    assert watch.look(status(200), 6 * SECOND).is_well
    health = watch.look(status(200), 7 * SECOND)
    assert health.facts() == {"healthy": False, "why": ["no sample has arrived for 7.0 s"]}
    assert watch.look(status(400), 8 * SECOND).is_well


def test_what_opens_or_drains_need_not_deliver() -> None:
    watch = HealthWatch()
    for phase in ("opening", "draining", "finished"):
        assert watch.look(status(0, phase=phase), 0).is_well
        assert watch.look(status(0, phase=phase), 100 * SECOND).is_well


def test_lost_samples_are_told_for_a_while_and_old_ones_are_not() -> None:
    watch = HealthWatch()
    assert watch.look(status(100, overrun=50), 0).is_well
    health = watch.look(status(200, overrun=60), SECOND)
    assert health.why == ("the board loses samples: 60 so far",)
    assert not watch.look(status(300, overrun=60), 20 * SECOND).is_well
    assert watch.look(status(400, overrun=60), 32 * SECOND).is_well


def test_gaps_count_but_for_drop_sinks_and_what_was_not_triggered() -> None:
    watch = HealthWatch()

    def look(second: int, **sinks: dict[str, Any]) -> bool:
        return watch.look(status(100 * second) | {"sinks": sinks}, second * SECOND).is_well

    assert look(1, view=sink(policy="drop_oldest"), events=sink(), table=sink())
    assert look(2, view=sink(policy="drop_oldest", gaps=9), events=sink(gaps=9, untriggered=9), table=sink())
    assert not look(3, view=sink(policy="drop_oldest", gaps=9), events=sink(gaps=9, untriggered=9), table=sink(gaps=1))


def test_a_block_sink_that_gave_up_is_not_well() -> None:
    assert HealthWatch().look(status(1, table=sink(condition="gave_up")), 0).why == ("table gave up",)
    assert HealthWatch().look(status(1, view=sink(policy="drop_oldest", condition="gave_up")), 0).is_well
