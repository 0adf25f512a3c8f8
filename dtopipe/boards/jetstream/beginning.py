"""Which run of a subject is followed, and from which message on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dtopipe.broker.errors import BrokerError
from dtopipe.broker.runs import SubjectRuns, Tail, Told
from dtopipe.wire.log_messages import LogKind


@dataclass(frozen=True, slots=True)
class Wanted:
    """`run_id`: of one run, or empty; `skipped`: ids of runs that are not wanted; `start`: as the topology has it."""

    run_id: str = ""
    skipped: Sequence[str] = ()
    start: str | int = "earliest"


@dataclass(frozen=True, slots=True)
class Beginning:
    """The run `run_id` from sample `at` on, whose first message is `first`. `tail`: how far it is."""

    run_id: str
    at: int
    first: Told
    tail: Tail


def first_beginning(runs: SubjectRuns, wanted: Wanted, behind: int | None) -> Beginning | None:
    """Where to begin; None while there is nothing that is wanted. Raises BrokerError.

    `behind`: sequence of the newest message when somebody began to wait, so that no run is passed over that came and
    went since; None for who has not waited, and takes a run that is in progress, or the one that is named.
    """
    newest = runs.newest()
    if newest is None:
        return None
    if wanted.run_id:
        told = runs.newest_of(wanted.run_id)
    elif behind is None:
        told = newest if newest.head.kind is not LogKind.END and newest.head.run_id not in wanted.skipped else None
    else:
        told = next(_others(runs, behind + 1, newest.message.sequence, wanted.skipped), None)
    return None if told is None else _beginning(runs, told.head.run_id, wanted.start)


def beginning_behind(runs: SubjectRuns, floor: int, wanted: Wanted) -> Beginning | None:
    """The same for a consumer that has acknowledged everything up to the sequence `floor`."""
    newest = runs.newest()
    if newest is None or newest.message.sequence <= floor:
        return None
    for told in _others(runs, floor + 1, newest.message.sequence, wanted.skipped):
        if wanted.run_id in ("", told.head.run_id) and (told.head.kind is not LogKind.RUN or _goes_on(runs, told)):
            tail = runs.tail(told.head.run_id)
            return None if tail is None else Beginning(told.head.run_id, told.head.first_index, told, tail)
    return None


def sequence_of(runs: SubjectRuns, tail: Tail, run_id: str, index: int) -> Told | None:
    """The first message of that run with something at or behind this sample index; None if it is not there yet."""
    low, high = tail.begins_at, tail.last
    found = None
    while low <= high:
        middle = (low + high) // 2
        told = _next_of_run(runs, middle, run_id)
        if told is None or told.message.sequence > tail.last:
            high = middle - 1
        elif told.head.stop > index:
            found, high = told, middle - 1
        else:
            low = told.message.sequence + 1
    return found


def _beginning(runs: SubjectRuns, run_id: str, start: str | int) -> Beginning | None:
    tail = runs.tail(run_id)
    first = None if tail is None else _next_of_run(runs, tail.begins_at, run_id)
    if tail is None or first is None:
        return None
    at, begin = first.head.first_index, first
    if start == "latest":
        at = tail.position.committed
        begin = _next_of_run(runs, tail.whole_at, run_id) or first
    elif isinstance(start, int):
        if start < at or start > tail.position.committed:
            where = "is gone: the oldest" if start < at else "is not there yet: the newest"
            known = at if start < at else tail.position.committed - 1
            raise BrokerError(
                runs.subject, f"sample {start} {where} is {known}", "set another start, or earliest", is_final=True
            )
        at, begin = start, sequence_of(runs, tail, run_id, start) or first
    return Beginning(run_id, at, begin, tail)


def _goes_on(runs: SubjectRuns, told: Told) -> bool:
    """False of a run whose last samples and end were acknowledged, and which was only described since."""
    tail = runs.tail(told.head.run_id)
    return tail is not None and (tail.last > told.message.sequence or not tail.has_ended)


def _next_of_run(runs: SubjectRuns, sequence: int, run_id: str) -> Told | None:
    while (message := runs.log.next_of(runs.subject, sequence)) is not None:
        told = runs.told(message)
        if told.head.run_id == run_id:
            return told
        sequence = message.sequence + 1
    return None


def _others(runs: SubjectRuns, first: int, last: int, skipped: Sequence[str]) -> Iterator[Told]:
    for told in runs.heads(first, last):
        if told.head.run_id not in skipped:
            yield told
