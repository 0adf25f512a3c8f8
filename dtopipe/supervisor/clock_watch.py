"""The clocks of a run: a wall clock that steps, a machine that sleeps, a board whose rate is not its label's."""

from __future__ import annotations

from typing import Any

from dtopipe.core.clock_fit import ClockFit
from dtopipe.core.clock_steps import ClockStepped, ClockSteps
from dtopipe.core.drift import RateDrift
from dtopipe.core.remark import Remark
from dtopipe.host.clock import RunTimes, asleep_ns
from dtopipe.model.clock import Anchor
from dtopipe.supervisor.acquirer_agent import AcquirerAgent
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.progress import Progress
from dtopipe.supervisor.run_memory import RunMemory

_LOOK_EVERY_NS = 500_000_000
# A clock that is set again and again is summed up.
_MOST_NAMED = 5


class ClockWatch:
    """Tells of each step once; the times of the run itself never follow one."""

    def __init__(
        self, progress: Progress, memory: RunMemory, acquirer: AcquirerAgent, fit: ClockFit, events: Events
    ) -> None:
        """`fit`: of all clock pairs of the run."""
        self._progress = progress
        self._memory = memory
        self._acquirer = acquirer
        self._fit = fit
        self._events = events
        self._steps = ClockSteps(progress.times.utc_offset_ns, asleep_ns())
        self._looked_ns = 0
        self._named: list[dict[str, Any]] = []
        self._count = 0
        self._drift: RateDrift | None = None
        self._waited_ns = 0

    def begin(self) -> None:
        """The first sample comes: the run's times are those of the wall clock as it is now."""
        self._compare()
        self._progress.times.begin()
        self._steps = ClockSteps(self._progress.times.utc_offset_ns, asleep_ns())

    def look(self, now_ns: int) -> None:
        """One turn."""
        if now_ns - self._looked_ns >= _LOOK_EVERY_NS:
            self._looked_ns = now_ns
            self._compare()

    def _compare(self) -> None:
        reached = self._memory.end_sample_index
        for step in self._steps.read(RunTimes().utc_offset_ns, asleep_ns()):
            stepped = isinstance(step, ClockStepped)
            seconds = {"by_s": step.by_ns / 1e9} if isinstance(step, ClockStepped) else {"for_s": step.for_ns / 1e9}
            event = "clock_stepped" if stepped else "machine_slept"
            self._events.append(event, "", why=step.text, sample_index=reached, **seconds)
            self._count += 1
            if len(self._named) < _MOST_NAMED:
                told = {"event": event, "t_utc": self._progress.clock_now(), "sample_index": reached}
                self._named.append({**told, **seconds, "text": step.text})

    def saw(self, pair: Anchor) -> None:
        """A clock pair of the acquirer, as it was read."""
        ring, stream = self._memory.ring, self._memory.stream
        if ring is None or stream is None or stream.polled or not self._acquirer.is_clocked:
            return
        status = ring.status()
        if status.waiting_for or status.waited_ns != self._waited_ns:
            # It was kept from reading: the pair is late for that.
            self._waited_ns = status.waited_ns
            return
        if self._drift is None:
            self._drift = RateDrift(stream.rate_hz)
        if self._drift.saw(pair, ring.anchor()):
            facts = {"rate_nominal_hz": stream.rate_hz, **self._drift_facts()}
            self._events.append(
                "rate_drift", "acquirer", why=self._drift_text(), sample_index=pair.sample_index, **facts
            )

    def facts(self) -> dict[str, Any]:
        """As in the record's `clock`: absent where there is nothing to tell."""
        steps = {"steps": self._named, "stepped_s": self._steps.total_ns / 1e9} if self._count else {}
        return {**steps, **self._drift_facts()}

    def remarks(self) -> tuple[Remark, ...]:
        """The remarks for the verdict."""
        found = [Remark(f"{step['text']} at sample {step['sample_index']}") for step in self._named]
        if self._count > len(self._named):
            found.append(Remark(f"and {self._count - len(self._named)} more steps of the clocks"))
        if found and self._steps.total_ns:
            found.append(
                Remark(f"t_utc goes on as it began, the wall clock is {self._steps.total_ns / 1e9:+.3f} s from it")
            )
        if text := self._drift_text():
            found.append(Remark(text))
        return tuple(found)

    def _drift_facts(self) -> dict[str, Any]:
        if self._drift is None or not self._drift.worst_ns:
            return {}
        ppm = self._ppm()
        return {"behind_ms": self._drift.worst_ns / 1e6, **({} if ppm is None else {"drift_ppm": round(ppm, 1)})}

    def _drift_text(self) -> str:
        stream = self._memory.stream
        if self._drift is None or not self._drift.worst_ns or stream is None:
            return ""
        behind_ms = self._drift.worst_ns / 1e6
        way = "behind" if behind_ms > 0 else "ahead of"
        text = f"the samples' times are up to {abs(behind_ms):.0f} ms {way} the clock"
        measured = self._fit.rate_and_jitter()
        if measured is None:
            return text
        return (
            f"{text}: rate measured {measured[0]:.6g} Hz, {stream.rate_hz:g} Hz on the label ({self._ppm():+.0f} ppm)"
        )

    def _ppm(self) -> float | None:
        measured, stream = self._fit.rate_and_jitter(), self._memory.stream
        return None if measured is None or stream is None else (measured[0] / stream.rate_hz - 1) * 1e6
