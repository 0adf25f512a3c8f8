"""Where a run is to end, and how much it has of the one that it follows."""

from __future__ import annotations

from dtopipe.core.ending import end_of_duration
from dtopipe.core.followed import Followed
from dtopipe.model.plan import RunPlan
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.run_memory import RunMemory


class Goal:
    """The goal of one run: where it is to end, and whether it has all that it follows."""

    def __init__(self, plan: RunPlan, memory: RunMemory, acquirer: AcquirerAgent) -> None:
        self._plan = plan
        self._memory = memory
        self._acquirer = acquirer

    @property
    def asked_end(self) -> int | None:
        """Where it is to end by its duration; None without one, or while the board's rate is not known."""
        stream = self._memory.stream
        if stream is None:
            return None
        return end_of_duration(stream.rate_hz, self._plan.duration_s, self._acquirer.first_sample_index)

    @property
    def followed(self) -> Followed | None:
        """What is known of the run that this one follows; None if the samples are of a board of our own."""
        if not self._acquirer.waits_for_others:
            return None
        ring = self._memory.ring
        return Followed(
            endpoint=str(self._plan.board.options.get("endpoint", "")),
            source_end=ring.source_end() if ring else None,
            asked_end=self.asked_end,
            away_since=self._acquirer.away_since,
        )
