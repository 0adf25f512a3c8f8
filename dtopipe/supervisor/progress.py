"""How far a run is, and why it ends."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from dtopipe.core.ending import Ending
from dtopipe.core.verdict import Verdict
from dtopipe.host.clock import RunTimes, mono_ns
from dtopipe.model.clock import iso_utc


class Phase(StrEnum):
    """How far the run is."""

    OPENING = "opening"
    RUNNING = "running"
    DRAINING = "draining"
    FINISHED = "finished"


class Progress:
    """What becomes of one run. Each fact has one part that sets it, once."""

    def __init__(self, run_id: str, times: RunTimes) -> None:
        # Its own, until it turns out that another machine's run is followed: then that one's.
        self.run_id = run_id
        self.times = times
        self.started = datetime.fromtimestamp(times.utc_ns() / 1e9, UTC)
        self.started_ns = mono_ns()
        self.phase = Phase.OPENING
        # The board was told to start.
        self.has_begun = False
        # Slow sinks are not waited for any more.
        self.is_hurried = False
        # Why the run cannot go on, for which the verdict is ABORTED.
        self.aborted = ""
        # Why the run ended before somebody wanted it to, though nothing was wrong with it.
        self.ended_early = ""
        # By whom or what it was ended; None while it goes on.
        self.ended_by: Ending | None = None
        # There is room on its disk that only the journal will be given.
        self.is_room_kept = False
        self.finished_at: str | None = None
        self.verdict: Verdict | None = None

    def clock_now(self) -> str:
        """The time of now, ISO 8601, as the run has it."""
        return f"{iso_utc(self.times.utc_ns())[:19]}Z"

    def finished(self, verdict: Verdict) -> None:
        """The run is judged."""
        self.verdict = verdict
        self.finished_at = datetime.fromtimestamp(self.times.utc_ns() / 1e9, UTC).isoformat()
