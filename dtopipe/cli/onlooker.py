"""A run in progress as somebody sees it who leaves no mark on it: its status, newest values and newest event."""

from __future__ import annotations

import contextlib
from typing import Any

from dtopipe.host.run_events import newest_event
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import reached
from dtopipe.intake.newest_values import ValuesOfRing
from dtopipe.model.errors import DtopipeError
from dtopipe.model.newest import NewestValues
from dtopipe.shm.ring import Ring
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot
from dtopipe.wire.describe import stream_from


class Onlooker:
    """Asks the supervisor, and reads ring and events without a row or a lock. `close` lets go of the ring."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._ring: Ring | None = None
        self._values: ValuesOfRing | None = None

    def status(self) -> dict[str, Any] | None:
        """As it is now; None once the run is over. Raises DtopipeError if its supervisor does not answer."""
        answer = ask_run(self.folder, AskStatus(), StatusSnapshot)
        return None if answer is None else dict(answer.snapshot)

    def values(self) -> NewestValues | None:
        """The newest block's last sample, in units; None where there is none, or its memory is not to be had here."""
        if self._values is None:
            # While a run begins, or ends, one of them is not there.
            with contextlib.suppress(DtopipeError, OSError):
                self._attach()
        return None if self._values is None else self._values.newest()

    def event(self) -> dict[str, Any] | None:
        """The newest one; None where none can be read."""
        return newest_event(self.folder.path)

    def close(self) -> None:
        """Harmless twice."""
        if self._ring is not None:
            self._values = None
            self._ring.close()
            self._ring = None

    def _attach(self) -> None:
        facts = reached(self.folder)
        described = self.folder.read_record().get("stream")
        if facts is None or not facts.segment or not described:
            return
        stream = stream_from(described)
        self._ring = Ring.attach(facts.segment, facts.held)
        # One block is enough to look at, at any rate.
        self._values = ValuesOfRing(stream, self._ring, of_last_s=0.0)
