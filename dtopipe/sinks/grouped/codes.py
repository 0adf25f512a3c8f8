"""Codes in a tail: with times and status, in frames.

Frame, little-endian: header (`_HEADER`), per block (block_index, n_samples) as int64, codes channel-major, with
`_WITH_STATUS` the sensor status as int8, channel-major, and with `CHECKED` the CRC-32 of all that as uint32. A frame
holds neighbouring blocks of one anchor, without a gap between them; of a view its rows stand `Stream.every` samples
apart.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.errors import SinkError
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file.whole_part import DamagedBytes
from dtopipe.sinks.grouped.tail import CHECKED, CHECKSUM, REMEDY, TailContent, TailFile, fits, next_frame
from dtopipe.sinks.rows.neighbours import Joined, joined
from dtopipe.wire.checksum import crc32

_MAGIC = b"DTTL"
_WITH_STATUS = 1
# magic, flags, blocks, samples per channel, index of the first; the anchor's index, t_mono_ns and t_utc_ns.
_HEADER = struct.Struct("<4sIQQqqqq")
_BLOCK_BYTES = 16
_FRAME_BYTES = 4 * 2**20
# The clock's arithmetic takes some 60 bytes a sample while it lasts.
_CLOCK_SAMPLES = 2**16


class Tail(TailFile):
    """The file of frames of codes."""

    def pieces(self, items: Sequence[Block | Gap | Readings]) -> Iterator[bytes | memoryview]:
        """A frame for neighbouring blocks."""
        for batch in joined(items, _FRAME_BYTES):
            yield from _frame_pieces(batch)

    def samples(self) -> TailSamples:
        """What is in the file; a context manager."""
        return TailSamples(self.path, self._stream, self.size)


class TailSamples(TailContent):
    """The samples in a file of frames, channel by channel, so that memory holds one channel at a time.

    The file is read, not mapped: a mapped file that its writer cuts is the end of the process that looks at it.
    """

    def __init__(self, path: Path, stream: Stream, size: int, damaged: DamagedBytes | None = None) -> None:
        """Find the frames in the first `size` bytes. Raises SinkError where they are damaged, or OSError.

        With `damaged` that is told, checksums are looked at, and what is whole before and behind such a place is found.
        """
        self._path = path
        self._dtype = np.dtype(stream.dtype).newbyteorder("<")
        self._n_channels = len(stream.channels)
        self._step = stream.every
        self._file = path.open("rb", buffering=0)
        try:
            self._frames = self._found(size, damaged)
        except BaseException:
            self._file.close()
            raise

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self._frames["n_samples"].sum())

    def part(self, start: int, stop: int) -> TailPart:
        """The samples from `start` to `stop`, counted from 0 over all frames."""
        ends = np.cumsum(self._frames["n_samples"])
        begins = ends - self._frames["n_samples"]
        skipped = np.clip(start - begins, 0, None)
        taken = np.clip(stop - begins, 0, self._frames["n_samples"]) - skipped
        there = taken > 0
        return TailPart(self._read, self._dtype, self._frames[there], skipped[there], taken[there], self._step)

    def _read(self, offset: int, into: NDArray[Any]) -> None:
        self._file.seek(offset)
        view = into.data.cast("B")
        while view:
            n_bytes = self._file.readinto(view)
            if not n_bytes:
                raise SinkError(self._path, f"ends at byte {offset}, in the middle of a frame", REMEDY)
            view = view[n_bytes:]

    @property
    def stop(self) -> int | None:
        """The sample index behind the last one; None where there is none."""
        if not len(self._frames):
            return None
        return int(self._frames["first"][-1] + self._frames["n_samples"][-1] * self._step)

    def behind(self, sample_index: int) -> None:
        """Forget the frames that begin before this sample: row groups have them."""
        self._frames = self._frames[self._frames["first"] >= sample_index]

    def _found(self, size: int, damaged: DamagedBytes | None) -> NDArray[Any]:
        found = []
        at = 0
        if damaged is not None:
            size = min(size, self._file.seek(0, os.SEEK_END))
        while at < size:
            frame, end = self._frame_at(at, size)
            if frame is not None and damaged is not None and not self._fits(at, end):
                frame = None
            if frame is not None:
                found.append(frame)
            elif damaged is None:
                raise SinkError(self._path, f"is damaged at byte {at}", REMEDY)
            else:
                end = next_frame(self._file, _MAGIC, at + 1, size)
                damaged.add(at, end)
            at = end
        return np.array(found, _FRAME)

    def _frame_at(self, at: int, size: int) -> tuple[tuple[int, ...] | None, int]:
        """What stands in the header of the frame there, and its end; None where there is no frame."""
        if at + _HEADER.size > size:
            return None, size
        header = np.empty(_HEADER.size, np.uint8)
        self._read(at, header)
        magic, flags, n_blocks, n_samples, first, *anchor = _HEADER.unpack(header.data)
        blocks = at + _HEADER.size
        codes = blocks + n_blocks * _BLOCK_BYTES
        status = codes + self._n_channels * n_samples * self._dtype.itemsize
        has_status = bool(flags & _WITH_STATUS)
        end = status + has_status * self._n_channels * n_samples + bool(flags & CHECKED) * CHECKSUM.size
        if magic != _MAGIC or end > size:
            return None, size
        return (n_samples, n_blocks, first, *anchor, blocks, codes, status if has_status else -1), end

    def _fits(self, at: int, end: int) -> bool:
        frame = np.empty(end - at, np.uint8)
        self._read(at, frame)
        return fits(frame.data, _HEADER.unpack_from(frame.data)[1])


class TailPart:
    """A span of the samples in a tail, counted per channel. Raises SinkError where the file ends too early."""

    def __init__(
        self,
        read: Callable[[int, NDArray[Any]], None],
        dtype: np.dtype[Any],
        frames: NDArray[Any],
        skipped: NDArray[np.int64],
        taken: NDArray[np.int64],
        step: int = 1,
    ) -> None:
        """`skipped`, `taken`: (n_frames,) samples of each frame before and in this part.

        `step`: sample indices from one to the next, of a view.
        """
        self._step = step
        self._read = read
        self._dtype = dtype
        self._frames = frames
        self._skipped = skipped
        self._taken = taken
        self.n_samples = int(taken.sum())

    def codes(self, channel: int) -> NDArray[Any]:
        """(n_samples,) of the stream's dtype."""
        codes = np.empty(self.n_samples, self._dtype)
        firsts = channel * self._frames["n_samples"] + self._skipped
        self._gather(codes, self._frames["codes_at"] + firsts * self._dtype.itemsize)
        return codes

    def sensor_status(self, channel: int) -> NDArray[np.int8] | None:
        """(n_samples,) int8, or None where every sample is OK."""
        has_status = self._frames["status_at"] >= 0
        if not has_status.any():
            return None
        status = np.zeros(self.n_samples, np.int8)
        offsets = self._frames["status_at"] + channel * self._frames["n_samples"] + self._skipped
        self._gather(status, np.where(has_status, offsets, -1))
        return status

    def block_index(self) -> NDArray[np.int64]:
        """(n_samples,) int64: the block that each sample came in."""
        found = []
        for frame, skip, take in zip(self._frames, self._skipped.tolist(), self._taken.tolist(), strict=True):
            pairs = np.empty((int(frame["n_blocks"]), 2), "<i8")
            self._read(int(frame["blocks_at"]), pairs)
            found.append(np.repeat(pairs[:, 0], pairs[:, 1])[skip : skip + take])
        return np.concatenate([*found, np.empty(0, np.int64)])

    def sample_index(self) -> NDArray[np.int64]:
        """(n_samples,) int64."""
        return self._by_sequel(lambda first, n, _: np.arange(first, first + n * self._step, self._step))

    def t_mono_ns(self, clock: SampleClock) -> NDArray[np.int64]:
        """(n_samples,) int64."""
        return self._by_sequel(
            lambda first, n, anchor: clock.offsets_ns(first - anchor.sample_index, n, self._step) + anchor.t_mono_ns
        )

    def t_utc_ns(self, clock: SampleClock) -> NDArray[np.int64]:
        """(n_samples,) int64."""
        return self._by_sequel(
            lambda first, n, anchor: clock.offsets_ns(first - anchor.sample_index, n, self._step) + anchor.t_utc_ns
        )

    def _by_sequel(self, of: Callable[[int, int, Anchor], NDArray[np.int64]]) -> NDArray[np.int64]:
        column = np.empty(self.n_samples, np.int64)
        at = 0
        for first, n_samples, anchor in self._sequels():
            column[at : at + n_samples] = of(first, n_samples, anchor)
            at += n_samples
        return column

    def _sequels(self) -> Iterator[tuple[int, int, Anchor]]:
        """(first index, samples, anchor) of stretches without a gap, over the borders of frames."""
        firsts = self._frames["first"] + self._skipped * self._step
        anchors = self._frames[["anchor_index", "anchor_mono_ns", "anchor_utc_ns"]]
        follows = (firsts[1:] == firsts[:-1] + self._taken[:-1] * self._step) & (anchors[1:] == anchors[:-1])
        starts = np.flatnonzero(np.concatenate(([True], ~follows)))[: len(firsts)]
        lengths = np.add.reduceat(self._taken, starts) if len(firsts) else self._taken
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            for at in range(0, length, _CLOCK_SAMPLES):
                yield (
                    int(firsts[start]) + at * self._step,
                    min(_CLOCK_SAMPLES, length - at),
                    Anchor(*anchors[start].tolist()),
                )

    def _gather(self, into: NDArray[Any], offsets: NDArray[np.int64]) -> None:
        """One piece a frame from its place in the file; -1 leaves `into` as it is."""
        at = 0
        for offset, take in zip(offsets.tolist(), self._taken.tolist(), strict=True):
            if offset >= 0:
                self._read(offset, into[at : at + take])
            at += take


