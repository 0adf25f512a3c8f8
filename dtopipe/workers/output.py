"""The output of a sink worker: made as its orders say, and gone on with where a predecessor stopped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dtopipe.model.errors import SinkError, SinkUnavailable
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.splitting import Split, samples_a_part
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.file.reopening import ReopeningWriter
from dtopipe.sinks.parts.reader import parted_reader
from dtopipe.sinks.parts.writer import parted
from dtopipe.sinks.registry import load_reader, load_writer, sink_type
from dtopipe.wire.orders import SinkOrders
from dtopipe.workers.stages import Stages

# Those of one commit are what nobody may have heard of; more are told for safety, and never so many that it takes long.
_MOST_GAPS_TOLD_AGAIN = 1000


def opener(orders: SinkOrders, stages: Stages) -> ReopeningWriter:
    """The writer that the orders want, not opened yet; it tells its stages there. Raises SinkError."""
    output = replace(_output(orders), doing=stages.doing)
    writer = load_writer(orders.type)

    def make(options: OutputOptions) -> SinkWriter:
        return writer(options, **orders.options)

    if orders.split is None:
        return ReopeningWriter(lambda: make(output), output.path)
    split, kind = Split.of(orders.split), sink_type(orders.type)
    samples = partial(samples_a_part, split, kind=kind, layout=orders.layout)
    return ReopeningWriter(lambda: parted(make, output, samples), output.path)


def resumed(
    writer: ReopeningWriter, orders: SinkOrders, stream: Stream, start: int, committed: int
) -> tuple[Position, Sequence[Gap]]:
    """Go on where a predecessor of this run stopped, not before `committed`; the newest gaps there. Raises SinkError.

    May be called again after SinkUnavailable.
    """
    position = writer.open(stream, start, resume=True, committed=committed)
    try:
        is_read_back = position.gap_samples and orders.type
        return position, _newest_gaps(orders, stream) if is_read_back else ()
    except BaseException:
        writer.abandon()
        raise


def closed_as_it_is(writer: ReopeningWriter, committed: Position) -> tuple[Position, str | None]:
    """How far a detached output that is away is, and what is to be said of it; None if it is not in order."""
    writer.detach()
    try:
        return writer.close_as_committed(), writer.remark
    except SinkUnavailable as error:
        logging.warning("it cannot be closed: %s", error)
        # Such as a log that has no room to be folded into its database.
        remark = f"its output could not be closed ({error.message}): what is committed is in its files together"
        return max(committed, writer.position, key=lambda each: each.committed), f"{remark}, and repair completes it"
    except SinkError as error:
        logging.warning("it cannot be closed: %s", error)
        return committed, None


def _newest_gaps(orders: SinkOrders, stream: Stream) -> Sequence[Gap]:
    """The last of those that are committed in the output. Raises SinkUnavailable."""
    path = _output(orders).path
    options = {} if path else orders.options
    try:
        read = partial(load_reader(orders.type), run_id=stream.run_id, **options)
        is_whole = orders.split is None or path is None
        reader = read(path) if is_whole or path is None else parted_reader(read, path, stream.run_id)
        return reader.gaps()[-_MOST_GAPS_TOLD_AGAIN:]
    except SinkUnavailable:
        raise
    except SinkError as error:
        # A plug-in may have no reader: its gaps stand in its output alone.
        logging.warning("the gaps in the output are not known: %s", error)
        return ()


def _output(orders: SinkOrders) -> OutputOptions:
    path = Path(orders.path) if orders.path else None
    return OutputOptions(path=path, layout=orders.layout, on_exists=orders.on_exists)
