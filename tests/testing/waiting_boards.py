"""Two boards as the contract has them besides clocked ones: a recording that waits, and a sensor that is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from dtopipe.boards.contract import Ended, Opened, Overrun, Poll, Taken
from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Span
from dtopipe.model.stream import Channel


class Squares:
    """A thousand squares, as fast as they are read, from any index on."""

    LENGTH = 1000

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        self._task = task
        self._stop_at = self.LENGTH

    def open(self) -> Opened:
        task = _task(self._task)
        channels = tuple(Channel(channel.name) for channel in task.channels)
        return Opened("squares", channels, "int32", task.rate_hz, task.samples_per_block, False, True)

    def start(self, at: int) -> None:
        self._at = at

    def read(self, timeout_s: float) -> Taken | Ended:
        task = _task(self._task)
        stop = min(self._at + task.samples_per_block, self._stop_at)
        if stop <= self._at:
            return Ended(self._at)
        first, self._at = self._at, stop
        codes = np.arange(first, stop, dtype=np.int32) ** 2
        return Taken(first, np.stack([codes] * len(task.channels)))

    def give_back(self) -> None:
        pass

    def stop(self) -> None:
        self._stop_at = self._at

    def close(self) -> None:
        pass


class Thermometer:
    """It is asked at each tick of the clock, and can do nothing else."""

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        self._task = task
        self._is_stopped = False

    def open(self) -> Opened:
        task = _task(self._task)
        channels = tuple(Channel(channel.name, "degC") for channel in task.channels)
        return Opened("thermometer", channels, "float64", task.rate_hz, 1, True, False, polled=True)

    def start(self, at: int) -> None:
        self._began_ns, self._began_at, self._at = mono_ns(), at, at

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        if self._is_stopped:
            return Ended(self._at)
        deadline_ns = mono_ns() + int(timeout_s * 1e9)
        while (due := self._due()) < self._at:
            if mono_ns() >= deadline_ns:
                return None
            time.sleep(0.001)
        if due > self._at:
            passed, self._at = Span(self._at, due), due
            return Overrun(passed)
        asked_ns = mono_ns()
        value = 20 + np.sin(self._at / 10)
        self._at += 1
        return Taken(self._at - 1, np.full((len(_task(self._task).channels), 1), value), poll=Poll(asked_ns, mono_ns()))

    def give_back(self) -> None:
        pass

    def stop(self) -> None:
        self._is_stopped = True

    def close(self) -> None:
        pass

    def _due(self) -> int:
        """The newest tick that is due."""
        return self._began_at + int((mono_ns() - self._began_ns) / 1e9 * _task(self._task).rate_hz)


def _task(task: TaskPlan | None) -> TaskPlan:
    if task is None:
        raise BoardError("lab", "it has no channels", "give the topology a task: with channels:")
    return task
