"""Raw codes as the board gave them: `.dt-raw` v2, a chunk a block, a gap as a chunk of its own."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import SinkError
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file_writer import FileWriter
from dtopipe.wire.dtraw import (
    OVERRUN_FLAG,
    ChunkHeader,
    FileHeader,
    encode_chunk,
    encode_file_header,
    encode_status,
    gap_chunk,
)

# seq of the next chunk; what the monotonic clock shows more than UTC, for the times of gaps
_EXTRA = struct.Struct("<Qq")
_NO_CODES = np.empty((0, 0), np.int16)


class HbufWriter(FileWriter):
    """One file, append-only, readable up to its last whole chunk at any time."""

    sink_type = "hbuf"

    def header(self, stream: Stream) -> bytes:
        """The file header. Raises SinkError for readings: a chunk has one time, and its samples a fixed rate."""
        if stream.polled:
            raise SinkError(self.path, "hbuf refuses polled readings", "use csv, jsonl, parquet, sqlite or postgres")
        return encode_file_header(FileHeader.of(stream))

    def begun(self, stream: Stream, extra: bytes) -> None:
        """Chunks are numbered through, also across restarts."""
        self._clock = stream.clock
        self._capacity = stream.samples_per_block
        self._seq, self._mono_less_utc_ns = _EXTRA.unpack(extra) if extra else (0, 0)

    def extra(self) -> bytes:
        """Where to go on."""
        return _EXTRA.pack(self._seq, self._mono_less_utc_ns)

    def encoded(self, items: Sequence[Block | Gap | Readings]) -> Iterator[bytes]:
        """A chunk each."""
        for item in items:
            if isinstance(item, Gap):
                header = gap_chunk(self._seq, item, item.t_utc_ns + self._mono_less_utc_ns)
                yield from encode_chunk(header, _NO_CODES)
                self._seq += 1
            elif isinstance(item, Block):
                yield from encode_chunk(self._chunk(item), item.codes)
                self._seq += 1

    def _chunk(self, block: Block) -> ChunkHeader:
        self._mono_less_utc_ns = block.anchor.t_mono_ns - block.anchor.t_utc_ns
        offset_ns = _offset_ns(self._clock, block)
        return ChunkHeader(
            seq=self._seq,
            first_sample_index=block.first_sample_index,
            valid_samples=block.n_samples,
            buffer_capacity=self._capacity,
            t_mono_ns=block.anchor.t_mono_ns + offset_ns,
            t_utc_ns=block.anchor.t_utc_ns + offset_ns,
            block_index=block.block_index,
            event_kind="buffer_done" if block.error is None else "buffer_done_with_flags",
            flags=() if block.error is None else (OVERRUN_FLAG,),
            sensor_status=None if block.sensor_status is None else encode_status(block.sensor_status),
            error=None if block.error is None else ": ".join(block.error),
        )


def _offset_ns(clock: SampleClock, block: Block) -> int:
    return clock.offset_ns(block.first_sample_index - block.anchor.sample_index)
