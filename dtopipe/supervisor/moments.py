"""Where a run is now, and which sample was taken at a moment, for whoever notes something beside the samples."""

from __future__ import annotations

from dtopipe.core.marked_moment import sample_at
from dtopipe.core.sample_times import SampleTimes
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import RunOver, UsageError
from dtopipe.model.moments import Moment
from dtopipe.model.stream import Stream
from dtopipe.shm.ring import Ring
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.goal import Goal
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_memory import RunMemory

# The newest epochs are kept: an acquirer that is killed once a second for a quarter of an hour.
_MOST_EPOCHS = 1000
# Who typed something began a moment ago, by the same clock; what is further off is no such time.
_LONGEST_TYPING_NS = 600_000_000_000


class Moments:
    """It is told of epochs by its own looks; once the last sample was taken there is no now any more."""

    def __init__(self, progress: Progress, memory: RunMemory, acquirer: AcquirerAgent, goal: Goal) -> None:
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._goal = goal
        self._anchors: list[Anchor] = []
        self.is_over = False

    def look(self) -> None:
        """One turn."""
        ring = self._memory.ring
        if ring is None:
            return
        anchor = ring.anchor()
        if anchor.t_utc_ns and (not self._anchors or anchor != self._anchors[-1]):
            self._anchors = [*self._anchors, anchor][-_MOST_EPOCHS:]

    def at(self, moment: Moment, said_ns: int) -> Anchor:
        """The sample of that moment and its times; `said_ns`: when somebody said so, on the steady clock.

        Raises UsageError before the first sample and for a moment outside of the run, RunOver behind the last sample.
        """
        ring, stream = self._running()
        times = SampleTimes(stream.clock, tuple(self._anchors))
        now_ns = mono_ns()
        said_ns = said_ns if now_ns - _LONGEST_TYPING_NS < said_ns <= now_ns else now_ns
        first, now = self._acquirer.first_sample_index, self._now(ring, stream, times, said_ns)
        index = sample_at(moment, times, first, now)
        if stream.polled and moment.sample_index is None and moment.t_utc_ns is None:
            # Each reading has its own times; those of the moment are known better than by the rate.
            t_mono_ns = said_ns - round(moment.before_s * 1e9)
            return Anchor(index, t_mono_ns, self._progress.times.utc_ns(t_mono_ns))
        return times.of(index)

    def of_reading(self, t_mono_ns: int) -> Anchor:
        """The sample that is taken at that time, and the time itself, also by UTC. Raises UsageError as `at`."""
        ring, stream = self._running()
        times = SampleTimes(stream.clock, tuple(self._anchors))
        index = self._now(ring, stream, times, t_mono_ns)
        return Anchor(index, t_mono_ns, self._progress.times.utc_ns(t_mono_ns))

    def _running(self) -> tuple[Ring, Stream]:
        self.look()
        ring, stream = self._memory.ring, self._memory.stream
        if self.is_over or self._progress.phase is Phase.FINISHED:
            what = "the run has taken its last sample, and its outputs are being closed"
            raise RunOver(what, "what is to be noted must be noted while it runs")
        if ring is None or stream is None or not self._anchors:
            raise UsageError("the run has not taken a sample yet", "try again once dtopipe status shows samples")
        return ring, stream

    def _now(self, ring: Ring, stream: Stream, times: SampleTimes, t_mono_ns: int) -> int:
        """The sample that is being taken then; where the board waits for us, the newest one."""
        first, end = self._acquirer.first_sample_index, ring.end()[0]
        if stream.polled or not self._acquirer.is_clocked:
            return max(first, end - 1)
        index = max(first, times.at_mono(t_mono_ns) or first)
        asked_end = self._goal.asked_end
        return index if asked_end is None else min(index, asked_end - 1)
