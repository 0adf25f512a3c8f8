"""Programs that read a run along: each has a row of the ring that holds nothing, for as long as it lives."""

from __future__ import annotations

import re
from pathlib import Path

from dtopipe.gateway.source import NotAvailable
from dtopipe.model.errors import RingError, WireError
from dtopipe.model.policy import Policy
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.ports import Events, Listeners
from dtopipe.supervisor.progress import Phase, Progress
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.supervisor.sinks import Sinks
from dtopipe.supervisor.starts import Starts
from dtopipe.supervisor.subscriber import Subscriber
from dtopipe.wire.commands import NotYet, Refused, Subscribe, Subscribed

_KEY = re.compile(r"[0-9a-f]{16}")
_LONGEST_NAME = 80


class Subscriptions:
    """Answers `subscribe` and `unsubscribe`, and takes the row back from who has died.

    No subscriber's row pins a slot, whatever its policy: one that is slow, stopped or dead cannot hold the board.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        progress: Progress,
        memory: RunMemory,
        sinks: Sinks,
        starts: Starts,
        launcher: Launcher,
        listeners: Listeners,
        events: Events,
    ) -> None:
        """`name` and `folder`: the run's."""
        self._name = name
        self._folder = folder
        self._progress = progress
        self._memory = memory
        self._sinks = sinks
        self._starts = starts
        self._launcher = launcher
        self._listeners = listeners
        self._events = events
        # By their keys; they are no part of the run's record.
        self.subscribers: dict[str, Subscriber] = {}

    def subscribe(self, message: Subscribe) -> Subscribed | NotYet | Refused:
        """What a reader needs, or why it is refused. Raises WireError where nobody can have asked so.

        `key`: of its own, sixteen hexadecimal digits; it shows by a lock of this name that it lives. `policy`: block
        or drop_oldest.
        """
        key, since, policy = message.key, message.since, message.policy
        if not _KEY.fullmatch(key) or key in self.subscribers or policy not in (Policy.BLOCK, Policy.DROP_OLDEST):
            raise WireError(f"not a subscription: key {key!r}, policy {policy!r}")
        if not self._listeners.is_listening(key):
            raise WireError("a subscription of nobody: its lock is not held")
        if self._progress.phase is Phase.OPENING:
            return NotYet()
        journal = self._sinks.journal if self._sinks.covers(policy) else None
        is_covered = journal is not None
        if refusal := self._why_not() or self._starts.why_not(since, covered=is_covered):
            return Refused(*refusal)
        reader = self._launcher.reader_facts()
        if reader is None:
            return NotYet()
        try:
            row, start = self._starts.open_row(Policy.DROP_OLDEST, since, covered=is_covered)
        except (RingError, NotAvailable, OSError, WireError) as error:
            return Refused(str(error), "start from latest")
        subscriber = Subscriber(row, policy, start, message.pid, message.program[:_LONGEST_NAME])
        self.subscribers[key] = subscriber
        self._events.append(
            "subscribed", pid=subscriber.pid, program=subscriber.program, policy=policy.value, start=start
        )
        return Subscribed(
            stream=reader.stream,
            segment=reader.segment,
            held=reader.held,
            descriptor_endpoint=reader.descriptor_endpoint,
            credit_endpoint=reader.credit_endpoint,
            row=row,
            start=start,
            name=self._name,
            journal=None if journal is None or journal.path is None else str(journal.path.absolute()),
        )

    def unsubscribe(self, key: str) -> None:
        """Its row is free; harmless when it has none."""
        subscriber = self.subscribers.pop(key, None)
        if subscriber is None:
            return
        if self._memory.table is not None:
            self._memory.table.close(subscriber.row)
        self._listeners.forget_subscriber(key)
        self._events.append("unsubscribed", pid=subscriber.pid, program=subscriber.program)

    def look(self) -> None:
        """One turn: who holds its lock no more is gone."""
        for key in [key for key in self.subscribers if not self._listeners.listens(key)]:
            self.unsubscribe(key)

    def _why_not(self) -> tuple[str, str] | None:
        if self._progress.phase is not Phase.RUNNING:
            return "the run is ending", f"its outputs are in {self._folder}"
        if self._starts.rows_left() < 1:
            return (
                "the ring has as many readers as it can hold",
                "end a program that follows it, or detach a sink",
            )
        return None
