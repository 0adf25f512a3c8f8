"""What a fault that takes a while is given: the run, its plan, the dice, and time that ends with the run."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass

import psutil

from dtopipe.chaos.run_under_test import RunUnderTest
from dtopipe.model.plan import RunPlan, SinkPlan

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Scene:
    """The folders, processes and facts of one run under test."""

    run: RunUnderTest
    plan: RunPlan
    dice: random.Random

    @property
    def journal(self) -> SinkPlan | None:
        """The sink that covers the others."""
        return next((sink for sink in self.plan.sinks if sink.is_journal), None)

    def passes(self, lasting_s: float) -> bool:
        """Let so long pass; False as soon as the run has ended."""
        until = time.monotonic() + lasting_s
        while (left_s := until - time.monotonic()) > 0:
            if not self.run.goes_on():
                return False
            time.sleep(min(left_s, _LOOK_EVERY_S))
        return self.run.goes_on()

    def suspend(self, name: str) -> None:
        """SIGSTOP to this sink's present process, until it is killed."""
        process = self.run.process_of(name)
        if process is not None:
            with contextlib.suppress(psutil.Error):
                process.suspend()

    def kill(self, name: str) -> bool:
        """SIGKILL to this sink's present process; False where there is none."""
        process = self.run.process_of(name)
        if process is not None:
            with contextlib.suppress(psutil.Error):
                process.kill()
                return True
        return False
