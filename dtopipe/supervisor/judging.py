"""The verdict on a run that is over, and what its outputs lack at their ends."""

from __future__ import annotations

from dtopipe.core.gaps import explained
from dtopipe.core.verdict import Verdict, judge
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.goal import Goal
from dtopipe.supervisor.limits import Limits
from dtopipe.supervisor.ports import GapLines
from dtopipe.supervisor.progress import Progress
from dtopipe.supervisor.recover import anchor_time
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.run_record import RunRecord
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks


class Judging:
    """Once, when every process has ended."""

    def __init__(
        self,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        sinks: Sinks,
        goal: Goal,
        record: RunRecord,
        limits: Limits,
        gaps: GapLines,
    ) -> None:
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._goal = goal
        self._record = record
        self._limits = limits
        self._gaps = gaps

    def verdict(self) -> Verdict:
        """How the run ended; what each sink lacks at its end is on record then."""
        memory, progress, outcomes = self._memory, self._progress, []
        for agent in self._sinks:
            stop = agent.stop(memory.end_sample_index)
            self._record_tail(agent, stop)
            outcomes.append(agent.outcome(stop))
        return judge(
            outcomes,
            end_sample_index=memory.end_sample_index,
            aborted=progress.aborted,
            simulated=memory.stream is not None and memory.stream.simulated,
            ended_early=progress.ended_early,
            first_sample_index=self._acquirer.first_sample_index,
            followed=self._goal.followed,
            ended_by=progress.ended_by,
            remarks=(*self._record.remarks, *self._limits.remarks()),
        )

    def _record_tail(self, agent: SinkAgent, end: int) -> None:
        """Write down what a sink that was cut off or gave up lacks at its end."""
        ring, stream = self._memory.ring, self._memory.stream
        if ring is None or stream is None:
            return
        time_at = anchor_time(ring.anchor(), stream.rate_hz)
        gaps = explained(agent.tail(end), ring.board_gaps(), agent.tail_cause, time_at)
        agent.absence.note(self._gaps.append(agent.plan.name, gaps))
