"""Limits of a run in progress: what its watcher says of them becomes events, status, and words of the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dtopipe.core.limit_words import CROSSED, OVER, Lasting, LimitOutcome, limit_remarks, moment_text
from dtopipe.core.remark import Remark, time_text
from dtopipe.model.clock import iso_utc
from dtopipe.model.limits import Crossing, LimitPlan, LimitSeen, Side, Then
from dtopipe.model.plan import RunPlan
from dtopipe.model.span import Gap
from dtopipe.supervisor.limits_agent import NAME, NOT_LOOKED_AT, LimitsAgent
from dtopipe.supervisor.ports import Events
from dtopipe.supervisor.progress import Progress
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.wire.messages import LimitsSeen

# Of either kind, in a table.
_MOST_SHOWN = 20


class Limits:
    """Tells of each crossing once, also where a watcher that was killed had told of it before."""

    def __init__(
        self, plan: RunPlan, progress: Progress, memory: RunMemory, watcher: LimitsAgent | None, events: Events
    ) -> None:
        self._progress = progress
        self._memory = memory
        self._watcher = watcher
        self._events = events
        self._units: dict[str, str] = {}
        self._told = {
            (each.channel, side): _Told(each, side, limit) for each in plan.limits for side, limit in each.limits()
        }

    def hear(self, message: LimitsSeen) -> None:
        """What the watcher has seen."""
        if self._watcher is None:
            return
        self._watcher.heard(message)
        for seen in message.limits:
            told = self._told.get((seen.channel, seen.side))
            if told is not None:
                self._follow(told, seen, upto=None if message.committed is None else message.committed.committed)

    def hear_gaps(self, gaps: Sequence[Gap]) -> None:
        """What the watcher did not look at; no output lacks it for that."""
        if self._watcher is None:
            return
        self._watcher.absence.note(gaps)
        for gap in gaps:
            if gap.cause in NOT_LOOKED_AT:
                span = gap.span
                self._events.append("not_watched", NAME, start=span.start, stop=span.stop, cause=gap.cause.value)

    def facts(self) -> dict[str, Any] | None:
        """As in the run record; None where there are no limits."""
        watched = self._watched()
        return watched and {"seen": [self._outcome(told).facts() for told in self._told.values()], **watched}

    def _watched(self) -> dict[str, Any] | None:
        watcher = self._watcher
        if watcher is None:
            return None
        return {
            "watcher": {
                "state": watcher.shown_state,
                "condition": watcher.condition.value,
                "restarts": watcher.life.restarts,
                "committed": watcher.position.committed,
                "missed_samples": watcher.missed,
                **({"failure": watcher.trouble} if watcher.trouble else {}),
            },
            **({"not_watched": words} if (words := self._not_watched()) else {}),
        }

    def remarks(self) -> tuple[Remark, ...]:
        """The words for the verdict."""
        return limit_remarks({"limits": self.facts(), "started_at": self._progress.started.isoformat()})

    def snapshot(self) -> dict[str, Any] | None:
        """The facts for tables, in words: what lasts now, and what was; of very many the first ones, and how many."""
        watched, started_at = self._watched(), self._progress.started.isoformat()
        if watched is None:
            return None
        crossed = [told for told in self._told.values() if told.crossings]
        now = [told for told in crossed if told.lasting is not None]
        over = [told for told in crossed if told.lasting is None]
        return {
            **watched,
            "now": [_now_text(self._outcome(told), started_at) for told in now[:_MOST_SHOWN]],
            "over": [self._outcome(told).words(started_at) for told in over[:_MOST_SHOWN]],
            "more": max(0, len(now) - _MOST_SHOWN) + max(0, len(over) - _MOST_SHOWN),
        }

    def _outcome(self, told: _Told) -> LimitOutcome:
        rate_hz, lasting, going_on = self._rate_hz, told.lasting, None
        if lasting is not None:
            looked_at = 0 if self._watcher is None else self._watcher.position.committed
            upto = max(looked_at, (lasting.at or lasting.start) + 1)
            going_on = Lasting(lasting.number, lasting.start_utc_ns, (upto - lasting.start) / rate_hz)
        return LimitOutcome(
            channel=told.plan.channel,
            side=told.side,
            limit=told.limit,
            unit=self._unit(told.plan),
            crossings=told.crossings,
            outside_s=told.outside / rate_hz,
            extreme=told.extreme,
            first_utc_ns=told.first_utc_ns,
            lasting=going_on,
            is_to_end=told.is_to_end,
        )

    def _follow(self, told: _Told, seen: LimitSeen, *, upto: int | None) -> None:
        """`upto`: how far everything is in `seen`; what a successor says may be older than what was told."""
        for crossing in seen.news:
            if crossing.start > told.start:
                # What it was of is not known any more, if its end was never told.
                self._end(told)
                self._tell_begin(told, crossing)
            if crossing.stop is not None and crossing.start == told.start:
                self._end(told, crossing)
        told.crossings = max(told.crossings, seen.crossings)
        told.outside = max(told.outside, seen.outside)
        told.extreme = seen.extreme if seen.extreme is not None else told.extreme
        if told.lasting is None:
            return
        if seen.lasting is not None and seen.lasting.start == told.start:
            told.lasting = seen.lasting
        elif upto is not None and upto > (told.lasting.at or told.start):
            self._end(told)

    def _tell_begin(self, told: _Told, crossing: Crossing) -> None:
        told.start, told.lasting = crossing.start, crossing
        told.crossings = max(told.crossings, crossing.number)
        if told.first_utc_ns is None:
            told.first_utc_ns = crossing.start_utc_ns
        after = (crossing.at or crossing.start) - crossing.start
        since = moment_text(crossing.start_utc_ns, self._progress.started.isoformat())
        self._events.append_of(
            told.name,
            CROSSED,
            NAME,
            **self._what(told, crossing),
            began_value=crossing.start_value,
            counts_from=crossing.at,
            counts_from_value=crossing.at_value,
            after_s=self._time_s(after),
            text=f"{self._outcome(told).text} since {since}",
        )

    def _end(self, told: _Told, crossing: Crossing | None = None) -> None:
        """The end of the crossing that lasts, if one does; without `crossing` its end was not seen."""
        lasting = told.lasting
        if lasting is None:
            return
        told.lasting = None
        ended = lasting if crossing is None else crossing
        then = ended.then or Then.GAP
        told.is_to_end = then is Then.END
        stop = ended.stop if ended.stop is not None else max(ended.extreme_at, ended.at or ended.start) + 1
        lasted_s = self._time_s(stop - ended.start)
        self._events.append_of(
            told.name,
            OVER,
            NAME,
            **self._what(told, ended),
            stop=stop,
            lasted_s=lasted_s,
            extreme=ended.extreme,
            extreme_at=ended.extreme_at,
            then=then.value,
            text=f"{self._outcome(told).text} for {time_text(lasted_s)}",
        )

    def _what(self, told: _Told, crossing: Crossing) -> dict[str, Any]:
        return {
            "channel": told.plan.channel,
            "limit": told.side.value,
            "value": told.limit,
            "unit": self._unit(told.plan),
            "number": crossing.number,
            "began": crossing.start,
            "began_at": iso_utc(crossing.start_utc_ns),
        }

    def _not_watched(self) -> str:
        """In words, what the watcher did not look at; empty if it saw everything so far."""
        watcher = self._watcher
        if watcher is None:
            return ""
        missed, why = watcher.missed, ""
        if watcher.state.is_final:
            missed += len(watcher.tail(self._memory.end_sample_index))
            why = f" ({watcher.failure})" if watcher.failure else ""
        if not missed:
            return ""
        return f"limits were not watched for {missed:,} samples, {time_text(self._time_s(missed))}{why}"

    @property
    def _rate_hz(self) -> float:
        return self._memory.stream.rate_hz if self._memory.stream else 1.0

    def _time_s(self, n_samples: int) -> float:
        return round(n_samples / self._rate_hz, 9)

    def _unit(self, plan: LimitPlan) -> str:
        stream = self._memory.stream
        if not self._units and stream is not None:
            self._units = {channel.name: channel.unit for channel in (*stream.channels, *stream.virtual)}
        return self._units.get(plan.channel, plan.unit or "")


class _Told:
    """What was told of one limit. `start`: of the newest crossing; `lasting`: that one, while it goes on."""

    def __init__(self, plan: LimitPlan, side: Side, limit: float) -> None:
        self.plan = plan
        self.side = side
        self.limit = limit
        self.name = f"{plan.channel} {side.value}"
        self.start = -1
        self.lasting: Crossing | None = None
        self.crossings = self.outside = 0
        self.extreme: float | None = None
        self.first_utc_ns: int | None = None
        # The last one lasted to the end of the run.
        self.is_to_end = False


def _now_text(outcome: LimitOutcome, started_at: str) -> str:
    """What is to be seen while a crossing lasts."""
    if outcome.lasting is None:
        return ""
    furthest = ""
    if outcome.extreme is not None:
        furthest = f", {'up' if outcome.side is Side.HIGH else 'down'} to {outcome.extreme:g} {outcome.unit}".rstrip()
    times = f", {outcome.crossings:,} times so far" if outcome.crossings > 1 else ""
    return f"{outcome.text} since {moment_text(outcome.lasting.since_utc_ns, started_at)}{furthest}{times}"