# Where a frame is, and what its header says; `..._at` are places in the file, -1 for "is not there".
_FRAME = np.dtype(
    [
        (name, np.int64)
        for name in (
            "n_samples", "n_blocks", "first", "anchor_index", "anchor_mono_ns", "anchor_utc_ns",
            "blocks_at", "codes_at", "status_at",
        )
    ]
)  # fmt: skip


def _frame_pieces(batch: Joined) -> Iterator[bytes | memoryview]:
    samples = batch.samples
    anchor = samples.anchor
    status = samples.sensor_status
    head = _HEADER.pack(
        _MAGIC, CHECKED | (0 if status is None else _WITH_STATUS), len(batch.block_indices), samples.n_samples,
        samples.first_sample_index, anchor.sample_index, anchor.t_mono_ns, anchor.t_utc_ns,
    ) + np.stack((batch.block_indices, batch.block_lengths), axis=1).astype("<i8").tobytes()  # fmt: skip
    pieces: list[bytes | memoryview] = [
        head,
        np.ascontiguousarray(samples.codes, samples.codes.dtype.newbyteorder("<")).data,
    ]
    if status is not None:
        pieces.append(np.ascontiguousarray(status).data)
    checksum = 0
    for piece in pieces:
        yield piece
        checksum = crc32(memoryview(piece).cast("B"), checksum)
    yield CHECKSUM.pack(checksum)
