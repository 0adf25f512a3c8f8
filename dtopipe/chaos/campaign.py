"""One run under faults, from its start to the verdict on what was promised."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtopipe.chaos.episodes import EPISODES, Episode
from dtopipe.chaos.faults import Fault, Injector, Kind
from dtopipe.chaos.judgement import broken_promises
from dtopipe.chaos.run_under_test import RunUnderTest, running
from dtopipe.chaos.scene import Scene
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.topology.load import load_plan

_MEAN_PAUSE_S = 0.8
# A sink's budget of restarts is lifted for the run; the acquirer's is what it is.
_ACQUIRER_PAUSE_S = 16.0
# The end of a run that has not much left to write takes about so long.
_DRAIN_S = 0.3


@dataclass
class Outcome:
    """What was done, what it cost, and what was found not to hold."""

    folder: str
    faults: list[Fault] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def campaign(
    file: Path,
    run_dir: Path,
    seed: int,
    kinds: Sequence[Kind],
    duration_s: float,
    on_fault: Callable[[Fault], None] = lambda fault: None,
    server_death: str | None = None,
) -> Outcome:
    """Run the topology on the simulated board for so long, inject, end, verify. Raises UsageError, TopologyError.

    `server_death`: a command that kills a sink's server and starts it again.
    """
    dice = random.Random(seed)  # noqa: S311  (to be had again)
    plan = load_plan(file, simulate=True, run_dir=run_dir, rehearsal=True)
    with running(file, plan, run_dir) as run:
        outcome = Outcome(str(run.folder.path))
        injector = Injector(dice, run, plan, server_death)
        scene = Scene(run, plan, dice)
        episodes = {kind: EPISODES[kind](scene) for kind in kinds if kind in EPISODES}
        reasons = {kind: _why_not(kind, injector, episodes) for kind in dict.fromkeys(kinds)}
        able = [kind for kind in kinds if not reasons[kind]]
        outcome.skipped = [f"{kind}: {why}" for kind, why in reasons.items() if why]
        if not able:
            raise UsageError(f"none of these faults can be injected here: {', '.join(kinds)}")
        for fault in _injected(dice, run, injector, episodes, able, duration_s):
            outcome.faults.append(fault)
            on_fault(fault)
        run.end()
    outcome.record = run.folder.read_record()
    if outcome.record["verdict"] is None:
        raise DtopipeError(f"the run {run.folder.path} ended without a verdict:\n{run.said}")
    outcome.broken = broken_promises(plan, run.folder, outcome.record, outcome.faults)
    return outcome


def _injected(
    dice: random.Random,
    run: RunUnderTest,
    injector: Injector,
    episodes: Mapping[Kind, Episode],
    able: Sequence[Kind],
    duration_s: float,
) -> Iterator[Fault]:
    """The faults, as they are done: from the first second on at random, the last ones while the run drains."""
    began = time.monotonic()

    def at_s() -> float:
        return round(time.monotonic() - began, 3)

    pause_s, acquirer_due_s = dice.uniform(0.0, 0.5), 0.0
    while at_s() + pause_s < duration_s and run.goes_on():
        time.sleep(pause_s)
        kind = dice.choice(able)
        if kind in episodes:
            yield from episodes[kind].inject(at_s)
        elif kind is not Kind.ACQUIRER or at_s() >= acquirer_due_s:
            acquirer_due_s = at_s() + _ACQUIRER_PAUSE_S if kind is Kind.ACQUIRER else acquirer_due_s
            yield from injector.inject(kind, at_s)
        pause_s = dice.expovariate(1 / _MEAN_PAUSE_S)
    time.sleep(max(0.0, duration_s - at_s()))
    run.stop()
    last = [kind for kind in able if kind is not Kind.ACQUIRER and kind not in episodes]
    for _ in range(dice.choice((1, 2))):
        time.sleep(dice.uniform(0.0, _DRAIN_S))
        if last and run.goes_on():
            yield from injector.inject(dice.choice(last), at_s, draining=True)


def _why_not(kind: Kind, injector: Injector, episodes: Mapping[Kind, Episode]) -> str:
    """Why a fault of this kind cannot be done here; empty where it can."""
    if kind in episodes:
        return episodes[kind].why_not()
    if injector.can(kind):
        return ""
    if kind is Kind.FULL:
        return "the disk of the runs is too large to be filled; give --run-dir on a small one, such as a tmpfs"
    return "there is nothing in this topology to do it to"
