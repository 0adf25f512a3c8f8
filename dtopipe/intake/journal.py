"""Reads a journal along while it is written: blocks by their number in the ring, never past what is committed."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from dtopipe.host.disappearance import Disappearance, disappearance_of
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.wire.commit_snapshot import read_snapshot, record_path
from dtopipe.wire.dtraw import ChunkHeader, FileHeader, decode_status, next_chunk, read_header_of
from dtopipe.wire.dtraw_plain import PlainChunks
from dtopipe.wire.raw_files import kept_segments, read_index, segment_in, segment_path, segments_of

_log = logging.getLogger("dtopipe.intake")


class JournalReader:
    """Blocks of one journal from any number on, in order. `path`: the output's, whether it has segments or not.

    A chunk that is damaged is passed over, counted in `damaged`, and shows as a hole in the sample indices; so is a
    segment whose header is.
    Raises OSError when the disk does, FileNotFoundError while the journal is not where it was.
    """

    def __init__(self, path: Path, *, views: bool = False) -> None:
        """`views`: codes may lie at any byte: for who only passes them on."""
        self._path = path
        self._views = views
        self._segment = -1
        self._at = 0
        self._next = -1
        self._file: IO[bytes] | None = None
        self._header: FileHeader | None = None
        self._plain: PlainChunks | None = None
        self._first = 0
        self._committed = (-1, 0)
        self._device: int | None = None
        self._unreadable: set[int] = set()
        self._extra = b""
        self.damaged = 0
        self.gaps: list[Gap] = []

    def take(self, number: int, most: int) -> list[Block]:
        """It gives up to `most` committed blocks from `number` on; empty where there is none yet."""
        if self._file is None or number != self._next:
            self._seek(number)
        blocks: list[Block] = []
        while len(blocks) < most:
            block = self._next_block(number)
            if block is None:
                break
            blocks.append(block)
            number = block.block_index + 1
        self._next = number
        return blocks

    def is_deleted(self) -> bool:
        """True if a file that is not there was taken out of its folder; False while its disk or folder is away."""
        try:
            return disappearance_of(self._path, self._device) is Disappearance.DELETED
        except OSError:
            return False

    def number_before(self, sample_index: int) -> int:
        """Number of an indexed block that begins at or before this sample; 0 where the index knows none."""
        self._look()
        index = read_index(self._path)
        low, high = 0, len(index)
        while low < high:
            middle = (low + high) // 2
            entry = index[middle]
            place = int(entry["segment"]), int(entry["offset"])
            first = self._first_sample_at(*place, int(entry["number"])) if place < self._committed else None
            # A place that is retired is before every other, one that is not committed yet behind.
            if first is None and place < self._committed:
                low = middle + 1
            elif first is None or first > sample_index:
                high = middle
            else:
                low = middle + 1
        return int(index[low - 1]["number"]) if low else 0

    def close(self) -> None:
        """Close the file. Harmless twice."""
        if self._file is not None:
            self._file.close()
            self._file = self._plain = None

    def _next_block(self, number: int) -> Block | None:
        """The next committed block that is not before `number`."""
        while self._readable():
            plain = self._next_plain()
            if plain is not None:
                if plain.block_index >= number:
                    return plain
                continue
            chunk_at = self._at
            try:
                read = next_chunk(self._open_file, self._open_header, self._path)
            except WireError as error:
                self._pass_over(chunk_at, error)
                continue
            if read is None:
                # Committed, and not in the file that is open: it is another one by now, and is looked for anew.
                self.close()
                return None
            chunk, codes = read
            self._at = self._open_file.tell()
            if chunk.gap is not None:
                self.gaps.append(chunk.gap)
            if chunk.gap is None and chunk.block_index is not None and chunk.block_index >= number:
                status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)
                return Block(chunk.block_index, chunk.first_sample_index, codes, _anchor(chunk), status)
        return None

    def _next_plain(self) -> Block | None:
        """The block where we are, if it is one as nearly all are; else the file stands there, and is to be parsed."""
        if self._plain is None:
            return None
        stop = self._committed[1] if self._segment == self._committed[0] else None
        found = self._plain.at(self._at, stop)
        if found is None:
            self._open_file.seek(self._at)
            return None
        block, self._at = found
        return block

    def _readable(self) -> bool:
        """True if a committed chunk begins where we are; moves on to the next segment at the end of one."""
        if self._file is None:
            return False
        if (self._segment, self._at) >= self._committed:
            self._look()
        if self._segment < self._committed[0] and self._at >= os.fstat(self._file.fileno()).st_size:
            behind = [number for number in segments_of(self._path) if self._segment < number <= self._committed[0]]
            if not self._open_first(behind):
                return False
        return (self._segment, self._at) < self._committed

    def _look(self) -> None:
        """What the commit record says now; nothing new where it is torn by being written at this moment.

        Raises FileNotFoundError where there is none: what is read on in an open file would not be the journal's.
        """
        snapshot = None
        with contextlib.suppress(WireError):
            snapshot = read_snapshot(self._path)
        if snapshot is not None:
            self._extra = snapshot.extra
            self._committed = (segment_in(snapshot.extra), snapshot.data_bytes)
        else:
            record_path(self._path).stat()

    def _seek(self, number: int) -> None:
        """To a chunk at or before the block of this number."""
        self._look()
        if self._committed[0] < 0:
            return
        index = read_index(self._path)
        places = index[index["number"] <= number]
        for entry in reversed(places[-2:]):
            segment, offset = int(entry["segment"]), int(entry["offset"])
            if (segment, offset) < self._committed and self._begins_at(segment, offset, int(entry["number"])):
                return
        self._open_first(kept_segments(self._path, self._extra))

    def _begins_at(self, segment: int, offset: int, number: int) -> bool:
        """True, and there, if the block of this number really begins at that byte. Raises OSError as the disk does."""
        try:
            self._open(segment)
            self._open_file.seek(offset)
            read = next_chunk(self._open_file, self._open_header, self._path)
        except (FileNotFoundError, WireError):
            # It is retired, or damaged.
            return False
        self._at = self._open_file.seek(offset)
        return read is not None and read[0].block_index == number

    def _first_sample_at(self, segment: int, offset: int, number: int) -> int | None:
        """First sample index of the chunk there; None if it cannot be read."""
        if not self._begins_at(segment, offset, number):
            return None
        read = next_chunk(self._open_file, self._open_header, self._path)
        return None if read is None else read[0].first_sample_index

    def _pass_over(self, damaged_at: int, error: WireError) -> None:
        """Go on at the next place that the index knows, or at the next segment."""
        _log.warning("the journal is damaged, and read on behind it: %s", error)
        self.damaged += 1
        for segment, offset, number in self._places_behind(damaged_at):
            if self._begins_at(segment, offset, number):
                return
        # Nothing is there of a disk that is away, which is no damage.
        record_path(self._path).stat()
        following = [segment for segment in segments_of(self._path) if segment > self._segment]
        if not self._open_first(following) and not following:
            self._at = self._committed[1]

    def _places_behind(self, at: int) -> Iterator[tuple[int, int, int]]:
        index = read_index(self._path)
        behind = (index["segment"] > self._segment) | ((index["segment"] == self._segment) & (index["offset"] > at))
        for entry in index[behind]:
            place = int(entry["segment"]), int(entry["offset"])
            if place < self._committed:
                yield *place, int(entry["number"])

    def _open_first(self, segments: Sequence[int]) -> bool:
        """Open the first of these whose header can be read; False, and none is open, where there is none."""
        if not segments:
            return False
        for segment in segments:
            try:
                self._open(segment)
            except WireError as error:
                if segment not in self._unreadable:
                    self._unreadable.add(segment)
                    self.damaged += 1
                    _log.warning("a segment of the journal is damaged, and read on behind it: %s", error)
            else:
                return True
        return False

    def _open(self, segment: int) -> None:
        if segment != self._segment or self._file is None:
            self.close()
            file = segment_path(self._path, segment).open("rb")
            try:
                self._device = os.fstat(file.fileno()).st_dev
                self._header = read_header_of(file, self._path)
            except BaseException:
                file.close()
                raise
            self._file, self._segment = file, segment
            self._first = file.tell()
            self._plain = PlainChunks(file, self._header, views=self._views)
        self._at = self._open_file.seek(self._first)

    @property
    def _open_file(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError("the journal is not open")
        return self._file

    @property
    def _open_header(self) -> FileHeader:
        if self._header is None:
            raise ValueError("the journal is not open")
        return self._header


def _anchor(chunk: ChunkHeader) -> Anchor:
    return chunk.anchor or Anchor(chunk.first_sample_index, chunk.t_mono_ns, chunk.t_utc_ns)
