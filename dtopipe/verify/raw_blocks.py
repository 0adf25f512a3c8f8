"""The sound samples of a raw output as blocks, with the times of their epochs: what other outputs are held against.

Damage is passed over: it is the raw file's own, and told of by whoever verifies that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.columns import tabular
from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.errors import WireError
from dtopipe.model.span import Span
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.rows.neighbours import joined
from dtopipe.wire.commit_snapshot import read_snapshot
from dtopipe.wire.dtraw import (
    ChunkHeader,
    FileHeader,
    decode_status,
    iter_sound_chunks,
    read_chunk,
    read_file_header,
    read_header_of,
)
from dtopipe.wire.dtraw_plain import PlainChunks
from dtopipe.wire.raw_files import kept_segments, segment_path

# Small blocks go on together: so many bytes of codes. Of 2**19 the columns would be fresh memory from the system each
# time, which takes three times as long.
_BATCH_BYTES = 2**18


class RawBlocks:
    """One raw output, a file or segments. Raises OSError, or WireError where none of its files has a header.

    `recorded`: the channels as the run record has them, for values that do not depend on the file's own header.
    """

    def __init__(self, path: Path, recorded: Stream | None = None) -> None:
        extra = b""
        with contextlib.suppress(WireError):
            snapshot = read_snapshot(path)
            extra = snapshot.extra if snapshot else b""
        self._files: list[tuple[Path, FileHeader]] = []
        failure: WireError | None = None
        for number in kept_segments(path, extra):
            file = segment_path(path, number)
            try:
                self._files.append((file, read_file_header(file)))
            except WireError as error:
                failure = error
        if not self._files:
            raise failure or WireError(f"{path}: none of its segments is there")
        self.stream: Stream = self._files[0][1].stream(path)
        if recorded is not None and len(recorded.channels) == len(self.stream.channels):
            self.stream = replace(self.stream, channels=recorded.channels, virtual=recorded.virtual)

    def blocks(self) -> Iterator[Block]:
        """Every whole chunk that holds samples, in the order of the file."""
        for file, header in self._files:
            yield from _sound_blocks(file, header)

    def batches(self) -> Iterator[Sequence[Block]]:
        """The same, some MB at a time at most."""
        held: list[Block] = []
        n_bytes = 0
        for block in self.blocks():
            held.append(block)
            n_bytes += block.codes.nbytes
            if n_bytes >= _BATCH_BYTES:
                yield held
                held, n_bytes = [], 0
        if held:
            yield held

    def rows(self) -> Iterator[OutputRows]:
        """The same as rows in engineering units, of all channels that `tabular` has."""
        columns = tabular(self.stream)
        for batch in self.batches():
            for each in joined(batch, _BATCH_BYTES):
                yield rows_of(columns.of(each.samples), columns.stream)


def rows_of(block: Block, stream: Stream) -> OutputRows:
    """The samples of a block of an output with this stream as a batch of rows."""
    t_mono_ns = block.t_mono_ns(stream.clock)
    return OutputRows(
        sample_index=block.sample_index(),
        t_mono_ns=t_mono_ns,
        t_utc_ns=t_mono_ns + (block.anchor.t_utc_ns - block.anchor.t_mono_ns),
        values=list(EngineeringValues(stream.channels)(block.codes, block.sensor_status)),
    )


def parts_within(block: Block, spans: Sequence[Span]) -> Iterator[Block]:
    """What of a block is in these spans, which are in order."""
    for span in spans:
        part = block.span.intersection(span)
        if part:
            yield block.trimmed(part.start, part.stop)


def _sound_blocks(path: Path, header: FileHeader) -> Iterator[Block]:
    with path.open("rb") as file:
        read_header_of(file, path)
        at = file.tell()
        plain = PlainChunks(file, header)
        try:
            while True:
                found = plain.at(at, None)
                if found is not None:
                    block, at = found
                    yield block
                    continue
                file.seek(at)
                if not file.read(1):
                    return
                chunk, codes = read_chunk(file, header, at, path)
                at = file.tell()
                if chunk.valid_samples:
                    yield _block(chunk, codes)
        except WireError:
            # From here on chunk by chunk, over what is damaged.
            for chunk, codes, begin, _ in iter_sound_chunks(path, lambda error: None):
                if begin >= at and chunk.valid_samples:
                    yield _block(chunk, codes)


def _block(chunk: ChunkHeader, codes: NDArray[Any]) -> Block:
    """A chunk without an anchor, as other programs write it, begins an epoch of its own."""
    status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)
    anchor = chunk.anchor or Anchor(chunk.first_sample_index, chunk.t_mono_ns, chunk.t_utc_ns)
    number = chunk.seq if chunk.block_index is None else chunk.block_index
    return Block(number, chunk.first_sample_index, codes, anchor, status)
