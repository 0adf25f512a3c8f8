"""Ending: a state of its own, that waits for whom it should and not for ever."""

from __future__ import annotations

from dtopipe.core.ending import BY_BOARD, BY_FAILURE, BY_FULL_DISK, Ending, bounded_by
from dtopipe.core.lifecycle import WorkerEvent
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import SampleClock
from dtopipe.model.plan import RunPlan
from dtopipe.model.span import Gap, Span
from dtopipe.shm.layout import Head, Stage
from dtopipe.shm.ring import Ring
from dtopipe.shm.writer import RingWriter
from dtopipe.supervisor.acquirer_agent import NAME, AcquirerAgent
from dtopipe.supervisor.gateway_agent import GatewayAgent
from dtopipe.supervisor.goal import Goal
from dtopipe.supervisor.ports import Events, Post
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sink_agent import SinkAgent
from dtopipe.supervisor.sinks import Sinks
from dtopipe.wire.messages import CutOff, StopBoard

# A sink that is cut off commits what it has; one that cannot is killed.
_CUT_OFF_GRACE_S = 3.0
_HURRY_LIMIT_S = 2.0
# Somebody waits, and the journal has what the output lacks: longer than most servers take to restart.
_DETACH_LIMIT_S = 5.0
# A process that said that it is done, and does not end.
_EXIT_GRACE_S = 5.0


