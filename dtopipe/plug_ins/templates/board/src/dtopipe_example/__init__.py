"""A board for dtopipe: `type: example` is a clocked converter of 16 bits.

`Driver` stands for your device's own library; replace it. `dtopipe.boards.contract` says what a board owes, and
`pytest` tells whether it keeps it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from dtopipe.boards.contract import Ended, Opened, Overrun, Taken
from dtopipe.boards.exclusive import ExclusiveDevice
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Span
from dtopipe.model.stream import Channel


class Driver:
    """A converter that goes on by itself, with a FIFO of `capacity` samples and a count of what it lost."""

    def __init__(self, n_channels: int, rate_hz: float, capacity: int) -> None:
        self.rate_hz = rate_hz
        self._n_channels, self._capacity = n_channels, capacity
        self._taken = 0
        self._end: int | None = None

    def start(self) -> None:
        """Begin to convert."""
        self._began = time.perf_counter()
        self._taken, self._end = 0, None

    def stop(self) -> None:
        """Convert no more; what is in the FIFO stays there."""
        self._end = self._converted()

    def read(self, n: int, timeout_s: float) -> tuple[int, NDArray[np.int16]]:
        """(samples lost, the next up to `n` of each channel), fewer than `n` only once it was stopped, else none."""
        deadline = time.perf_counter() + timeout_s
        while self._end is None and self._converted() < self._taken + n:
            if time.perf_counter() >= deadline:
                return 0, np.zeros((self._n_channels, 0), np.int16)
            time.sleep(0.001)
        there = self._converted()
        lost = max(0, there - self._taken - self._capacity)
        first = self._taken + lost
        self._taken = min(first + n, there)
        index = np.arange(first, self._taken)
        codes = [index * (channel + 1) % 65536 - 32768 for channel in range(self._n_channels)]
        return lost, np.array(codes, np.int16)

    def _converted(self) -> int:
        return int((time.perf_counter() - self._began) * self.rate_hz) if self._end is None else self._end


class ExampleBoard:
    """A clocked converter of 16 bits, -10 to 10 V."""

    class Options(BaseModel):
        """What a topology may say under `board:`; `dtopipe boards example` shows it."""

        device: str = Field(default="0", description="Which unit; only one run of the machine at a time may hold it.")

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        self._device = str(options["device"])
        self._held = ExclusiveDevice("example", self._device)
        self._task = task
        self._driver: Driver | None = None

    def open(self) -> Opened:
        """Take hold of the unit and configure it. Raises BoardError if another run has it."""
        task = self._task
        if task is None or not task.channels:
            raise BoardError("example", "it has no channels", "give the topology a task: with channels:")
        self._held.hold(task.name)
        self._n = task.samples_per_block
        self._driver = Driver(len(task.channels), task.rate_hz, task.driver_buffers * self._n)
        return Opened(
            device=f"example {self._device}",
            channels=tuple(
                Channel(
                    name=channel.name,
                    unit=channel.unit or "V",
                    kind=channel.kind,
                    # Engineering value = code * scale + offset.
                    scale=20 / 65536,
                    range=(-10.0, 10.0),
                    physical_channel=channel.physical_channel,
                )
                for channel in task.channels
            ),
            dtype="int16",
            # Read back from the device: times are counted by it.
            rate_hz=self._driver.rate_hz,
            samples_per_block=self._n,
            clocked=True,
            resumable=False,
        )

    def start(self, at: int) -> None:
        """Begin to convert; the first sample has index `at`."""
        self._at = at
        self._waiting: NDArray[np.int16] | None = None
        self._is_stopped = False
        self._opened_driver().start()

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next buffer; what was lost before it is said first."""
        codes, self._waiting = self._waiting, None
        if codes is None:
            lost, codes = self._opened_driver().read(self._n, timeout_s)
            if lost:
                self._waiting = codes
                self._at += lost
                return Overrun(Span(self._at - lost, self._at))
        if not codes.shape[1]:
            return Ended(self._at) if self._is_stopped else None
        first, self._at = self._at, self._at + codes.shape[1]
        return Taken(first, codes)

    def give_back(self) -> None:
        """Nothing: `read` made a copy. A driver that lends its buffers takes the last one back here."""

    def stop(self) -> None:
        """Convert no more; `read` still gives what is there, then the end."""
        self._is_stopped = True
        self._opened_driver().stop()

    def close(self) -> None:
        """Let go of the unit."""
        self._driver = None
        self._held.let_go()

    def _opened_driver(self) -> Driver:
        if self._driver is None:
            raise BoardError("example", "it is not open")
        return self._driver
