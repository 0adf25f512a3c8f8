"""Holds a text output, byte for byte, against what its writer makes of the raw file's samples.

Where they are the same, every value, time, unit and error word in it is as in the raw file, without one of them being
parsed: numbers are made into text several times as fast as text into numbers. Else the rows are read one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from dtopipe.model.columns import Columns
from dtopipe.model.errors import DtopipeError
from dtopipe.model.policy import Layout
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file.reader import FileReader
from dtopipe.sinks.rows.neighbours import joined as neighbours_joined
from dtopipe.sinks.text.delimited import DelimitedWriter
from dtopipe.verify.raw_blocks import RawBlocks, parts_within
from dtopipe.verify.recount import joined, without

# A channel's rows of one batch in the long layout stand within this much text, or they are read one by one.
_MOST_TEXT_BYTES = 2**26
_FIRST_PIECE_BYTES = 2**16


def matched_text(
    writer: DelimitedWriter,
    reader: FileReader,
    raw: RawBlocks,
    stream: Stream,
    span: Span,
    gaps: Sequence[Gap],
    on_rows: Callable[[int], None],
) -> list[Span] | None:
    """The samples in the output, if it is just what `writer` makes of those of `raw` in `span` outside of its gaps.

    `stream`: of the output, whose channels the raw file has. None where it is not.
    """
    columns = Columns(raw.stream, [channel.name for channel in stream.channels], as_codes=False)
    if (columns.stream.dtype, columns.stream.rate_hz) != (stream.dtype, stream.rate_hz):
        return None
    spans = without([span], [gap.span for gap in gaps])
    try:
        header = writer.begin_text(stream)
        with reader.path.open("rb") as file:
            if reader.start == 0 and file.read(len(header)) != header:
                return None
            file.seek(reader.start or len(header))
            # Of one channel the rows stand alike, however many were written at a time.
            follow = _wide if writer.output.layout is Layout.WIDE or len(stream.channels) == 1 else _long
            found: list[Span] = []
            n_rows = 0
            for part in follow(writer, file, _batches(raw, columns, spans)):
                if part is None:
                    return None
                found = joined([*found, part])
                n_rows += len(part)
                on_rows(n_rows)
            return found if file.tell() == reader.stop and found == spans else None
    except (DtopipeError, OSError):
        return None


def _batches(raw: RawBlocks, columns: Columns, spans: Sequence[Span]) -> Iterator[list[Block]]:
    at = 0
    for batch in raw.batches():
        found: list[Block] = []
        for block in batch:
            while at < len(spans) and spans[at].stop <= block.span.start:
                at += 1
            if at < len(spans) and spans[at].start < block.span.stop:
                parts = parts_within(block, [span for span in spans[at:] if span.start < block.span.stop])
                found += map(columns.of, parts)
        if found:
            yield found


def _wide(writer: DelimitedWriter, file: BinaryIO, batches: Iterator[list[Block]]) -> Iterator[Span | None]:
    for blocks in batches:
        for text in writer.encoded(blocks):
            placed = writer.placed(text, file.tell())
            if file.read(len(placed)) != placed:
                yield None
                return
        for block in blocks:
            yield block.span


def _long(writer: DelimitedWriter, file: BinaryIO, batches: Iterator[list[Block]]) -> Iterator[Span | None]:
    """As many blocks as one commit wrote at a time, each channel's rows behind the other's: the file says how many."""
    waiting: list[Block] = []
    for blocks in batches:
        waiting += blocks
        while waiting:
            n_rows = _rows_of_first_channel(writer, file)
            n_blocks = int(np.searchsorted(np.cumsum([block.n_samples for block in waiting]), n_rows)) + 1
            if n_blocks > len(waiting):
                break
            together = list(neighbours_joined(waiting[:n_blocks], 2**62))
            if n_rows <= 0 or len(together) != 1 or together[0].samples.n_samples != n_rows:
                yield None
                return
            for text in writer.long_rows(together[0]):
                placed = writer.placed(text, file.tell())
                if file.read(len(placed)) != placed:
                    yield None
                    return
            yield together[0].samples.span
            waiting = waiting[n_blocks:]
    if waiting:
        yield None


def _rows_of_first_channel(writer: DelimitedWriter, file: BinaryIO) -> int:
    """How many rows stand there until one of the second channel, which all must have; the file's place stays."""
    at = file.tell()
    begin_of_second = b"\n" + writer.channel_prefix(1)
    text = b""
    n_bytes = _FIRST_PIECE_BYTES
    while len(text) < _MOST_TEXT_BYTES and (piece := file.read(n_bytes)):
        searched = max(0, len(text) - len(begin_of_second))
        text += piece
        found = text.find(begin_of_second, searched)
        if found >= 0:
            file.seek(at)
            return text.count(b"\n", 0, found + 1)
        n_bytes = len(text)
    file.seek(at)
    return 0