class Drain:
    """Stops the board, lets every sink reach the end, cuts off who does not get on."""

    def __init__(
        self,
        plan: RunPlan,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        sinks: Sinks,
        gateway: GatewayAgent,
        goal: Goal,
        post: Post,
        events: Events,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._sinks = sinks
        self._gateway = gateway
        self._goal = goal
        self._post = post
        self._events = events
        self._ending_s = self._hurried_s = 0.0

    def begin(self, by: Ending) -> None:
        """Stop the board; the sinks go on until they have everything that was published."""
        progress = self._progress
        ended_by = progress.ended_by = progress.ended_by or by
        started = progress.phase is Phase.RUNNING
        progress.phase = Phase.DRAINING
        self._events.append("draining", by=ended_by.text)
        self._post.send(self._acquirer.address, StopBoard())
        if self._acquirer.process is None or not started:
            self.end_stream()

    def hurry(self) -> None:
        """Do not wait for slow sinks, nor for what the board still holds."""
        self._progress.is_hurried = True
        self._events.append("hurried")
        self._post.send(self._acquirer.address, StopBoard(hurry=True))

    def abort(self, why: str, by: Ending = BY_FAILURE) -> None:
        """End in order, because the run cannot go on."""
        self._progress.aborted = self._progress.aborted or why
        self._events.append("aborting", why=why)
        self.begin(by)

    def end_early(self, why: str) -> None:
        """End in order, because soon that would not be possible any more."""
        self._progress.ended_early = why
        self._events.append("ending_early", why=why)
        self.begin(BY_FULL_DISK)

    def end_stream(self) -> None:
        """No more blocks come, also where the acquirer could not say so itself."""
        progress, ring = self._progress, self._memory.ring
        progress.phase = Phase.DRAINING
        progress.ended_by = progress.ended_by or self._own_end()
        if ring:
            self._tell_last_hole(ring)
            ring.words[Head.STAGE] = Stage.ENDED
            return
        for agent in self._sinks.workers:
            # Without a ring no output was opened yet.
            if agent.process:
                agent.process.kill()
            if not agent.state.is_final:
                agent.life.happened(WorkerEvent.WAS_CANCELLED)

    def _tell_last_hole(self, ring: Ring) -> None:
        """A clocked board that is away to the end has taken samples that nobody has; its process can't say so."""
        agent, stream, anchor = self._acquirer, self._memory.stream, ring.anchor()
        if agent.away_in_epoch is None or not agent.is_clocked or stream is None:
            return
        clock, at = SampleClock(stream.rate_hz), self._memory.end_sample_index
        stop = anchor.sample_index + clock.index_at(mono_ns() - anchor.t_mono_ns)
        if (asked_end := self._goal.asked_end) is not None:
            stop = min(stop, asked_end)
        if stop > at and ring.status().stage is not Stage.ENDED:
            from_ns = anchor.t_utc_ns + clock.offset_ns(at - anchor.sample_index)
            RingWriter(ring).record_gap(Gap(Span(at, stop), agent.hole_cause, from_ns))

    def _own_end(self) -> Ending:
        """What ends a run that was not asked to."""
        asked_end, duration_s = self._goal.asked_end, self._plan.duration_s
        if asked_end is not None and duration_s is not None and self._memory.end_sample_index >= asked_end:
            return bounded_by(duration_s)
        return BY_BOARD

    def go_on(self, now_ns: int, elapsed_s: float) -> None:
        """One turn of the end, `elapsed_s` after the last."""
        if self._progress.is_hurried:
            self._hurried_s += elapsed_s
        for agent in self._sinks.workers:
            self.bound_sink(agent, now_ns, elapsed_s)
        self._bound_acquirer(elapsed_s)
        self._gateway.end(now_ns)
        if (
            self._acquirer.process is None
            and self._gateway.has_ended
            and all(agent.state.is_final and agent.process is None for agent in self._sinks.workers)
        ):
            self._progress.phase = Phase.FINISHED

    @property
    def awaits_exits(self) -> bool:
        """True while somebody has said its last word, and its process ends in a moment: nothing else tells of that."""
        acquirer = self._acquirer
        return (acquirer.has_ended and acquirer.process is not None) or any(
            agent.state.is_final and agent.process is not None for agent in self._sinks.workers
        )

    def _bound_acquirer(self, elapsed_s: float) -> None:
        """The acquirer may wait for slots as long as sinks may take; for anything else it has a few seconds."""
        process, ring = self._acquirer.process, self._memory.ring
        waits_for_slot = ring is not None and bool(ring.status().waiting_for)
        self._ending_s = 0.0 if process is None or waits_for_slot else self._ending_s + elapsed_s
        if process and self._ending_s > (_HURRY_LIMIT_S if self._progress.is_hurried else _EXIT_GRACE_S):
            self._events.append("killed", NAME, why="it did not end")
            process.kill()

    def bound_sink(self, agent: SinkAgent, now_ns: int, elapsed_s: float) -> None:
        """Wait for one that gets on; cut it off once it has not moved for `drain_limit`, or nobody wants to wait."""
        table = self._memory.table
        row = table.status(agent.row) if table and agent.row is not None else None
        moved = (row.cursor, row.committed) if row else agent.moved
        agent.unmoved_s = 0.0 if moved != agent.moved else agent.unmoved_s + elapsed_s
        agent.moved = moved
        agent.waited_for_s = max(0.0, self._limit_s(agent) - agent.unmoved_s)
        if agent.state.is_final:
            if agent.process and agent.unmoved_s > _EXIT_GRACE_S:
                agent.process.kill()
        elif agent.cut_off_at_ns:
            if now_ns - agent.cut_off_at_ns > _CUT_OFF_GRACE_S * 1e9:
                self._kill(agent)
        elif why := self._why_not_wait(agent):
            before = f" ({agent.trouble})" if agent.trouble else ""
            when = "at the end of the run" if self._progress.phase is Phase.DRAINING else "when it was detached"
            agent.life.failure = f"cut off {why} {when}{before}"
            agent.cut_off_at_ns = now_ns
            self._events.append("cut_off", agent.plan.name, why=agent.failure)
            self._post.send(agent.address, CutOff(agent.failure))
            if agent.process is None:
                self._kill(agent)

    def wait_anew(self, agent: SinkAgent) -> None:
        """It can get on now: the time that it had to begins again."""
        agent.unmoved_s = self._hurried_s = 0.0

    def _limit_s(self, agent: SinkAgent) -> float:
        """How long this sink may stand still at its end."""
        table, limit_s = self._memory.table, self._plan.drain_limit_s
        is_covered = table is not None and agent.row is not None and table.is_covered(agent.row)
        if agent.detach_at is not None and agent.away and is_covered and self._progress.phase is Phase.RUNNING:
            return min(_DETACH_LIMIT_S, limit_s)
        return limit_s

    def _why_not_wait(self, agent: SinkAgent) -> str:
        if agent is self._sinks.journal and agent.away and self._progress.is_room_kept:
            # Once nobody else waits for it, it is given room.
            return ""
        if self._hurried_s > _HURRY_LIMIT_S:
            return f"{_HURRY_LIMIT_S:g} s after the second request to stop"
        if agent.detaches_now:
            return "because it was asked for again"
        limit_s = self._limit_s(agent)
        return f"after {limit_s:g} s without progress" if agent.unmoved_s > limit_s else ""

    def _kill(self, agent: SinkAgent) -> None:
        agent.kill()
        agent.leave(self._memory.table)
        agent.life.happened(WorkerEvent.WAS_CUT_OFF)
