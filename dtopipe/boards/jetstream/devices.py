"""Which of the devices on NATS servers is followed: one that has a run for us, and that nobody else follows."""

from __future__ import annotations

from typing import NamedTuple

from dtopipe.boards.jetstream.beginning import Beginning, Wanted, beginning_behind, first_beginning
from dtopipe.boards.jetstream.consumer import Consumer, consumer_name
from dtopipe.broker.claim import Claim, Held
from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.log import Log
from dtopipe.broker.runs import SubjectRuns
from dtopipe.host.clock import mono_ns

# Who was cut off from its servers in the middle of a run comes back to it by then.
_COMES_BACK_NS = 6_000_000_000


class Device(NamedTuple):
    """A run that is followed, and the consumer of its subject."""

    runs: SubjectRuns
    consumer: Consumer
    found: Beginning


class Devices:
    """Those whose subjects fit a pattern. `durable`: the name under which several share them. Raises BrokerError."""

    def __init__(self, connection: BrokerConnection, pattern: str, durable: str | None) -> None:
        self._connection = connection
        self._pattern = pattern
        self._durable = durable
        # Sequence of the newest message of each subject when it was looked at first.
        self._behind: dict[str, int] = {}
        # Since when nobody follows a subject whose run somebody was in the middle of.
        self._free_since_ns: dict[str, int] = {}
        self._claim: Claim | None = None

    def look(self, wanted: Wanted, remote_id: str, run_id: str) -> Device | None:
        """One with a run that is wanted, held from now on; None while there is none.

        `run_id`: of who goes on with that run, or empty. Raises Held where it is somebody else's who has no name.
        """
        log = Log(self._connection)
        log.state()
        for subject in log.subjects(self._pattern):
            runs = SubjectRuns(self._connection, subject)
            consumer = self._consumer(subject, remote_id)
            found = self._beginning(runs, consumer, wanted, run_id)
            if found is None or not (run_id or self._is_left(subject, remote_id, found)):
                continue
            try:
                self.hold(subject, remote_id)
            except Held:
                if self._durable is None:
                    raise
                # Another pipeline of this name has that device.
                continue
            return Device(runs, consumer, found)
        return None

    def hold(self, subject: str, remote_id: str) -> None:
        """Be the only one who follows that device under our name. Raises Held."""
        claim = self._claim_of(subject, remote_id)
        if self._claim is None or self._claim.name != claim.name:
            if self._claim is not None:
                self._claim.release()
            self._claim = claim
        self._claim.take("another pipeline follows under this name")

    def _is_left(self, subject: str, remote_id: str, found: Beginning) -> bool:
        """False of a run that somebody is in the middle of, who may only be cut off."""
        if self._durable is None or found.at <= found.tail.position.start:
            return True
        if self._claim_of(subject, remote_id).holder() is not None:
            self._free_since_ns.pop(subject, None)
            return False
        return mono_ns() - self._free_since_ns.setdefault(subject, mono_ns()) >= _COMES_BACK_NS

    def _claim_of(self, subject: str, remote_id: str) -> Claim:
        who = f"durable {self._durable}" if self._durable else "a run that follows"
        name = consumer_name(self._durable, remote_id, subject)
        return Claim(self._connection, f"{self._connection.address.stream} {name}", who)

    def _consumer(self, subject: str, remote_id: str) -> Consumer:
        name = consumer_name(self._durable, remote_id, subject)
        return Consumer(self._connection, subject, name, is_named=self._durable is not None)

    def _beginning(self, runs: SubjectRuns, consumer: Consumer, wanted: Wanted, run_id: str) -> Beginning | None:
        if run_id:
            # A successor goes on behind what the ring has, which it is told when it is started.
            return first_beginning(runs, Wanted(run_id), None)
        state = consumer.state()
        if state is not None:
            return beginning_behind(runs, state.floor, wanted)
        newest = runs.newest()
        behind = self._behind.get(runs.subject, _behind_followed(runs, wanted))
        found = first_beginning(runs, wanted, behind)
        self._behind.setdefault(runs.subject, 0 if newest is None else newest.message.sequence)
        return found


def _behind_followed(runs: SubjectRuns, wanted: Wanted) -> int | None:
    """Where the run ends that was followed last, of who follows every one."""
    for run_id in reversed(wanted.skipped):
        newest = runs.newest_of(run_id)
        if newest is not None:
            return newest.message.sequence
    return None
