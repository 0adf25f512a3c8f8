"""How the run goes over time, for those who look at its record afterwards."""

from __future__ import annotations

from typing import Any

from dtopipe.model.stretch import SinkStretch, Stretch, thinned
from dtopipe.supervisor.headroom import headroom_s, held_slots
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.record import acquired
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sinks import Sinks

# A record stays one that people can read: a hundred kilobytes at most.
MOST_STRETCHES, MOST_OF_SINKS = 120, 600
_FIRST_FOR_S = 1.0
_LOOK_EVERY_NS = 250_000_000


class Course:
    """The stretches of a run. Once there are too many, each two become one, and later ones are twice as long.

    So it is bounded however long the run is, and in every part of it equally fine.
    """

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        # How long the next stretches are.
        self.for_s = _FIRST_FOR_S

    def append(self, stretch: Stretch) -> None:
        """One more stretch."""
        self.stretches.append(stretch)
        while len(self.stretches) > 1 and self._is_long():
            self.stretches, self.for_s = thinned(self.stretches), 2 * self.for_s

    def _is_long(self) -> bool:
        n_of_sinks = sum(len(stretch.sinks) for stretch in self.stretches)
        return len(self.stretches) > MOST_STRETCHES or n_of_sinks > MOST_OF_SINKS


class CourseWatch:
    """Looks four times a second how far everybody is; nothing of it waits."""

    def __init__(self, progress: Progress, memory: RunMemory, sinks: Sinks) -> None:
        self._progress = progress
        self._memory = memory
        self._sinks = sinks
        self._course = Course()
        # What was seen since the last whole stretch.
        self._open: Stretch | None = None
        self._looked_ns: int | None = None

    def look(self, now_ns: int) -> None:
        """One turn."""
        if self._memory.ring is None or self._progress.phase not in (Phase.RUNNING, Phase.DRAINING):
            return
        if self._looked_ns is None:
            self._looked_ns = now_ns
        if now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return
        seen = self._seen(now_ns, (now_ns - self._looked_ns) / 1e9)
        self._looked_ns = now_ns
        self._open = seen if self._open is None else self._open.followed_by(seen)
        if self._open.for_s >= self._course.for_s:
            self._course.append(self._open)
            self._open = None

    def facts(self) -> list[dict[str, Any]]:
        """For the record: the stretches so far, in their order, with what was seen last."""
        last = [] if self._open is None else [self._open]
        return [stretch.to_json() for stretch in (*self._course.stretches, *last)]

    def _seen(self, now_ns: int, for_s: float) -> Stretch:
        ring, stream = self._memory.ring, self._memory.stream
        status = None if ring is None else ring.status()
        counts, rate_hz = acquired(ring), stream.rate_hz if stream else 0.0
        end = counts["end_sample_index"]
        return Stretch(
            t_utc_ns=self._progress.times.utc_ns(now_ns),
            for_s=for_s,
            end_sample_index=end,
            samples=counts["samples"],
            overrun_samples=counts["overrun_samples"],
            headroom_s=headroom_s(self._memory, held_slots(self._memory, self._sinks, status)),
            sinks={
                agent.plan.name: SinkStretch(
                    agent.position.samples,
                    agent.position.dropped,
                    agent.lag_samples(end, rate_hz) / rate_hz if rate_hz else 0.0,
                )
                for agent in self._sinks
                if not agent.state.is_final
            },
        )
