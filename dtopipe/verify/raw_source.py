"""Blocks and gaps of a run, read back from its raw file: where `convert` takes samples from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.errors import UsageError, WireError
from dtopipe.model.marks import Mark
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.wire.commit_snapshot import CommitSnapshot, read_snapshot
from dtopipe.wire.dtraw import ChunkHeader, decode_status, iter_chunks, read_file_header
from dtopipe.wire.dtraw_notes import marks_in, metadata_in, notes_at_end
from dtopipe.wire.raw_files import kept_segments, segment_path


class RawSource:
    """One `.dt-raw` output, a file or segments, as a stream with the recording's own times, from sample `start` on."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError if the file is not there or not a `.dt-raw` file."""
        self.path = path
        try:
            snapshot = _snapshot(path)
            extra = snapshot.extra if snapshot else b""
            self._files = [segment_path(path, number) for number in kept_segments(path, extra)]
            self._header = read_file_header(self._files[0])
            # What was retired is no gap: the run had it.
            self.start = snapshot.position.retained_from if snapshot else 0
        except WireError as error:
            why = str(error).removeprefix(f"{path}: ")
            raise UsageError(f"{path} is no .dt-raw file: {why}", "name a run, or a .dt-raw file") from error
        except (OSError, IndexError) as error:
            why = getattr(error, "strerror", None) or "none of its segments is there"
            raise UsageError(f"{path} cannot be read: {why}", "name a run, or a .dt-raw file") from error

    @property
    def stream(self) -> Stream:
        """What the file says of itself."""
        return self._header.stream(self.path)

    def items(self) -> Iterator[Block | Gap]:
        """Blocks in order, every hole announced as a gap.

        Raises WireError where the file is damaged, UsageError where a run in progress has retired it meanwhile.
        """
        clock = self.stream.clock
        anchor: Anchor | None = None
        at = self.start
        for number, (chunk, codes) in enumerate(chain.from_iterable(map(_chunks, self._files))):
            if chunk.notes is not None:
                continue
            anchor = chunk.anchor or _anchor_at(chunk, anchor, clock)
            start = chunk.gap.span.start if chunk.gap else chunk.first_sample_index
            if start > at:
                yield _gap(Span(at, start), Cause.BOARD_OVERRUN, anchor, clock)
            if chunk.gap:
                yield chunk.gap
                at = chunk.gap.span.stop
            elif chunk.valid_samples:
                status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)
                index = number if chunk.block_index is None else chunk.block_index
                yield Block(index, start, codes, anchor, status)
                at = start + chunk.valid_samples

    def marks(self) -> Sequence[Mark]:
        """The marks of the run, as its end has them. Raises OSError."""
        return marks_in(notes_at_end(self._files[-1]))

    def metadata(self) -> Mapping[str, Any] | None:
        """The metadata of the run where they were changed. Raises OSError."""
        return metadata_in(notes_at_end(self._files[-1]))


def _chunks(file: Path) -> Iterator[tuple[ChunkHeader, NDArray[Any]]]:
    try:
        yield from iter_chunks(file)
    except FileNotFoundError as error:
        raise UsageError(f"{file} went while it was to be read", "try again once the run has ended") from error


def _snapshot(path: Path) -> CommitSnapshot | None:
    """What the commit record beside it says; None where there is none, or it is damaged."""
    try:
        return read_snapshot(path)
    except (OSError, WireError):
        return None


def _anchor_at(chunk: ChunkHeader, anchor: Anchor | None, clock: SampleClock) -> Anchor:
    """The anchor of the chunk's epoch: the one so far, as long as it gives the chunk's time, else the chunk itself.

    An epoch begins at its anchor, so that the times of all samples come out as they were, to the nanosecond.
    """
    first = chunk.gap.span.start if chunk.gap else chunk.first_sample_index
    if anchor is None:
        back_ns = clock.offset_ns(first)
        return Anchor(0, chunk.t_mono_ns - back_ns, chunk.t_utc_ns - back_ns)
    offset_ns = clock.offset_ns(first - anchor.sample_index)
    # A recording of another program has times that were read, not counted: one of its periods is close enough.
    if chunk.gap or abs(anchor.t_mono_ns + offset_ns - chunk.t_mono_ns) <= clock.offset_ns(1):
        return anchor
    return Anchor(first, chunk.t_mono_ns, chunk.t_utc_ns)


def _gap(span: Span, cause: Cause, anchor: Anchor, clock: SampleClock) -> Gap:
    return Gap(span, cause, anchor.t_utc_ns + clock.offset_ns(span.start - anchor.sample_index))
