"""What a board promises to the acquirer.

A board is constructed as `Board(options: Mapping, task: TaskPlan | None)`, does nothing until `open`, and is used by
one thread. A clocked board goes on by itself between `start` and `stop`: what is not read in time it loses, and says
so with an `Overrun`. A polled board is asked in `read`, for tick k at start + k / rate; a tick that has passed before
it could be asked is an overrun too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Cause, Span
from dtopipe.model.stream import Channel


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open board says of itself; `rate_hz` is read back from it, `samples_per_block` is the most in one block.

    `clocked`: goes on without us. `resumable`: waits, and can start again at any index.
    `end_sample_index`: where the board ends by itself, if it knows. `polled`: each `Taken` is one sample, with its
    `poll`; a board that is given a polled task and cannot be polled says False.
    """

    device: str
    channels: tuple[Channel, ...]
    dtype: str
    rate_hz: float
    samples_per_block: int
    clocked: bool
    resumable: bool
    simulated: bool = False
    end_sample_index: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    polled: bool = False


@dataclass(frozen=True, slots=True)
class Poll:
    """When a board was asked for a reading, and when it had answered, on `mono_ns`."""

    t_requested_ns: int
    t_received_ns: int

    @property
    def latency_ns(self) -> int:
        """How long the answer took."""
        return self.t_received_ns - self.t_requested_ns


@dataclass(frozen=True, slots=True)
class Taken:
    """One buffer: `codes` (n_channels, n) of the board's dtype, valid until `give_back`.

    `sensor_status`: (n_channels, n) int8 of SensorStatus, or None where all is OK. `poll`: only of a polled board,
    whose buffers hold one sample.
    """

    first_sample_index: int
    codes: NDArray[Any]
    sensor_status: NDArray[np.int8] | None = None
    poll: Poll | None = None


@dataclass(frozen=True, slots=True)
class Overrun:
    """Samples that the board lost, or that its recording has not; the next buffer begins behind `span`."""

    span: Span
    cause: Cause = Cause.BOARD_OVERRUN


@dataclass(frozen=True, slots=True)
class Ended:
    """There is nothing more to come. `end_sample_index`: exclusive, losses included."""

    end_sample_index: int


class Board(Protocol):
    """One source of samples, indices in order and without overlap."""

    def open(self) -> Opened:
        """Take hold of the board and configure it, without starting. Raises BoardError."""

    def start(self, at: int) -> int | None:
        """Start the sample clock; the first sample gets index `at`, > 0 only after a restart. Raises BoardError.

        Returns when that sample was taken, on `mono_ns`, if the board knows better than "now".
        """

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next event, or None if there is none within about `timeout_s`. Raises BoardError.

        After a `Taken`, `give_back` comes before the next `read`.
        """

    def give_back(self) -> None:
        """The buffer of the last `Taken` is free again."""

    def stop(self) -> None:
        """Stop the sample clock; `read` still yields what was complete before, then `Ended`."""

    def close(self) -> None:
        """Let go of the board. Harmless twice and before `open`. Never raises."""
