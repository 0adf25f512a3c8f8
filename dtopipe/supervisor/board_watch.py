"""A board that hesitates: silent, or away. Since when that is, and until when it is waited for."""

from __future__ import annotations

from dtopipe.core.remark import Remark
from dtopipe.core.silence import Broke, Fell, Silence
from dtopipe.model.clock import iso_utc
from dtopipe.model.plan import RunPlan
from dtopipe.shm.layout import Stage
from dtopipe.shm.ring import RingStatus
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.goal import Goal
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_memory import RunMemory

# A machine that stood still must not be taken for a board that did.
_LONGEST_LOOK_S = 0.25


class BoardWatch:
    """Looks once a turn how far the board is. Time counts only while this looks."""

    def __init__(
        self,
        plan: RunPlan,
        progress: Progress,
        memory: RunMemory,
        acquirer: AcquirerAgent,
        goal: Goal,
        events: Events,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._goal = goal
        self._events = events
        self._silence: Silence | None = None
        # Since when it is silent (ISO 8601), while it is.
        self.silent_since = ""
        # How long the run has lasted in real time.
        self._lasted_s = 0.0
        # Of all the times that it was away and came back.
        self._absences = 0
        self._absent_s = self._away_s = 0.0
        self._absent_why = ""
        # Why the run cannot wait any longer; empty while it can.
        self.over_time = ""

    def look(self, elapsed_s: float) -> bool:
        """One turn, `elapsed_s` after the last; True once if the run has to end, for `over_time`."""
        ring = self._memory.ring
        if self._progress.phase is not Phase.RUNNING or ring is None:
            return False
        status = ring.status()
        self._lasted_s += elapsed_s
        self._look_for_return(status, elapsed_s)
        self._listen(status, elapsed_s)
        self.over_time = self._over_time(status.end_sample_index)
        return bool(self.over_time)

    def remarks(self) -> tuple[Remark, ...]:
        """What it did, for the verdict; what goes on now is something that the run lacks."""
        agent = self._acquirer
        found = []
        if agent.away_in_epoch is not None:
            found.append(Remark(f"the board is away since {agent.away_since}: {agent.away}", is_lack=True))
        if self._absences:
            times = "once" if self._absences == 1 else f"{self._absences} times"
            found.append(Remark(f"the board was away {times}, for {self._absent_s:.1f} s: {self._absent_why}"))
        # Nobody listens while a run ends; what still came then ended the silence too.
        if self._silence is not None and self._silence.lasts_at(self._memory.end_sample_index):
            text = f"no sample from the board since {self.silent_since} ({self._silence.lasts_s:.0f} s)"
            found.append(Remark(text, is_lack=True))
        elif self._silence is not None and self._silence.count and agent.is_clocked:
            times = "once" if self._silence.count == 1 else f"{self._silence.count} times"
            found.append(Remark(f"the board was silent {times}, for up to {self._silence.longest_s:.1f} s"))
        return tuple(found)

    def _look_for_return(self, status: RingStatus, elapsed_s: float) -> None:
        agent = self._acquirer
        if agent.away_in_epoch is None:
            return
        self._away_s += elapsed_s
        if status.epoch > agent.away_in_epoch:
            self._events.append(
                "back", "acquirer", after_s=round(self._away_s, 3), sample_index=status.end_sample_index
            )
            self._absences += 1
            self._absent_s += self._away_s
            self._absent_why, self._away_s = agent.away, 0.0
            agent.came_back()

    def _listen(self, status: RingStatus, elapsed_s: float) -> None:
        agent, stream = self._acquirer, self._memory.stream
        if self._silence is None and stream is not None:
            self._silence = Silence(stream.samples_per_block / stream.rate_hz)
        if self._silence is None:
            return
        # One that is not there, has ended, or has no room for a sample, has words of its own.
        has_ended = agent.has_ended or status.stage is Stage.ENDED
        is_there = agent.process is not None and agent.is_open and not agent.away
        expected = is_there and not has_ended and not status.waiting_for
        told = self._silence.saw(status.end_sample_index, min(elapsed_s, _LONGEST_LOOK_S), expected=expected)
        if isinstance(told, Fell):
            self.silent_since = f"{iso_utc(self._progress.times.utc_ns() - round(told.for_s * 1e9))[:19]}Z"
            why = f"no sample since {self.silent_since}"
            self._events.append("silent", "acquirer", why=why, sample_index=status.end_sample_index)
        elif isinstance(told, Broke):
            self.silent_since = ""
            self._events.append("delivers_again", "acquirer", after_s=round(told.after_s, 3))

    def _over_time(self, reached: int) -> str:
        """Why a run with a duration can't wait for the rest of it; empty while it can."""
        plan, agent = self._plan, self._acquirer
        if plan.duration_s is None or plan.overtime_limit_s is None or agent.waits_for_others:
            # Another machine's samples come when they can: they are waited for there.
            return ""
        beyond_s = self._lasted_s - plan.duration_s
        if beyond_s <= plan.overtime_limit_s:
            return ""
        if self.silent_since or agent.away or agent.process is None:
            what = "the board delivers nothing"
        elif agent.is_clocked and beyond_s > plan.duration_s + plan.overtime_limit_s:
            # It delivers, if slowly: it has as long again.
            what = "the board is too slow"
        else:
            return ""
        return (
            f"{what}: it was at sample {reached} of {self._goal.asked_end}, "
            f"{beyond_s:.0f} s of real time beyond its duration of {plan.duration_s:g} s (overtime_limit)"
        )
