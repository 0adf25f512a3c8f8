"""A run in progress as somebody sees it who leaves no mark on it: its status, newest values and newest event."""

from __future__ import annotations

import contextlib
import time
from typing import Protocol

from rich.text import Text

from dtopipe.cli.verdict_text import verdict_line
from dtopipe.host.run_events import newest_event
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import ensure_reached, reached
from dtopipe.intake.newest_values import ValuesOfRing
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.newest import NewestValues
from dtopipe.shm.ring import Ring
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot
from dtopipe.wire.describe import stream_from
from dtopipe.wire.link_messages import RunSeen

_LOOK_EVERY_S = 1.0


class Onlooker(Protocol):
    """What `top` watches. `is_over`: there is nothing more to see; `trouble`: why nothing new comes for now."""

    @property
    def is_over(self) -> bool:
        """True once the run is over."""

    @property
    def trouble(self) -> str:
        """Why nothing new comes, and since when; empty while it does."""

    @property
    def whereabouts(self) -> str:
        """Where the run is, if that is not here; else empty."""

    def first(self) -> RunSeen:
        """The run as it is. Raises DtopipeError where it cannot be seen."""

    def look(self, timeout_s: float) -> RunSeen | None:
        """The run as it is by now; None where there is nothing new in that time. Raises DtopipeError."""

    def last_words(self) -> Text:
        """How it ended, once it is over."""

    def close(self) -> None:
        """Harmless twice."""


class OnlookerHere:
    """Asks the supervisor once a second, and reads ring and events without a row or a lock."""

    trouble = whereabouts = ""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.is_over = False
        self._ring: Ring | None = None
        self._values: ValuesOfRing | None = None
        self._looked_s = 0.0

    def first(self) -> RunSeen:
        """The run as it is. Raises UsageError where it is over, DtopipeError if its supervisor does not answer."""
        seen = self._seen()
        if seen is None:
            ensure_reached(self.folder, "watch")
            raise UsageError("that run is over", f"see how it ended: dtopipe status {self.folder.path}")
        return seen

    def look(self, timeout_s: float) -> RunSeen | None:
        """The run as it is by now, once a second. Raises DtopipeError if its supervisor does not answer."""
        left_s = self._looked_s + _LOOK_EVERY_S - time.monotonic()
        if left_s > 0:
            time.sleep(min(left_s, timeout_s))
        if left_s > timeout_s:
            return None
        seen = self._seen()
        self.is_over = seen is None
        return seen

    def last_words(self) -> Text:
        """The verdict."""
        return verdict_line(self.folder.read_record())

    def _seen(self) -> RunSeen | None:
        self._looked_s = time.monotonic()
        answer = ask_run(self.folder, AskStatus(), StatusSnapshot)
        return None if answer is None else RunSeen(answer.snapshot, self._newest(), newest_event(self.folder.path))

    def _newest(self) -> NewestValues | None:
        """The newest block's last sample, in units; None where there is none, or its memory is not to be had here."""
        if self._values is None:
            # While a run begins, or ends, one of them is not there.
            with contextlib.suppress(DtopipeError, OSError):
                self._attach()
        return None if self._values is None else self._values.newest()

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
