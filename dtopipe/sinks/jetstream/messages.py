"""Blocks and gaps of a run become messages: small ones together, large ones in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dtopipe.broker.publishing import Outgoing
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.wire.link_items import encode_items
from dtopipe.wire.log_messages import MESSAGE_ID, LogHead, LogKind, message_id

# Of a block or gap, besides its codes: section 8 of PROTOCOL.md.
_ITEM_BYTES = 64
# Of the headers of a message, with a run's id twice.
HEADER_BYTES = 1024
# Large enough that a message costs little, small enough that many are on their way.
_USUAL_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Batch:
    """Items of one message; `piece`: (k, n) of the k-th of n that hold one block."""

    items: Sequence[Block | Gap]
    piece: tuple[int, int] = (1, 1)


def most_bytes(most_payload: int, most_message_bytes: int | None) -> int:
    """How much goes into a message, of a server and a stream with these limits; may be less than nothing."""
    limit = most_payload if most_message_bytes is None else min(most_payload, most_message_bytes)
    return min(_USUAL_BYTES, limit - HEADER_BYTES)


def least_bytes(stream: Stream, item_bytes: int) -> int:
    """What the smallest message takes: one sample of every channel, with the sensors' status."""
    return _ITEM_BYTES + len(stream.channels) * (item_bytes + 1)


def batches(items: Sequence[Block | Gap], limit: int) -> Iterator[Batch]:
    """These items in messages of at most so many bytes, in order; a block that was an error holds no sample."""
    waiting: list[Block | Gap] = []
    n_bytes = 0
    for item in items:
        if isinstance(item, Block) and item.error is not None:
            continue
        size = _size(item)
        if waiting and n_bytes + size > limit:
            yield Batch(waiting)
            waiting, n_bytes = [], 0
        if size > limit and isinstance(item, Block):
            yield from _pieces(item, size, limit)
            continue
        waiting.append(item)
        n_bytes += size
    if waiting:
        yield Batch(waiting)


def outgoing(found: Batch, head: LogHead, position: Position, subject: str) -> tuple[Outgoing, Position]:
    """The message of a batch behind that position, and how far the run is with it; all else is as in `head`."""
    position = position.after(found.items)
    own = LogHead(
        LogKind.ITEMS, head.run_id, found.items[0].span.start, position,
        head.begins_at, head.told_at, head.whole_at, head.whole_to, found.piece,
    )  # fmt: skip
    headers = {MESSAGE_ID: message_id(head.run_id, subject, found.items), **own.headers()}
    return Outgoing(headers, encode_items(found.items)), position


def _size(item: Block | Gap) -> int:
    if isinstance(item, Gap):
        return _ITEM_BYTES
    return _ITEM_BYTES + item.codes.nbytes + (0 if item.sensor_status is None else item.sensor_status.nbytes)


def _pieces(block: Block, size: int, limit: int) -> Iterator[Batch]:
    """About equal pieces, each with all channels over a part of the samples."""
    of_a_sample = (size - _ITEM_BYTES) / block.n_samples
    most = max(1, int((limit - _ITEM_BYTES) / of_a_sample))
    n = -(-block.n_samples // most)
    for k in range(n):
        start, stop = (block.first_sample_index + block.n_samples * at // n for at in (k, k + 1))
        yield Batch([block.trimmed(start, stop)], (k + 1, n))
