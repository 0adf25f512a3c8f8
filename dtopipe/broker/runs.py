"""The runs of one subject: which is the newest, how far one is, what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.log import Log
from dtopipe.broker.pulling import LogMessage
from dtopipe.core.log_order import Entry, LogOrder
from dtopipe.model.errors import WireError
from dtopipe.model.position import Position
from dtopipe.model.span import Span
from dtopipe.wire.log_messages import Description, LogHead, LogKind, decode_description, head_of


class Told(NamedTuple):
    """A message of ours, and what its headers say, sequences filled in."""

    message: LogMessage
    head: LogHead


@dataclass(frozen=True, slots=True)
class Tail:
    """How far a run is in the log: `position` up to where everything is there, without a hole.

    `last`: sequence of the newest message of the subject. `whole_at`: of the message that ends what is whole.
    """

    position: Position
    begins_at: int
    told_at: int
    whole_at: int
    last: int
    has_ended: bool


class SubjectRuns:
    """Of one subject. Raises BrokerError, also for a subject that somebody else writes."""

    def __init__(self, connection: BrokerConnection, subject: str) -> None:
        self.log = Log(connection)
        self.subject = subject
        self._target = connection.address.target(subject)

    def newest(self) -> Told | None:
        """The newest message; None where there is none."""
        last = self.log.last_of(self.subject)
        return None if last is None else self.told(last)

    def told(self, message: LogMessage) -> Told:
        """What that message says. Raises BrokerError for one that dtopipe has not written."""
        try:
            head = head_of(message.headers)
        except WireError as error:
            raise BrokerError(
                self._target, f"has {error} (sequence {message.sequence})", "leave dtopipe.> to dtopipe", is_final=True
            ) from error
        begins_at, told_at = head.begins_at or message.sequence, head.told_at or message.sequence
        return Told(message, replace(head, begins_at=begins_at, told_at=told_at))

    def newest_of(self, run_id: str) -> Told | None:
        """The newest message of that run; None where it is not there. Others may have come behind it."""
        newest = self.newest()
        if newest is None or newest.head.run_id == run_id:
            return newest
        found = None
        for told in self.heads(1, newest.message.sequence):
            if told.head.run_id == run_id:
                found = told
        return found

    def heads(self, first: int, last: int) -> Iterator[Told]:
        """The headers of these messages."""
        for message in self.log.read(self.subject, first, last, headers_only=True):
            yield self.told(message)

    def tail(self, run_id: str) -> Tail | None:
        """How far that run is; None where nothing of it is there."""
        newest = self.newest_of(run_id)
        return None if newest is None else self.tail_at(newest)

    def tail_at(self, newest: Told) -> Tail:
        """How far the run of that message is, which is its newest one."""
        head = newest.head
        run_id = head.run_id
        last = self.log.last_of(self.subject)
        begins_at = max(head.whole_at, head.begins_at)
        found = Tail(
            Position(head.position.start, head.position.start, head.position.start),
            head.begins_at, head.told_at, head.begins_at, newest.message.sequence if last is None else last.sequence,
            has_ended=False,
        )  # fmt: skip
        order: LogOrder[Told] | None = None
        for told in self.heads(begins_at, newest.message.sequence):
            if told.head.run_id != run_id:
                continue
            if order is None:
                # The one that was whole by the word of the newest message, else the oldest that is still there.
                order = LogOrder(told.head.first_index)
                if told.head.kind is not LogKind.ITEMS:
                    found = replace(found, position=_counted(told.head.position), whole_at=told.message.sequence)
            found = _further(found, order, told)
        return found

    def description(self, run_id: str, near: Told) -> Description:
        """What that run is, `near` being a message of it. Raises BrokerError where nobody tells any more."""
        for sequence in (near.head.told_at, *self._told_later(run_id)):
            message = self.log.message(sequence)
            if message is not None and message.subject == self.subject:
                told = self.told(message)
                if told.head.run_id == run_id and told.head.kind is LogKind.RUN:
                    return self.described(message)
        raise BrokerError(
            self._target, f"what the run {run_id} is was deleted from the log", "follow a later one", is_final=True
        )

    def described(self, message: LogMessage) -> Description:
        """The run that this message describes. Raises BrokerError."""
        try:
            return decode_description(message.payload, message.headers)
        except WireError as error:
            raise BrokerError(self._target, str(error), "install the same version", is_final=True) from error

    def _told_later(self, run_id: str) -> Iterator[int]:
        newest = self.newest_of(run_id)
        if newest is not None:
            yield newest.head.told_at


def _further(tail: Tail, order: LogOrder[Told], told: Told) -> Tail:
    """The tail with one more message, in the order of the log."""
    sequence, head = told.message.sequence, told.head
    if head.kind is LogKind.END and head.stop <= order.at:
        return replace(tail, has_ended=True, whole_at=sequence, position=_counted(head.position))
    # Holes are not closed here: what is behind one counts as not there.
    for step in order.came(Entry(Span(head.first_index, head.stop), 0, told)):
        if isinstance(step, Entry):
            behind = step.message
            tail = replace(tail, position=_counted(behind.head.position), whole_at=behind.message.sequence)
    return replace(tail, told_at=max(tail.told_at, head.told_at))


def _counted(position: Position) -> Position:
    return replace(position, durable=position.start)
