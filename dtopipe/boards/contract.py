"""What a board promises to the acquirer.

A board is constructed as `Board(options: Mapping, task: TaskPlan | None)`, does nothing until `open`, and is used by
one thread. A clocked board goes on by itself between `start` and `stop`: what is not read in time it loses, and says
so with an `Overrun`. A polled board is asked in `read`, for tick k at start + k / rate; a tick that has passed before
it could be asked is an overrun too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.link_clock import LinkPair
from dtopipe.model.clock import Anchor
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel
from dtopipe.wire.control import Message


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open board says of itself; `rate_hz` is read back from it, `samples_per_block` is the most in one block.

    `clocked`: goes on without us. `resumable`: waits, and can start again at any index.
    `end_sample_index`: where the board ends by itself, if it knows. `polled`: each `Taken` is one sample, with its
    `poll`; a board that is given a polled task and cannot be polled says False. `run_id`, `started_at`, `anchor`: of
    the run on another machine whose samples these are; empty and None for samples of our own.
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


class Link(Protocol):
    """What a board that is another machine needs of its worker: one connection at a time."""

    is_connected: bool
    was_cut: bool

    def renew(self) -> None:
        """Begin anew: what was said and not heard is forgotten."""

    def send(self, message: Message) -> None:
        """Never waits; what finds nobody is dropped."""

    def receive(self, timeout_s: float) -> tuple[Message, bytes | memoryview] | None:
        """The next message with its payload, or None if there is none in time. Raises WireError."""

    def refusal(self, *, was_linked: bool = False) -> tuple[str, str] | None:
        """(what is wrong, the way out), if the other end will never take us as we are.

        `was_linked`: it took us before, so that what a failed handshake makes one guess is none.
        """

    def close(self) -> None:
        """Leave. Harmless twice."""


class Surroundings(Protocol):
    """Whom such a board tells how it gets on, and who says whether it is still wanted."""

    def away(self, why: str) -> None:
        """The other machine is not there; it goes on by itself."""

    def back(self) -> None:
        """It is there again."""

    def is_wanted(self) -> bool:
        """False once the run is to end before it began."""

    def compared(self, pair: LinkPair) -> None:
        """The clocks of both machines at one instant."""


@runtime_checkable
class LinkedBoard(Protocol):
    """A board that is another machine."""

    def take_link(self, link: Link, surroundings: Surroundings, remote_id: str, run_id: str) -> None:
        """Before `open`.

        `remote_id` names this run of ours to the other side; `run_id`: of the run that is followed already, else empty.
        """

    def recall(self, gaps: Sequence[Gap]) -> None:
        """Before `start`, of a successor: all gaps that are on record for this run."""

    def acknowledge(self, sample_index: int) -> None:
        """Everything before this index is durable here."""

    def finish(self) -> None:
        """Everything up to the end of the run is here for good."""
