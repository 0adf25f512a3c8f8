"""The samples of a `.dt-raw` output as a source: whole chunks only, with the times that stand in the file."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import Anchor
from dtopipe.model.columns import Columns
from dtopipe.model.derived import DerivationError
from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.file.reader import record_of
from dtopipe.supervisor.rescue import RESCUED
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import joined
from dtopipe.wire.dtraw import FileHeader, decode_status, iter_sound_chunks, read_chunk, read_file_header
from dtopipe.wire.dtraw_plain import PlainChunks
from dtopipe.wire.raw_files import RawState, segment_path, segments_from


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a chunk is: the number of its file, and the byte at which it begins."""

    span: Span
    file: int
    offset: int
    anchor: Anchor


def raw_samples_of(
    folder: RunFolder, outputs: Sequence[Output], stream: Stream, *, views: bool = False
) -> Iterator[RawSamples]:
    """The raw files of a run that can be read, and what was saved of its ring when all its processes were killed."""
    for output in outputs:
        if output.is_raw and output.path is not None:
            with contextlib.suppress(SinkError):
                yield RawSamples(output.name, output.path, output.stream, views=views)
    with contextlib.suppress(SinkError):
        yield RawSamples(RESCUED, folder.path / RESCUED, stream, views=views)


class RawSamples:
    """A raw output, a file or segments, with all that is whole in it. Damaged chunks are not in it."""

    def __init__(self, name: str, path: Path, stream: Stream, *, views: bool = False) -> None:
        """Reads all of it once. Raises SinkError if it is not there, or another run's.

        `views`: codes may lie at any byte, for who only passes them on.
        """
        self._views = views
        self.name = name
        self.stream = stream
        self._gaps: list[Gap] = []
        self._places: list[_Place] = []
        try:
            record, _ = record_of(path)
            # Also what no commit names: whole chunks behind the last one are samples as well.
            segments = segments_from(path, None if record is None else RawState.unpacked(record.extra))
            self._files = [segment_path(path, number) for number in segments]
            if not any(file.exists() for file in self._files):
                raise SinkError(path, "none of its segments is there", "refill it from another output")
            self._header = _header(self._files, FileHeader.of(stream))
            told = record.stream.run_id if record else self._header.metadata.get("run_id")
            if str(told) != stream.run_id:
                raise SinkError(path, "it belongs to another run", "look for this run's own file")
            if not _has_channels_of(self._header, stream):
                raise SinkError(path, "it has other channels than the run record says", "look for this run's own file")
            for number in range(len(self._files)):
                self._index(number)
        except (OSError, WireError) as error:
            raise SinkError(path, f"cannot be read: {error}", "refill it from another output") from error
        self._places.sort(key=lambda place: place.span)

    def spans(self) -> list[Span]:
        """What is in it."""
        return joined(place.span for place in self._places)

    def gaps(self) -> Sequence[Gap]:
        """What it says is absent."""
        return self._gaps

    def anchor_near(self, sample_index: int) -> Anchor | None:
        """The anchor of the chunk at or before this sample, or of the first one."""
        if not self._places:
            return None
        at = bisect.bisect_right(self._places, sample_index, key=lambda place: place.span.start)
        return self._places[max(0, at - 1)].anchor

    def gives(self, stream: Stream, *, as_codes: bool) -> bool:
        """As SampleSource.gives."""
        try:
            self._columns(stream, as_codes=as_codes)
        except (KeyError, DerivationError):
            return False
        return True

    def items(self, span: Span, stream: Stream, *, as_codes: bool) -> Iterator[Block]:
        """Its blocks within `span`, as an output with this stream has them. Raises SinkError."""
        columns = self._columns(stream, as_codes=as_codes)
        with ExitStack() as opened:
            files: dict[int, tuple[IO[bytes], PlainChunks]] = {}
            at = span.start
            first = bisect.bisect_right(self._places, span.start, key=lambda place: place.span.stop)
            for place in self._places[first:]:
                if place.span.start >= span.stop:
                    break
                if place.span.stop <= at:
                    continue
                if place.file not in files:
                    file = opened.enter_context(self._files[place.file].open("rb"))
                    files[place.file] = file, PlainChunks(file, self._header, views=self._views)
                block = self._block(place, *files[place.file]).trimmed(at, span.stop)
                at = block.span.stop
                yield columns.of(block)

    def release(self) -> None:
        """Nothing is open between two spans."""

    def _columns(self, stream: Stream, *, as_codes: bool) -> Columns:
        return Columns(self.stream, [channel.name for channel in stream.channels], as_codes=as_codes)

    def _index(self, number: int) -> None:
        for chunk, _, begin, _ in iter_sound_chunks(self._files[number], lambda error: None, self._header):
            if chunk.gap:
                self._gaps.append(chunk.gap)
            elif chunk.valid_samples:
                first = chunk.first_sample_index
                anchor = chunk.anchor or Anchor(first, chunk.t_mono_ns, chunk.t_utc_ns)
                self._places.append(_Place(Span(first, first + chunk.valid_samples), number, begin, anchor))

    def _block(self, place: _Place, file: IO[bytes], plain: PlainChunks) -> Block:
        path = self._files[place.file]
        try:
            found = plain.at(place.offset, None)
            if found is not None:
                return found[0]
            chunk, codes = read_chunk(file, self._header, place.offset, path)
        except (OSError, WireError) as error:
            raise SinkError(path, f"cannot be read any more: {error}", "call repair again") from error
        status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)
        number = chunk.block_index if chunk.block_index is not None else chunk.seq
        return Block(number, place.span.start, codes, place.anchor, status)


def _has_channels_of(header: FileHeader, stream: Stream) -> bool:
    names = [channel.name for channel in stream.channels]
    return [channel.name for channel in header.channels] == names and header.dtype == stream.dtype


def _header(files: Sequence[Path], known: FileHeader) -> FileHeader:
    """The header of the first file that has a whole one; what the run recorded, where none has."""
    for file in files:
        with contextlib.suppress(WireError, FileNotFoundError):
            return read_file_header(file)
    return known
