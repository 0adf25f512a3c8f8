"""Reads a `.dt-raw` output back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.columns import RowValues, tabular
from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.marks import Mark
from dtopipe.model.nulls import NullRange
from dtopipe.model.position import Position
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Stream
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputRows
from dtopipe.sinks.file.commit_record import read_commit_record
from dtopipe.sinks.file.reader import REFILL, FileReader
from dtopipe.sinks.file.whole_part import Front, OnDamage, further, whole_position
from dtopipe.sinks.rows.null_ranges import merged, ranges_of
from dtopipe.wire.dtraw import (
    ChunkHeader,
    FileHeader,
    decode_status,
    iter_chunk_headers,
    iter_sound_chunks,
    read_chunk,
    read_file_header,
    read_header_of,
)
from dtopipe.wire.dtraw_notes import marks_in, metadata_in, notes_at_end
from dtopipe.wire.raw_files import (
    RawState,
    absent_segments,
    kept_segments,
    segment_in,
    segment_path,
    segments_from,
    segments_of,
)

# A chunk's header, its codes, and the byte behind it.
_Chunk: TypeAlias = tuple[ChunkHeader, NDArray[Any], int]
# Small chunks are handed on together: no more than stays in memory that is known already, however many channels.
_BATCH_VALUES = 2**17
_MOST_NS = 2**63
_NOT_THERE = "this segment is not there, and nothing says that it was retired"
_RETIRED = "this segment went while it was to be read", "try again; once the run has ended nothing is retired any more"


class HbufReader(FileReader):
    """Chunks as rows in engineering units; gaps from the file's own gap chunks. Segments are read as one."""

    def size(self) -> int:
        """The size of the segment that the commit record names, else of the last; 0 where it is absent. Raises OSError.

        Raises FileNotFoundError only where no segment is there.
        """
        segments = segments_of(self.path) if self.path.parent.is_dir() else [0]
        if self.snapshot is None:
            return segment_path(self.path, segments[-1]).stat().st_size
        written = segment_path(self.path, segment_in(self.snapshot.extra))
        if not written.exists() and segments != [0]:
            return 0
        return written.stat().st_size

    def committed_rows(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """As FileReader.committed_rows; times count on from each chunk's first sample."""
        return self._rows(chunk for chunk in self._chunks(self._segments(), on_damage))

    def sound_rows(self, on_damage: OnDamage) -> Iterator[OutputRows]:
        """As FileReader.sound_rows."""
        yield from self.committed_rows(on_damage)
        yield from self.rows_behind()

    def rows_behind(self) -> Iterator[OutputRows]:
        """As FileReader.rows_behind; those of segments that no commit names yet are among them."""
        return self._rows(self._chunks_behind())

    def stream(self) -> Stream:
        """What the commit record says of the run, else the file's own header, with what was noted. Raises SinkError."""
        stream = self._file_header().stream(self.path) if self._stream is None else self._stream
        metadata = metadata_in(self._notes())
        return stream if metadata is None else replace(stream, metadata={**stream.metadata, **metadata})

    def rows_within(self, wanted: Wanted, channels: Sequence[int]) -> Iterator[OutputRows]:
        """As PartReader.rows_within."""
        for error in self._absent():
            raise error
        yield from self._rows(self._chunks_within(wanted), channels)

    def _chunks_within(self, wanted: Wanted) -> Iterator[_Chunk]:
        """The committed chunks with something that is wanted; of the others no more is read than headers."""
        clock = self.stream().clock
        for number in self._segments():
            place = segment_path(self.path, number)
            stop = self.stop if self.snapshot is not None and number == segment_in(self._extra) else None
            with self._explained(place), place.open("rb") as file:
                header = read_header_of(file, place)
                for chunk, at in iter_chunk_headers(place, wanted.start):
                    if stop is not None and at >= stop:
                        break
                    first, n_samples = chunk.first_sample_index, chunk.valid_samples
                    if n_samples and first >= wanted.stop:
                        return
                    last_ns = chunk.t_utc_ns + clock.offset_ns(max(0, n_samples - 1))
                    if n_samples and wanted.may_have(first, first + n_samples, chunk.t_utc_ns, last_ns):
                        yield *read_chunk(file, header, at, place), file.tell()

    def _rows(self, chunks: Iterable[_Chunk], chosen: Sequence[int] | None = None) -> Iterator[OutputRows]:
        """Of these chunks; `chosen` are numbers among the columns of a table of it, None for all that have codes."""
        header = self._file_header()
        stream = replace(self.stream(), channels=header.channels, virtual=header.virtual, dtype=header.dtype)
        columns = stream.channels if chosen is None else [tabular(stream).stream.channels[number] for number in chosen]
        values_of = RowValues(stream, [channel.name for channel in columns])
        clock = SampleClock(header.sample_rate_hz or 1.0)
        held: list[OutputRows] = []
        n_held = 0
        for chunk, codes, _ in chunks:
            if not chunk.valid_samples:
                continue
            status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)
            t_mono_ns, t_utc_ns = self._times_ns(clock, chunk)
            held.append(
                OutputRows(
                    sample_index=np.arange(chunk.first_sample_index, chunk.first_sample_index + chunk.valid_samples),
                    t_mono_ns=t_mono_ns,
                    t_utc_ns=t_utc_ns,
                    values=values_of(codes, status),
                )
            )
            n_held += codes.size if chosen is None else chunk.valid_samples * max(1, len(columns))
            if n_held >= _BATCH_VALUES:
                yield _joined(held)
                held, n_held = [], 0
        if held:
            yield _joined(held)

    def gaps(self) -> Sequence[Gap]:
        """What the file itself says is absent; a damaged place is not among it.

        What was absent in segments that were retired stands in the commit record.
        """
        retained_from = self.snapshot.position.retained_from if self.snapshot else 0
        before = [gap for gap in self.snapshot.gaps if gap.span.stop <= retained_from] if self.snapshot else []
        found = self._gaps_of_headers()
        if found is None:
            chunks = chain(self._chunks(self._segments(), lambda damage: None), self._chunks_behind())
            found = [chunk.gap for chunk, _, _ in chunks if chunk.gap]
        return self._with_open_quiet([*before, *found])

    def _gaps_of_headers(self) -> list[Gap] | None:
        """Those of a whole file, of which codes need not be read; None where one is open, or damaged."""
        if self.is_open or self.is_cut:
            return None
        places = [segment_path(self.path, number) for number in self._segments()]
        try:
            return [chunk.gap for place in places for chunk, _ in iter_chunk_headers(place) if chunk.gap is not None]
        except (WireError, OSError):
            return None

    def _with_open_quiet(self, gaps: list[Gap]) -> Sequence[Gap]:
        """With what was not triggered at the end, of which a file that was not closed says nothing itself."""
        state = RawState.unpacked(self._extra)
        known = self.snapshot.gaps if self.snapshot else ()
        if state is None or state.quiet_from is None or not known or (gaps and gaps[-1].span.stop > state.quiet_from):
            return gaps
        return [*gaps, known[-1].trimmed(Span(state.quiet_from, known[-1].span.stop), self.stream().clock)]

    def marks(self) -> Sequence[Mark]:
        """The marks of a run whose file was closed, by their numbers."""
        return marks_in(self._notes())

    def _notes(self) -> list[Mapping[str, Any]]:
        """What was noted of the run, as a file says that was closed; of no other anything is known."""
        segments = self._segments()
        if not segments or self.is_open:
            return []
        file = segment_path(self.path, segments[-1])
        with self._explained(file):
            return notes_at_end(file)

    def nulls(self) -> Sequence[NullRange]:
        """Where values are null though the board gave a sample, as the chunks themselves say."""
        found: list[NullRange] = []
        for chunk, _, _ in chain(self._chunks(self._segments(), lambda damage: None), self._chunks_behind()):
            if chunk.sensor_status is not None and chunk.valid_samples:
                found += ranges_of(decode_status(chunk.sensor_status), chunk.first_sample_index)
        return merged(found)

    def front(self) -> Front | None:
        """As FileReader.front: up to the end of the last whole chunk before the first damaged place."""
        damage: list[str] = []
        found = None
        state = RawState.unpacked(self._extra) or RawState()
        absent = absent_segments(self.path, self._extra)
        segments = self._all_segments()
        for number in segments:
            if (absent and number > absent[0]) or (number > segments[0] and number - 1 not in segments):
                return found
            for chunk, _, end in self._chunks([number], damage.append, to_the_end=True):
                if damage:
                    return found
                if chunk.valid_samples or chunk.gap:
                    stop = chunk.gap.span.stop if chunk.gap else chunk.first_sample_index + chunk.valid_samples
                    mono_less_utc_ns = chunk.t_mono_ns - chunk.t_utc_ns
                    here = replace(
                        state, seq=chunk.seq + 1, mono_less_utc_ns=mono_less_utc_ns, segment=number, quiet_from=None
                    )
                    found = Front(stop, end, here.packed(), segment_path(self.path, number))
        return found

    def position(self) -> Position:
        """As FileReader.position; without a commit record the file's own gaps are known all the same."""
        if self.snapshot is not None and not self.is_cut:
            return self.snapshot.position
        gaps = self.gaps()
        rows = self.sound_rows(lambda damage: None)
        if self.snapshot is not None:
            return whole_position(self.snapshot.position, rows, gaps)
        found = whole_position(None, rows, ())
        start = min([found.start, *(gap.span.start for gap in gaps)], default=0)
        stop = max([found.committed, *(gap.span.stop for gap in gaps)])
        return replace(found, start=start, committed=stop, durable=start, gap_samples=stop - start - found.samples)

    def reach(self) -> Position:
        """As FileReader.reach; gaps stand in the file as well."""
        if not self.is_open or self.is_cut:
            return self.position()
        position = self.position()
        behind = [chunk.gap for chunk, _, _ in self._chunks_behind() if chunk.gap]
        gaps = self.snapshot.gaps if self.snapshot else ()
        # What was open at the last commit is longer behind it.
        known = [gap for gap in gaps if not any(gap.span.intersection(each.span) for each in behind)]
        return (
            whole_position(position, self.sound_rows(lambda damage: None), [*known, *behind])
            if behind
            else further(position, self.rows_behind())
        )

    def batches(self) -> Iterator[OutputRows]:
        """As FileReader.batches; raised is also what is to be said of a segment that is not there."""
        for error in self._absent():
            raise error
        yield from super().batches()

    def _times_ns(self, clock: SampleClock, chunk: ChunkHeader) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of its samples, on both clocks: from the epoch's anchor, as in every output, else from its first sample."""
        if max(chunk.t_mono_ns, chunk.t_utc_ns) + clock.offset_ns(chunk.valid_samples) >= _MOST_NS:
            raise SinkError(self.path, f"chunk {chunk.seq} lasts longer than times can count", "look at its rate")
        anchor = Anchor(chunk.first_sample_index, chunk.t_mono_ns, chunk.t_utc_ns)
        if chunk.anchor is not None and clock.anchor_at(chunk.anchor, anchor.sample_index) == anchor:
            anchor = chunk.anchor
        offsets = clock.offsets_ns(chunk.first_sample_index - anchor.sample_index, chunk.valid_samples)
        return offsets + anchor.t_mono_ns, offsets + anchor.t_utc_ns

    def _segments(self) -> list[int]:
        """Those with something committed: none of an output in segments that was only begun."""
        segments = kept_segments(self.path, self._extra)
        was_committed = self.snapshot is None or RawState.unpacked(self._extra) is not None
        return segments if was_committed or segments == [0] else []

    @property
    def _extra(self) -> bytes:
        return self.snapshot.extra if self.snapshot else b""

    @property
    def _known(self) -> FileHeader | None:
        """The header that each file should have, where the stream is known."""
        return None if self._stream is None else FileHeader.of(self._stream)

    def _file_header(self) -> FileHeader:
        """The header of the first file that has a whole one, else what is known of the stream. Raises SinkError."""
        problem: SinkError | None = None
        for number in self._segments() or self._all_segments():
            try:
                with self._explained(segment_path(self.path, number)):
                    return read_file_header(segment_path(self.path, number))
            except SinkError as error:
                problem = problem or error
        if self._known is not None:
            return self._known
        raise problem or SinkError(self.path, "none of its segments is there", REFILL)

    def _absent(self) -> list[SinkError]:
        """A word for each segment that should be there: retired since this reader was opened, or taken away."""
        absent = absent_segments(self.path, self._extra)
        now = read_commit_record(self.path) if absent else None
        state = None if now is None else RawState.unpacked(now.extra)
        first = 0 if state is None else state.first_segment
        return [
            SinkError(segment_path(self.path, number), *(_RETIRED if number < first else (_NOT_THERE, REFILL)))
            for number in absent
        ]

    def _chunks(self, segments: Iterable[int], on_damage: OnDamage, *, to_the_end: bool = False) -> Iterator[_Chunk]:
        """The whole chunks of these segments, of the one that is written those that are committed, or all."""
        if not to_the_end:
            for error in self._absent():
                on_damage(f"{error.path}: {error.message}")
        for number in segments:
            file = segment_path(self.path, number)
            is_written = self.snapshot is not None and number == segment_in(self._extra)
            stop = self.stop if is_written and not to_the_end else None
            with self._explained(file):
                for chunk, codes, _, end in iter_sound_chunks(file, lambda e: on_damage(str(e)), self._known, stop):
                    yield chunk, codes, end

    def _chunks_behind(self) -> Iterator[_Chunk]:
        """The whole chunks behind the last commit."""
        if not self.is_open or self.is_cut:
            return
        written = segment_in(self._extra)
        for number in self._all_segments():
            if number >= written:
                for chunk, codes, end in self._chunks([number], lambda damage: None, to_the_end=True):
                    if number > written or end > self.stop:
                        yield chunk, codes, end

    def _all_segments(self) -> list[int]:
        """Those that count, and those that were begun behind them."""
        if self.snapshot is None:
            return segments_of(self.path)
        return segments_from(self.path, RawState.unpacked(self._extra))

    @contextlib.contextmanager
    def _explained(self, file: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            # A run in progress may retire a segment at any moment.
            raise SinkError(file, *_RETIRED) from error
        except WireError as error:
            raise SinkError(self.path, str(error), REFILL) from error


def _joined(rows: Sequence[OutputRows]) -> OutputRows:
    return OutputRows(
        sample_index=np.concatenate([row.sample_index for row in rows]),
        t_mono_ns=np.concatenate([row.t_mono_ns for row in rows]),
        t_utc_ns=np.concatenate([row.t_utc_ns for row in rows]),
        values=[np.concatenate(columns) for columns in zip(*(row.values for row in rows), strict=True)],
    )
