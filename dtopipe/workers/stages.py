"""What a writer does within a call, for whoever asks what takes its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dtopipe.shm.calls import CallWords
from dtopipe.shm.layout import Call
from dtopipe.sinks.contract import Stage

_CALLS = {Stage.CONVERT: Call.CONVERT, Stage.WRITE: Call.APPEND}


class Stages:
    """A writer is made before there is a ring; its stages are told once there is one: `calls`."""

    def __init__(self) -> None:
        self.calls: CallWords | None = None

    @contextmanager
    def doing(self, stage: Stage) -> Iterator[None]:
        """The writer is in this stage; then it is again in what it was in before."""
        calls = self.calls
        if calls is None:
            yield
            return
        before, _ = calls.read()
        calls.enter(_CALLS[stage])
        try:
            yield
        finally:
            calls.enter(before)
