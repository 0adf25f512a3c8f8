"""The readings of a polled board: blocks of one sample in the ring, rows of typed columns in the sinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream

_NS_PER_S = 1_000_000_000


class ReadingRows:
    """What a sink takes in place of the blocks of this polled stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._values = EngineeringValues(stream.channels)

    def of(self, items: Sequence[Block | Gap]) -> Iterator[Readings | Gap]:
        """The same items, neighbouring readings as one piece."""
        for is_gap, group in groupby(items, key=lambda item: isinstance(item, Gap)):
            if is_gap:
                yield from (item for item in group if isinstance(item, Gap))
            else:
                yield self._readings([item for item in group if isinstance(item, Block)])

    def _readings(self, blocks: Sequence[Block]) -> Readings:
        stream, n = self._stream, len(blocks)
        requested = [block.anchor.t_utc_ns for block in blocks]
        latency = [block.latency_ns for block in blocks]
        nothing = [None] * n
        return Readings(
            blocks[0].first_sample_index,
            (
                [block.first_sample_index for block in blocks],
                [block.anchor.t_mono_ns for block in blocks],
                [t_utc_ns + ns // 2 for t_utc_ns, ns in zip(requested, latency, strict=True)],
                [stream.device] * n,
                [stream.task] * n,
                # When within the answer the board measured is not known.
                nothing,
                requested,
                [t_utc_ns + ns for t_utc_ns, ns in zip(requested, latency, strict=True)],
                [ns / _NS_PER_S for ns in latency],
                *self._columns(blocks),
                *([channel.unit or None] * n for channel in stream.channels),
                nothing,
                nothing,
            ),
        )

    def _columns(self, blocks: Sequence[Block]) -> Iterator[list[float | None]]:
        """The values of each channel, None where the sensor was not OK."""
        codes = np.concatenate([block.codes for block in blocks], axis=1)
        status = None
        if any(block.sensor_status is not None for block in blocks):
            of_none = np.zeros((len(self._stream.channels), 1), np.int8)
            status = np.concatenate(
                [of_none if block.sensor_status is None else block.sensor_status for block in blocks], axis=1
            )
        for values in self._values(codes, status).tolist():
            yield [None if value != value else value for value in values]
