"""The trigger of one sink as the supervisor knows it: its events, across all processes that served it."""

from __future__ import annotations

from typing import Any

from dtopipe.core.trigger import Window
from dtopipe.model.clock import iso_utc
from dtopipe.model.condition import condition_of
from dtopipe.model.plan import TriggerPlan
from dtopipe.wire.messages import TriggerTold


class SinkTrigger:
    """Counts events; one that a successor tells again counts once."""

    def __init__(self, plan: TriggerPlan) -> None:
        self._plan = plan
        self._condition = condition_of(plan.when)
        self._newest = -1
        self.n_events = 0
        self.waits = True

    def window(self, rate_hz: float) -> Window:
        """What it looks back on, and ahead, at this rate."""
        return Window.of(self._plan, self._condition, rate_hz)

    def hear(self, told: TriggerTold) -> list[dict[str, Any]]:
        """What its worker tells; returns the details of each new event, for the record."""
        self.waits = told.waits
        new = [event for event in told.events if event.sample_index > self._newest]
        self.n_events += len(new) + (told.more if new or not told.events else 0)
        self._newest = max([self._newest, *(event.sample_index for event in new)])
        return [
            {
                "sample_index": event.sample_index,
                "t_sample_utc": iso_utc(event.t_utc_ns),
                "when": self._plan.when,
                "values": dict(event.values),
            }
            for event in new
        ]

    def facts(self) -> dict[str, Any]:
        """For tables and `dtopipe status`."""
        return {"when": self._plan.when, "events": self.n_events, "waits": self.waits}
