"""Raw codes as the board gave them: `.dt-raw` v2, a chunk a block, a gap as a chunk of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from dtopipe.core.retention import Complete
from dtopipe.model.clock import utc_ns
from dtopipe.model.errors import FileTooLarge, SinkError
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Cause, Gap, Span, add
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.commit_record import SUFFIX, CommitRecord
from dtopipe.sinks.file.errors import prepare, sink_errors, too_large
from dtopipe.sinks.file.writer import FileWriter, Gathered
from dtopipe.sinks.hbuf.notes import RawNotes
from dtopipe.sinks.hbuf.retention import ALL, SegmentShelf, retires
from dtopipe.sinks.hbuf.segments import JournalIndex, prepare_segments
from dtopipe.wire.dtraw import (
    OVERRUN_FLAG,
    ChunkHeader,
    FileHeader,
    encode_buffers_done,
    encode_chunk,
    encode_file_header,
    encode_status,
    gap_chunk,
    notes_chunk,
)
from dtopipe.wire.raw_files import INDEX_SUFFIX, RawState, segment_in, segment_path, segments_of

# Blocks are encoded together up to this size and number.
_WRITTEN_BYTES, _MOST_AT_ONCE = 2**20, 256
_NO_CODES = np.empty((0, 0), np.int16)


class HbufWriter(FileWriter):
    """Append-only, readable up to its last whole chunk at any time.

    `segment`: bytes after which the next file begins, at a commit; None for one file. `journal`: others read along, and
    an index beside the output helps them to find a block. `retention`: `{until: durable}` where `retire_before` may
    delete segments; `all` keeps them.
    """

    sink_type = "hbuf"
    lists_nulls = False

    def __init__(
        self, output: OutputOptions, *, segment: int | None = None, journal: bool = False,
        retention: Mapping[str, Any] | str = ALL,
    ) -> None:  # fmt: skip
        super().__init__(output)
        if segment is not None and segment < 1:
            raise SinkError(self.path, f"segment cannot be {segment} bytes", "write something like 1GiB")
        self._segment_bytes = segment
        self._index = JournalIndex(self.path) if journal else None
        self._shelf = SegmentShelf(self.path) if retires(retention, segment, self.path) else None
        self._first_segment = 0 if segment is None else 1
        self._segment = self._first_segment
        # The first that counts, once others before it were retired.
        self._first_kept = 0
        self._told_of_refusal = False
        self._notes = RawNotes()
        # They are written: nothing follows on them.
        self._has_notes = False
        # What was not triggered stays open, as one, until something follows on it or the file is closed.
        self._quiet: Gap | None = None
        # Up to where an append that failed has got; the same items come again.
        self._partly_until: int | None = None

    def header(self, stream: Stream) -> bytes:
        """The file header. Raises SinkError for readings: a chunk has one time, and its samples a fixed rate."""
        if stream.polled:
            raise SinkError(self.path, "hbuf refuses polled readings", "use csv, jsonl, parquet, sqlite or postgres")
        self._header = encode_file_header(FileHeader.of(stream))
        return self._header

    def data_path(self, extra: bytes) -> Path:
        """The segment that is written."""
        return segment_path(self.path, segment_in(extra) if extra else self._first_segment)

    def make_way(self) -> None:
        """It makes way for every segment, record and index."""
        if self._segment_bytes is None:
            prepare(self.path, self.output.on_exists, (SUFFIX, INDEX_SUFFIX))
        else:
            prepare_segments(self.path, self.output.on_exists)

    def begun(self, stream: Stream, extra: bytes) -> None:
        """Chunks are numbered through, also across restarts and segments."""
        self._clock = stream.clock
        self._capacity = stream.samples_per_block
        state = RawState.unpacked(extra) or RawState(segment=self._first_segment)
        self._seq, self._mono_less_utc_ns = state.seq, state.mono_less_utc_ns
        self._segment, self._first_kept = state.segment, state.first_segment
        if extra and self._segment_bytes is not None:
            # A predecessor that was killed in between may have begun a segment that no commit names.
            for number in segments_of(self.path):
                if number > self._segment:
                    segment_path(self.path, number).unlink(missing_ok=True)
            if self._shelf is not None:
                self._shelf.take_over(state, self._opened().position.committed)
        self._quiet = self._open_quiet(state)
        if self._index is not None:
            self._index.open(fresh=not extra)

    def extra(self) -> bytes:
        """Where to go on."""
        has_whole_file = self._first_segment == 0 and self._segment > 0
        quiet_from = None if self._quiet is None else self._quiet.span.start
        return RawState(
            self._seq, self._mono_less_utc_ns, self._segment, self._first_kept, has_whole_file, quiet_from
        ).packed()

    def _open_quiet(self, state: RawState) -> Gap | None:
        """The gap that the file says nothing of yet, as commits and what was appended behind them have it."""
        if state.quiet_from is None:
            return None
        appended = [item for item in self._pending if isinstance(item, Gap)]
        last = add(list(self._opened().gaps()), appended)[-1]
        return last.trimmed(Span(state.quiet_from, last.span.stop), self._clock)

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """As FileWriter.append; where the file may grow no further, it goes on in the next segment.

        What is too much for one segment goes into several: the first of them are committed, whatever becomes of the
        rest, and what is in them is passed over if the same items come again.
        """
        if self._partly_until is not None:
            items = [item for item in items if item.span.start >= self._partly_until]
        before = self.end
        try:
            self._append_in_segments(items)
        except BaseException:
            if self.end > before:
                self._partly_until = self.end
            raise
        self._partly_until = None

    def _append_in_segments(self, items: Sequence[Block | Gap | Readings]) -> None:
        begin = self.size
        try:
            super().append(items)
        except FileTooLarge:
            if begin > len(self._header):
                self.commit()
                self._begin_next_segment()
                self._append_in_segments(items)
            elif len(items) > 1:
                self._append_in_segments(items[: len(items) // 2])
                self._append_in_segments(items[len(items) // 2 :])
            else:
                raise
            return
        if self._index is not None:
            self._index.appended(items, self._segment, begin)

    def commit(self) -> Position:
        """Move the mark, and begin the next segment where this one is full."""
        position = super().commit()
        if self._index is not None:
            self._index.committed()
        if self._segment_bytes is not None and self.size >= self._segment_bytes and not self._has_notes:
            self._begin_next_segment()
        return position

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note; they stand behind the last sample once the file is closed."""
        self._opened()
        self._notes.note(marks, metadata)

    def close(self) -> Position:
        """Commit, write what is still open and what was noted of the run behind it, sync, close."""
        position = self.commit()
        if chunks := self._last_chunks(position.committed):
            seq, quiet = self._seq, self._quiet
            self._seq, self._quiet = seq + len(chunks), None
            try:
                self.commit_beside(b"".join(chunks), self.extra())
            except BaseException:
                self._seq, self._quiet = seq, quiet
                raise
            # Once: what follows may fail and be tried again.
            self._notes, self._has_notes = RawNotes(), True
        return super().close()

    def _last_chunks(self, end: int) -> list[bytes]:
        quiet = [] if self._quiet is None else [self._gap_header(self._seq, self._quiet)]
        headers = (*quiet, *self._note_headers(self._seq + len(quiet), end))
        return [b"".join(encode_chunk(header, _NO_CODES)) for header in headers]

    def _note_headers(self, seq: int, end: int) -> list[ChunkHeader]:
        last = self._notes.marks[max(self._notes.marks)] if self._notes.marks else None
        t_utc_ns = utc_ns(self._stream.started_at) if last is None else last.t_utc_ns
        t_mono_ns = t_utc_ns + self._mono_less_utc_ns if last is None else last.t_mono_ns
        return [
            notes_chunk(seq + number, end, document, t_mono_ns, t_utc_ns)
            for number, document in enumerate(self._notes.documents())
        ]

    def abandon(self) -> None:
        """Let go of file, index and lock."""
        super().abandon()
        if self._index is not None:
            self._index.close()

    def retire_before(self, settled: int) -> Position:
        """Delete the oldest segments that end at or before this sample index, but never the one that is written.

        That they are retired is on record, durably, before the first of them is deleted. What fails is tried again by
        the next call: nobody loses by a segment that stays.
        """
        record, shelf = self._opened(), self._shelf
        if shelf is None:
            return record.position
        last = shelf.to_go(settled)
        if last is not None and self._put_on_record(record, last):
            shelf.retire(last)
            if self._index is not None:
                self._index.retire(self._first_kept)
        shelf.delete()
        return record.position

    def carry(self, position: Position, gaps: Sequence[Gap]) -> Position:
        """As RetiringWriter.carry."""
        return self._opened().carry(position, gaps, self.extra())

    def _put_on_record(self, record: CommitRecord, last: Complete) -> bool:
        committed = RawState.unpacked(record.extra) or RawState()
        try:
            self._sync_output()
            record.retain(last.stop, replace(committed, first_segment=last.number + 1).packed())
        except SinkError as error:
            if not self._told_of_refusal:
                logging.warning("segments stay, for it cannot be put on record that they are retired: %s", error)
            self._told_of_refusal = True
            return False
        finally:
            # Even where it could not be synced, whoever reads the record finds it there.
            self._first_kept = (RawState.unpacked(record.extra) or RawState()).first_segment
        self._told_of_refusal = False
        return True

    def _begin_next_segment(self) -> None:
        self._segment += 1
        try:
            self._ensure_free(segment_path(self.path, self._segment))
            self.go_on_in(segment_path(self.path, self._segment), self._header)
        except BaseException:
            self._segment -= 1
            raise
        if self._shelf is not None:
            self._shelf.completed(self._segment - 1, self._opened().position.committed)

    def _ensure_free(self, path: Path) -> None:
        """It makes sure that the next segment's name is free. Raises FileTooLarge where another output stands."""
        if self._first_segment or not path.exists():
            return
        with sink_errors(path), path.open("rb") as file:
            if not self._header.startswith(file.read(len(self._header) + 1)):
                raise FileTooLarge(path, *too_large(self.path))

    def encoded(self, items: Sequence[Block | Gap | Readings]) -> Iterator[Gathered]:
        """A chunk each."""
        open_quiet: list[Block | Gap | Readings] = [] if self._quiet is None else [self._quiet]
        waiting = add(open_quiet, items)
        last = waiting[-1] if waiting else None
        self._quiet = last if isinstance(last, Gap) and last.cause is Cause.NOT_TRIGGERED else None
        first = next((item for item in items if isinstance(item, Block)), None)
        if first is not None and not self._mono_less_utc_ns:
            # A gap may be first, and has a time on this clock as well.
            self._mono_less_utc_ns = first.anchor.t_mono_ns - first.anchor.t_utc_ns
        for is_plain, group in groupby(waiting if self._quiet is None else waiting[:-1], key=_is_plain):
            if is_plain:
                yield from self._plain([item for item in group if isinstance(item, Block)])
                continue
            for item in group:
                if isinstance(item, Gap):
                    yield _gathered(encode_chunk(self._gap_header(self._seq, item), _NO_CODES))
                    self._seq += 1
                elif isinstance(item, Block):
                    yield self._special(item)
                    self._seq += 1

    def _gap_header(self, seq: int, gap: Gap) -> ChunkHeader:
        return gap_chunk(seq, gap, gap.t_utc_ns + self._mono_less_utc_ns)

    def _plain(self, blocks: Sequence[Block]) -> Iterator[Gathered]:
        """Some at a time, so that little waits in memory for its write."""
        at_once = min(_MOST_AT_ONCE, max(1, _WRITTEN_BYTES // max(1, blocks[0].codes.nbytes)))
        for at in range(0, len(blocks), at_once):
            part = blocks[at : at + at_once]
            yield Gathered(*encode_buffers_done(part, self._seq, self._capacity, self._clock))
            self._seq += len(part)
        anchor = blocks[-1].anchor
        self._mono_less_utc_ns = anchor.t_mono_ns - anchor.t_utc_ns

    def _special(self, block: Block) -> Gathered:
        self._mono_less_utc_ns = block.anchor.t_mono_ns - block.anchor.t_utc_ns
        offset_ns = self._clock.offset_ns(block.first_sample_index - block.anchor.sample_index)
        header = ChunkHeader(
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
            anchor=block.anchor,
            error=None if block.error is None else ": ".join(block.error),
        )
        return _gathered(encode_chunk(header, block.codes))


def _gathered(pieces: Sequence[bytes | memoryview]) -> Gathered:
    return Gathered(pieces, sum(map(len, pieces)))


def _is_plain(item: Block | Gap | Readings) -> bool:
    return isinstance(item, Block) and item.error is None and item.sensor_status is None
