"""Reads a run back out of the messages of its subject; writes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dtopipe.broker.address import BrokerOptionError, address_of
from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.log import Log
from dtopipe.broker.runs import SubjectRuns, Tail, Told
from dtopipe.core.log_order import Entry, LogOrder
from dtopipe.model.columns import RowValues
from dtopipe.model.errors import SinkError, SinkOptionError, SinkUnavailable, WireError
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.span import Gap, Span, add
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.wire.link_items import decode_items
from dtopipe.wire.log_messages import SUBJECT_ROOT, LogKind, decode_marks, token

_NO_RUN = "see what is there with: nats stream subjects"


class JetStreamReader:
    """One run of a stream: the one with `run_id`, or the newest of `run_name`. Raises SinkError."""

    def __init__(
        self, path: Path | None = None, run_id: str | None = None, *, run_name: str | None = None, **options: Any
    ) -> None:
        """A stream is no file: a record that names one for it does not open it. `options`: the sink's."""
        if path is not None:
            message = "a stream is to be read from this file, as the run record says"
            raise SinkError(path, message, "the record was changed: correct its sink's type or path")
        try:
            self._address = address_of(options)
        except BrokerOptionError as error:
            raise SinkOptionError(None, error.message, error.remedy) from None
        self._run_name = run_name
        self._run_id = run_id

    def position(self) -> Position:
        """How far the run is, everything before being there; once it was ended in order, that is durable."""
        with self._opened() as (_, _, tail):
            at = tail.position
            return Position(
                at.start, at.committed, at.committed if tail.has_ended else at.start, at.samples, at.gap_samples,
                at.dropped,
            )  # fmt: skip

    def gaps(self) -> Sequence[Gap]:
        """The gaps of the run, in order."""
        found: list[Gap] = []
        for item in self._items():
            if isinstance(item, Gap):
                add(found, [item])
        return found

    def marks(self) -> Sequence[Mark]:
        """The marks of the run, by their numbers."""
        found: dict[int, Mark] = {}
        with self._opened() as (runs, newest, tail):
            for told in runs.heads(tail.begins_at, newest.message.sequence):
                if told.head.run_id == newest.head.run_id and told.head.kind is LogKind.MARKS:
                    message = runs.log.message(told.message.sequence)
                    for mark in [] if message is None else self._marks(message.payload):
                        found[mark.number] = mark
        return [found[number] for number in sorted(found)]

    def stream(self) -> Stream:
        """What the run is, as its newest description says."""
        with self._opened() as (runs, newest, _):
            return runs.description(newest.head.run_id, newest).stream

    def batches(self) -> Iterator[OutputRows]:
        """The rows of the run, in order of their sample indices."""
        stream = self.stream()
        clock = stream.clock
        values = RowValues(stream, [channel.name for channel in stream.channels])
        for item in self._items():
            if isinstance(item, Block):
                t_mono_ns = item.t_mono_ns(clock)
                utc_ahead_ns = item.anchor.t_utc_ns - item.anchor.t_mono_ns
                yield OutputRows(
                    item.sample_index(), t_mono_ns, t_mono_ns + np.int64(utc_ahead_ns),
                    values(item.codes, item.sensor_status),
                )  # fmt: skip

    def _items(self) -> Iterator[Block | Gap]:
        """Blocks and gaps in order, each sample once."""
        with self._opened() as (runs, newest, tail):
            run_id, stop = newest.head.run_id, tail.position.committed
            stream = runs.description(run_id, newest).stream
            order: LogOrder[bytes] = LogOrder(tail.position.start)
            for message in runs.log.read(runs.subject, tail.begins_at, newest.message.sequence):
                told = runs.told(message)
                if told.head.run_id != run_id or told.head.kind is not LogKind.ITEMS:
                    continue
                at = order.at
                entry = Entry(Span(told.head.first_index, told.head.stop), told.head.whole_to, message.payload)
                for step in order.came(entry):
                    if isinstance(step, Entry):
                        yield from self._decoded(step.message, stream, at, stop)
                    at = order.at if isinstance(step, Entry) else step.stop

    def _decoded(self, payload: bytes, stream: Stream, start: int, stop: int) -> Iterator[Block | Gap]:
        """What of a message is from `start` on."""
        try:
            items = decode_items(payload, len(stream.channels), stream.dtype, len(payload))
        except WireError as error:
            raise SinkError(self._address.target(), str(error), "refill it from the run's other outputs") from error
        for item in items:
            if item.span.stop <= start or item.span.start >= stop:
                continue
            if isinstance(item, Block):
                yield item.trimmed(start, stop)
            else:
                yield item.trimmed(Span(start, stop), stream.clock)

    def _marks(self, payload: bytes) -> list[Mark]:
        try:
            return decode_marks(payload)
        except WireError as error:
            raise SinkError(self._address.target(), str(error), "look at the run's other outputs") from error

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[SubjectRuns, Told, Tail]]:
        connection = BrokerConnection(self._address)
        try:
            connection.connect()
            yield self._found(connection)
        except BrokerError as error:
            kind = SinkError if error.is_final else SinkUnavailable
            raise kind(self._address.target(), error.message, error.remedy) from None
        finally:
            connection.close()

    def _found(self, connection: BrokerConnection) -> tuple[SubjectRuns, Told, Tail]:
        """The run, on whichever subject of that name it is; without an id the newest one."""
        name = "*" if self._run_name is None else token(self._run_name)
        best: tuple[SubjectRuns, Told] | None = None
        for subject in Log(connection).subjects(f"{SUBJECT_ROOT}.{name}.*"):
            runs = SubjectRuns(connection, subject)
            newest = runs.newest() if self._run_id is None else runs.newest_of(self._run_id)
            if newest is not None and (best is None or newest.message.sequence > best[1].message.sequence):
                best = runs, newest
        tail = None if best is None else best[0].tail(best[1].head.run_id)
        if best is None or tail is None:
            raise SinkError(self._address.target(), f"has no run {self._run_id or 'at all'}", _NO_RUN)
        return *best, tail
