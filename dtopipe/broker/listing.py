"""Every run that is in the log of NATS servers, of every device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dtopipe.broker.address import Address
from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.log import Log
from dtopipe.broker.runs import SubjectRuns, Told
from dtopipe.model.position import Position
from dtopipe.wire.log_messages import SUBJECT_ROOT, Description, name_of

# Who wants to know of more follows them: each one costs the servers some thirty requests.
MOST_RUNS = 100
# A run whose newest message is older than this may not be going on, or its board is silent: said in seconds then.
SILENT_S = 5.0


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """One run of one device. `position`: up to where everything is in the log.

    `started_at`: when the servers took its first message, None where that was deleted; `newest_at`: the newest one.
    `description`: what the run is, None where nobody tells any more.
    """

    run_name: str
    device: str
    run_id: str
    position: Position
    has_ended: bool
    started_at: datetime | None
    newest_at: datetime
    description: Description | None

    def document(self, now: datetime) -> dict[str, Any]:
        """For machines, as lists of runs have it. `silent_s`: since the newest message; None once it has ended."""
        stream = None if self.description is None else self.description.stream
        rate_hz = None if stream is None else stream.rate_hz
        return {
            "run_name": self.run_name,
            "device": self.device,
            "run_id": self.run_id,
            "host": None if self.description is None else self.description.facts.get("host"),
            "started_at": None if self.started_at is None else self.started_at.astimezone(UTC).isoformat(),
            "samples": self.position.samples,
            "gaps": self.position.gap_samples,
            "end_sample_index": self.position.committed,
            "rate_hz": rate_hz,
            "length_s": self.position.committed / rate_hz if rate_hz else None,
            "metadata": {} if stream is None else dict(stream.metadata or {}),
            "in_progress": not self.has_ended,
            "silent_s": None if self.has_ended else max(0.0, round((now - self.newest_at).total_seconds(), 3)),
            "verdict": None,
        }


def published_runs(address: Address, most: int = MOST_RUNS) -> list[PublishedRun]:
    """The newest runs of each device, up to `most`, by devices and then the oldest first. Raises BrokerError."""
    connection = BrokerConnection(address, "dtopipe runs")
    try:
        connection.connect()
        log = Log(connection)
        log.state()
        found: list[PublishedRun] = []
        for subject in log.subjects(f"{SUBJECT_ROOT}.*.*"):
            found += reversed(list(_of(SubjectRuns(connection, subject), most)))
        return found
    finally:
        connection.close()


def _of(runs: SubjectRuns, most: int) -> Iterator[PublishedRun]:
    """The newest first."""
    newest = runs.newest()
    while newest is not None and most > 0:
        yield _published(runs, newest)
        most -= 1
        begins_at = min(newest.head.begins_at, newest.message.sequence)
        before = runs.log.last_before(runs.subject, begins_at)
        newest = None if before is None else runs.told(before)


def _published(runs: SubjectRuns, newest: Told) -> PublishedRun:
    tail = runs.tail_at(newest)
    first = runs.log.message(tail.begins_at)
    is_first = first is not None and first.subject == runs.subject
    _, run_name, device = runs.subject.split(".")
    try:
        description = runs.description(newest.head.run_id, newest)
    except BrokerError:
        description = None
    return PublishedRun(
        run_name=name_of(run_name),
        device=name_of(device),
        run_id=newest.head.run_id,
        position=tail.position,
        has_ended=tail.has_ended,
        started_at=first.kept_at if first is not None and is_first else None,
        newest_at=newest.message.kept_at or datetime.now(UTC),
        description=description,
    )
