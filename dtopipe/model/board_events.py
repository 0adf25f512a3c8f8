"""What a board says: of itself when it is opened, then one event after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.span import Cause, Span
from dtopipe.model.stream import Channel


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open board says of itself; `rate_hz` is read back from it, `samples_per_block` is the most in one block.

    `clocked`: goes on without us. `resumable`: waits, and can start again at any index.
    `end_sample_index`: where the board ends by itself, if it knows. `polled`: each `Taken` is one sample, with its
    `poll`; a board that is given a polled task and cannot be polled says False. `run_id`, `started_at`, `anchor`: of
    the run on another machine whose samples these are; empty and None for samples of our own. `virtual`: channels
    without codes that a recording or another machine has; those of our own are the topology's business.
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
    run_id: str = ""
    started_at: str = ""
    anchor: Anchor | None = None
    first_sample_index: int = 0
    virtual: tuple[Channel, ...] = ()


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
    whose buffers hold one sample. `anchor`: where the times of these samples come from, if not from our own clocks.
    """

    first_sample_index: int
    codes: NDArray[Any]
    sensor_status: NDArray[np.int8] | None = None
    poll: Poll | None = None
    anchor: Anchor | None = None


@dataclass(frozen=True, slots=True)
class Overrun:
    """Samples that the board lost, or that its recording has not; the next buffer begins behind `span`.

    `t_utc_ns`: of the first of them, where that does not come from our own clocks.
    """

    span: Span
    cause: Cause = Cause.BOARD_OVERRUN
    t_utc_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """There is nothing more to come. `end_sample_index`: exclusive, losses included.

    `is_of_source`: the run on another machine has ended there, as that machine said. Who was stopped does not know.
    """

    end_sample_index: int
    is_of_source: bool = field(default=False, compare=False)
