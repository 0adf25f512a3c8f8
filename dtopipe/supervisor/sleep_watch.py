"""The machine stays awake while a run goes on; whether it could be asked to stands in the events."""

from __future__ import annotations

from dtopipe.host.awake import Awake
from dtopipe.supervisor.ports import Events


class SleepWatch:
    """Tells once what came of it, whenever the system has answered."""

    def __init__(self, awake: Awake, events: Events) -> None:
        self._awake = awake
        self._events = events
        self._is_told = False

    def begin(self) -> None:
        """From now on it is to stay awake."""
        self._awake.begin()

    def look(self) -> None:
        """One turn."""
        if self._is_told:
            return
        by, why_not = self._awake.by, self._awake.why_not
        if by:
            self._events.append("kept_awake", by=by)
        elif why_not:
            self._events.append("may_sleep", why=why_not)
        self._is_told = bool(by or why_not)

    def end(self) -> None:
        """It may sleep again."""
        self._awake.end()
