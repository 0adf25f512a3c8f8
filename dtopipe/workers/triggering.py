"""What a sink worker tells of its trigger: events as they begin, and whether it waits for one."""

from __future__ import annotations

from collections.abc import Callable

from dtopipe.core.triggered_view import TriggeredView
from dtopipe.model.view import View
from dtopipe.wire.messages import EventBegun, TriggerTold

# A threshold in the noise is crossed a thousand times a second.
_MOST_TOLD = 100


class Triggering:
    """Looks at each commit; does nothing for a view that has no trigger."""

    def __init__(self, view: View | TriggeredView, tell: Callable[[TriggerTold], None]) -> None:
        self._view = view if isinstance(view, TriggeredView) else None
        self._tell = tell
        self._waited: bool | None = None

    def look(self) -> None:
        """Before a commit: what is told twice by a successor is known, what is never told is not."""
        if self._view is None:
            return
        events, waits = self._view.events(), self._view.waits
        if events or waits is not self._waited:
            told = [EventBegun(each.sample_index, each.t_utc_ns, each.values) for each in events[:_MOST_TOLD]]
            self._tell(TriggerTold(tuple(told), len(events) - len(told), waits))
            self._waited = waits
