"""A program that follows a run, as the supervisor knows it."""

from __future__ import annotations

from dataclasses import dataclass

from dtopipe.model.policy import Policy


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A program that follows the run. `start`: the first sample index that it is to have; `pid` as it says."""

    row: int
    policy: Policy
    start: int
    pid: int
    program: str
