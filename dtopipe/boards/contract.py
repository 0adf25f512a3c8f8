"""What a board promises, and what it is promised: all that the author of one needs to know.

`dtopipe plugin new board NAME` writes a package with one that works; `dtopipe.testing.BoardConformance` tries what
stands here, on any class.

**Registration.** An entry point of the group `dtopipe.boards` names the board's class, or a `BoardType`
(`dtopipe.model.board_types`), which also says when the board waits for its reader and where it ends by itself.

**Options.** A board is constructed as `Board(options: Mapping, task: TaskPlan | None)`. `options` is what a topology
says under `board:` besides `type`, `restart` and `hung_limit`: with an attribute `Options` of the class, a pydantic
model, plain values with every default filled in, where each field's `description` is its help in `dtopipe boards NAME`
and what it has not is refused; without one, whatever was written. `task` is what is to be acquired; None for a board
whose type brings its own. Of a channel, what the topology says besides the keys that all have is `channel.options`.

**Life.** Construction does nothing, `open` takes hold of the device and says what it is, `start` starts its clock,
`read` and `give_back` take turns until `Ended` or `stop`, `close` lets go of it, and is called in any case, also when
`open` has failed. One thread does all of it, in a process of its own. A device that only one may use is locked from
`open` to `close`, also against other users (`dtopipe.boards.exclusive.ExclusiveDevice`); the lock must go with the
process, which may be killed.

**Indices.** The board numbers samples from the index that `start` was given: it says which it has (`Taken`) and which
it lost (`Overrun`), in order, without overlap, and without a hole that it does not name. Times, files, and gaps of
outputs are not its business: a sample's time is counted from the start by `rate_hz`, read back from the device. A
clocked board goes on by itself between `start` and `stop`: what is not read in time it loses. If its process dies, a
successor is started at the index that the clock has reached. A board that waits for its reader loses nothing by
waiting; one that is `resumable` can be started at any index, and what is past comes again.
A polled board is asked in `read`, for tick k at start + k / rate; a tick that has passed before it could be asked is an
overrun too.

**Channels.** Name, kind, range and unit are what the topology says. Where it says no unit, `task` has None, and the
board gives its own; where it says no range, `task` has -10 to 10.

**Buffers.** `codes` of a `Taken` may be the driver's own memory: it is copied before `give_back`. It is
(n_channels, n), in the order of the channels, of the dtype that `Opened` said: int16 or int32 codes with each channel's
`scale` and `offset`, or float64 in its unit. A buffer that is not so, or overlaps the one before, ends the run.

**Errors.** What a board raises as BoardError (what is wrong, the way out) is waited for: its state is `away`, and a new
board is opened and started, ever later, until it is there. `is_final=True` says that trying again would change nothing.
Any other exception of a driver counts as BoardError; a mistake in the code (TypeError, AttributeError, ...) ends the
process, and is tried again as often as any death.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from dtopipe.core.link_clock import LinkPair
from dtopipe.model.board_events import Ended, Opened, Overrun, Poll, Taken
from dtopipe.model.span import Gap
from dtopipe.wire.control import Message
from dtopipe.wire.message_fields import TypedMessage

__all__ = [
    "Board",
    "Ended",
    "FollowingBoard",
    "Link",
    "LinkedBoard",
    "Opened",
    "Overrun",
    "Poll",
    "SurroundedBoard",
    "Surroundings",
    "Taken",
]


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

    def send(self, message: TypedMessage) -> None:
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
    """What such a board tells how it gets on, and asks whether it is still wanted."""

    def away(self, why: str) -> None:
        """The other machine is not there; it goes on by itself."""

    def back(self) -> None:
        """It is there again."""

    def is_wanted(self) -> bool:
        """False once the run is to end before it began."""

    def compared(self, pair: LinkPair) -> None:
        """The clocks of both machines at one instant."""


@runtime_checkable
class FollowingBoard(Protocol):
    """A board that is the run of another machine, which may keep its samples until they are durable here."""

    def recall(self, gaps: Sequence[Gap]) -> None:
        """A successor is told all gaps that are on record for this run, before `start`."""

    def acknowledge(self, sample_index: int) -> None:
        """Everything before this index is durable here."""

    def finish(self) -> None:
        """Everything up to the end of the run is here for good."""


@runtime_checkable
class SurroundedBoard(FollowingBoard, Protocol):
    """One that makes its own way to that machine."""

    def take_surroundings(self, surroundings: Surroundings, remote_id: str, run_id: str) -> None:
        """The worker gives them, before `open`; the rest is as of `LinkedBoard.take_link`."""


@runtime_checkable
class LinkedBoard(FollowingBoard, Protocol):
    """One that is given the link to that machine."""

    def take_link(self, link: Link, surroundings: Surroundings, remote_id: str, run_id: str) -> None:
        """The worker gives the link, before `open`.

        `remote_id` names this run of ours to the other side; `run_id`: of the run that is followed already, else empty.
        """
