"""How often a worker may be restarted, and after which pause."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from dtopipe.model.plan import RestartPlan

# A worker that dies this soon after it was ready has most likely met the same cause again.
_EARLY_DEATH_S = 2.0
# A pause takes no more of what the ring has left than this part, so that several deaths in a row fit into it.
_PART_OF_ROOM = 1 / 8
# What a successor takes to be there, where nobody has seen it yet; and twice what it took before, on a busy machine.
_LEAST_START_S, _START_MARGIN = 1.0, 2.0
# No pause grows beyond this, or beyond the first one if that is longer: whoever allows many restarts wants them soon.
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class RestartAfter:
    """Start a successor once `pause_s` have passed."""

    pause_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The budget is spent: so many deaths within the plan's window, each counted once, `span_s` from first to last."""

    deaths: int
    span_s: float

    @property
    def text(self) -> str:
        """Such as `3 failures in 12 s`."""
        return "1 failure" if self.deaths == 1 else f"{self.deaths} failures in {max(1, round(self.span_s))} s"


def pause_within(pause_s: float, room_s: float) -> float:
    """How long the successor of one who holds the ring may be put off: `room_s` is left until the ring is full."""
    return min(pause_s, max(0.0, room_s) * _PART_OF_ROOM)


def must_start_now(room_s: float, start_s: float) -> bool:
    """True if the ring is full before a successor that takes `start_s` would surely be there."""
    return room_s <= max(_LEAST_START_S, _START_MARGIN * start_s)


class RestartBudget:
    """Counts one worker's deaths; those within 2 s of being ready count double."""

    def __init__(self, plan: RestartPlan) -> None:
        self._plan = plan
        self._deaths: deque[tuple[int, int]] = deque()

    def died(self, now_ns: int, ready_ns: int | None) -> RestartAfter | GiveUp:
        """Spend one death, or two if it came early or before the worker was ready at all (`ready_ns` None)."""
        early = ready_ns is None or now_ns - ready_ns < _EARLY_DEATH_S * 1e9
        return self._spend(now_ns, 2 if early else 1)

    def was_away(self, now_ns: int) -> RestartAfter | GiveUp:
        """Spend one try: what it needs was not there, which no successor can help."""
        return self._spend(now_ns, 1)

    def _spend(self, now_ns: int, cost: int) -> RestartAfter | GiveUp:
        window_ns = round(self._plan.within_s * 1e9)
        while self._deaths and now_ns - self._deaths[0][0] > window_ns:
            self._deaths.popleft()
        self._deaths.append((now_ns, cost))
        spent = sum(cost for _, cost in self._deaths)
        if spent > self._plan.max_restarts:
            return GiveUp(len(self._deaths), (now_ns - self._deaths[0][0]) / 1e9)
        return RestartAfter(self._pause_s(spent))

    @property
    def longest_pause_s(self) -> float:
        """No successor is kept waiting for longer."""
        return max(self._plan.backoff_s, _LONGEST_PAUSE_S)

    def _pause_s(self, spent: int) -> float:
        first_s = self._plan.backoff_s
        # Beyond 2**60 a float may not hold it.
        return min(first_s * 2.0 ** min(spent - 1, 60), self.longest_pause_s)
