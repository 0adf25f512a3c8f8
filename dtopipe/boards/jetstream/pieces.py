"""The items of messages, the pieces of a block put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Block, Stream, joined_status
from dtopipe.wire.link_items import decode_items
from dtopipe.wire.log_messages import LogHead


class Pieces:
    """Of one run, whose messages come in the order of their samples."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held: list[Block] = []

    def items(self, head: LogHead, payload: bytes, start: int) -> Iterator[Block | Gap]:
        """What of a message is from this sample index on, and is whole. Raises WireError."""
        stream = self._stream
        found = decode_items(payload, len(stream.channels), stream.dtype, stream.samples_per_block)
        for item in found:
            if item.span.stop <= start:
                continue
            own = _behind(item, start, stream)
            if head.piece == (1, 1) or isinstance(own, Gap):
                yield from self.rest()
                yield own
                continue
            if self._held and own.first_sample_index != self._held[-1].span.stop:
                yield from self.rest()
            self._held.append(own)
            if head.piece[0] == head.piece[1]:
                yield from self.rest()

    def rest(self) -> Iterator[Block]:
        """What is held, of a block that will not be whole."""
        held, self._held = self._held, []
        if held:
            yield joined(held)


def _behind(item: Block | Gap, start: int, stream: Stream) -> Block | Gap:
    if isinstance(item, Block):
        return item.trimmed(start)
    return item.trimmed(Span(start, item.span.stop), stream.clock)


def joined(pieces: Sequence[Block]) -> Block:
    """One block of these, which follow on each other."""
    if len(pieces) == 1:
        return pieces[0]
    codes = np.concatenate([piece.codes for piece in pieces], axis=1)
    return replace(pieces[0], codes=codes, sensor_status=joined_status(pieces))
