"""What the ring still holds when every process of a run was killed: kept as a raw file, for `repair`."""

from __future__ import annotations

from dtopipe.core.gaps import explained
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.policy import OnExists, Policy
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import RAW, load_writer

RESCUED = "rescued.dt-raw"
_BLOCKS_AT_ONCE = 256


def rescue(ring: Ring, stream: Stream, folder: RunFolder, committed: int) -> None:
    """Write the blocks behind `committed` that are still in the ring to a file in the run folder.

    Nobody else uses the ring any more. Readings are not rescued: a raw file cannot hold them. Raises RingError,
    SinkError.
    """
    head = ring.status().head
    if stream.polled or ring.end()[0] <= committed or head == 0:
        return
    reader = RingReader(ring, SubscriberTable(ring).open_at_head(Policy.DROP_OLDEST))
    reader.skip_to(max(0, head - ring.layout.n_slots + 1), 0)
    writer = load_writer(RAW)(OutputOptions(folder.path / RESCUED, on_exists=OnExists.OVERWRITE))
    at: int | None = None
    try:
        while blocks := reader.take(_BLOCKS_AT_ONCE):
            items: list[Block | Gap] = []
            for block in blocks:
                if block.span.stop <= committed:
                    continue
                if at is None:
                    at = block.span.start
                    writer.open(stream, at, resume=False)
                items += _gaps(ring, stream, Span(at, block.span.start), block)
                items.append(block)
                at = block.span.stop
            if items:
                writer.append(items)
                writer.commit()
        if at is not None:
            writer.close()
    finally:
        writer.abandon()


def _gaps(ring: Ring, stream: Stream, absent: Span, block: Block) -> list[Gap]:
    anchor, clock = block.anchor, stream.clock
    return explained(
        absent,
        ring.board_gaps(),
        Cause.WORKER_FAILED,
        lambda index: anchor.t_utc_ns + clock.offset_ns(index - anchor.sample_index),
    )
