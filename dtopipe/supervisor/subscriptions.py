"""Programs that read a run along: each has a row of the ring that holds nothing, for as long as it lives."""

from __future__ import annotations

import re

from dtopipe.model.errors import RingError, WireError
from dtopipe.model.policy import Policy
from dtopipe.supervisor.launch import Launcher
from dtopipe.supervisor.run import Phase, Run
from dtopipe.supervisor.starts import Starts
from dtopipe.supervisor.subscriber import Subscriber
from dtopipe.wire.commands import NotYet, Refused, Subscribe, Subscribed

_KEY = re.compile(r"[0-9a-f]{16}")
_LONGEST_NAME = 80


class Subscriptions:
    """Answers `subscribe` and `unsubscribe`, and takes the row back from who has died.

    No subscriber's row pins a slot, whatever its policy: one that is slow, stopped or dead cannot hold the board.
    """

    def __init__(self, run: Run, launcher: Launcher) -> None:
        self._run = run
        self._launcher = launcher
        self._starts = Starts(run)

    def subscribe(self, message: Subscribe) -> Subscribed | NotYet | Refused:
        """What a reader needs, or why it is refused. Raises WireError where nobody can have asked so.

        `key`: of its own, sixteen hexadecimal digits; it shows by a lock of this name that it lives. `policy`: block
        or drop_oldest.
        """
        run = self._run
        key, since, policy = message.key, message.since, message.policy
        if not _KEY.fullmatch(key) or key in run.subscribers or policy not in (Policy.BLOCK, Policy.DROP_OLDEST):
            raise WireError(f"not a subscription: key {key!r}, policy {policy!r}")
        if not run.presence.life.is_listening(key):
            raise WireError("a subscription of nobody: its lock is not held")
        if run.phase is Phase.OPENING:
            return NotYet()
        journal = run.journal
        is_covered = run.covers(policy)
        if refusal := self._why_not() or self._starts.why_not(since, covered=is_covered):
            return Refused(*refusal)
        try:
            row, start = self._starts.open_row(Policy.DROP_OLDEST, since, covered=is_covered)
        except (RingError, LookupError, OSError, WireError) as error:
            return Refused(str(error.args[0]), "start from latest")
        who = message.pid, message.program[:_LONGEST_NAME]
        run.subscribers[key] = Subscriber(row, policy, start, *who)
        run.events.append("subscribed", pid=who[0], program=who[1], policy=policy.value, start=start)
        path = journal.path if is_covered and journal is not None else None
        where = None if path is None else str(path.absolute())
        return Subscribed(**self._launcher.reader_facts(), row=row, start=start, name=run.plan.name, journal=where)

    def unsubscribe(self, key: str) -> None:
        """Its row is free; harmless when it has none."""
        subscriber = self._run.subscribers.pop(key, None)
        if subscriber is None:
            return
        if self._run.table is not None:
            self._run.table.close(subscriber.row)
        self._run.presence.life.forget_subscriber(key)
        self._run.events.append("unsubscribed", pid=subscriber.pid, program=subscriber.program)

    def look(self) -> None:
        """One turn: who holds its lock no more is gone."""
        life = self._run.presence.life
        for key in [key for key in self._run.subscribers if not life.listens(key)]:
            self.unsubscribe(key)

    def _why_not(self) -> tuple[str, str] | None:
        run = self._run
        if run.phase is not Phase.RUNNING:
            return "the run is ending", f"its outputs are in {run.folder.path}"
        if self._starts.rows_left() < 1:
            return (
                "the ring has as many readers as it can hold",
                "end a program that follows it, or detach a sink",
            )
        return None
