"""Whatever a run folder says, commands end in order and keep to it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from strange_runs import Watch, World, case, commands_on, play
from thoroughness import times


@pytest.mark.parametrize("seed", range(6))
def test_no_canary_is_opened_changed_or_deleted_whatever_was_spoilt(
    world: World, base: Path, watch: Watch, seed: int
) -> None:
    for number in range(times(12)):
        done, broken = case(world, base, watch, f"test {seed}/{number}")
        assert not broken, f"test {seed}/{number}: {done}: {broken}"


def test_the_watch_sees_what_must_not_be(world: World, base: Path, watch: Watch) -> None:
    world.begin(base)
    before = world.digest()
    watch.world, watch.seen = world, []
    (world.canaries / "text.csv").read_bytes()
    (world.run / "text.csv").unlink()
    (world.run / "text.csv").symlink_to(world.canaries / "text.csv")
    (world.run / "text.csv").write_text("spoilt")
    (world.run / "run.json").read_bytes()
    watch.world = None
    assert len(watch.seen) == 2
    assert world.digest() != before


def test_a_sound_run_comes_to_no_canary(world: World, base: Path, watch: Watch) -> None:
    world.begin(base)
    assert play(world, watch, commands_on(world, random.Random(1))) == []
    assert json.loads((world.run / "run.json").read_text())["verdict"]["state"] == "INCOMPLETE"
