"""Reads a `.dt-raw` output back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.sinks.base import OutputRows
from dtopipe.sinks.commit_record import read_commit_record
from dtopipe.sinks.file_reader import FileReader
from dtopipe.sinks.values import engineering_values
from dtopipe.wire.dtraw import ChunkHeader, decode_status, iter_placed_chunks, iter_sound_chunks, read_file_header
from dtopipe.wire.raw_files import RawState, absent_segments, kept_segments, segment_in, segment_path, segments_of

# Small chunks are handed on together.
_BATCH_SAMPLES = 2**16
_MOST_NS = 2**63
_NOT_THERE = "this segment is not there, and nothing says that it was retired"
_REFILL = "refill it from another output"
_RETIRED = "this segment went while it was to be read", "try again; once the run has ended nothing is retired any more"


class HbufReader(FileReader):
    """Chunks as rows in engineering units; gaps from the file's own gap chunks. Segments are read as one."""

    def data_path(self, path: Path) -> Path:
        """The segment that the commit record tells the length of, else the last one. Raises SinkError."""
        if self.snapshot is None:
            return segment_path(path, segments_of(path)[-1] if path.parent.is_dir() else 0)
        last = segment_path(path, segment_in(self.snapshot.extra))
        if last != path and not last.exists():
            raise SinkError(last, _NOT_THERE, _REFILL)
        return last

    def gaps(self) -> Sequence[Gap]:
        """What the file itself says is absent; a damaged place is not among it.

        What was absent in segments that were retired stands in the commit record.
        """
        retained_from = self._position_if_known().retained_from
        before = [gap for gap in self.snapshot.gaps if gap.span.stop <= retained_from] if self.snapshot else []
        return [*before, *(chunk.gap for chunk, _ in self._sound_chunks(lambda error: None) if chunk.gap)]

    def batches(self) -> Iterator[OutputRows]:
        """Rows in the order of the file; times count on from each chunk's first sample."""
        yield from self._rows((chunk, codes) for chunk, codes, _ in self._chunks())

    def sound_batches(self, on_damage: Callable[[str], None]) -> Iterator[OutputRows]:
        """The rows of whole chunks; `on_damage` is told of each place that is passed over."""
        yield from self._rows(self._sound_chunks(lambda error: on_damage(str(error))))

    def _rows(self, chunks: Iterable[tuple[ChunkHeader, NDArray[Any]]]) -> Iterator[OutputRows]:
        first = self._files()[0]
        with self._explained(first):
            header = read_file_header(first)
        clock = SampleClock(header.sample_rate_hz or 1.0)
        held: list[OutputRows] = []
        n_held = 0
        for chunk, codes in chunks:
            if not chunk.valid_samples:
                continue
            status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)
            offsets = self._offsets_ns(clock, chunk)
            held.append(
                OutputRows(
                    sample_index=np.arange(chunk.first_sample_index, chunk.first_sample_index + chunk.valid_samples),
                    t_mono_ns=offsets + chunk.t_mono_ns,
                    t_utc_ns=offsets + chunk.t_utc_ns,
                    values=[
                        engineering_values(channel, codes[c], None if status is None else status[c])
                        for c, channel in enumerate(header.channels)
                    ],
                )
            )
            n_held += chunk.valid_samples
            if n_held >= _BATCH_SAMPLES:
                yield _joined(held)
                held, n_held = [], 0
        if held:
            yield _joined(held)

    def _offsets_ns(self, clock: SampleClock, chunk: ChunkHeader) -> NDArray[np.int64]:
        if max(chunk.t_mono_ns, chunk.t_utc_ns) + clock.offset_ns(chunk.valid_samples) >= _MOST_NS:
            raise SinkError(self.path, f"chunk {chunk.seq} lasts longer than times can count", "look at its rate")
        return clock.offsets_ns(0, chunk.valid_samples)

    def _position_if_known(self) -> Position:
        return self.snapshot.position if self.snapshot else Position()

    def _files(self) -> list[Path]:
        return [segment_path(self.path, number) for number in kept_segments(self.path, self._extra)]

    @property
    def _extra(self) -> bytes:
        return self.snapshot.extra if self.snapshot else b""

    def _absent(self) -> list[SinkError]:
        """A word for each segment that should be there: retired since this reader was opened, or taken away."""
        absent = absent_segments(self.path, self._extra)
        now = read_commit_record(self.path) if absent else None
        state = None if now is None else RawState.unpacked(now.extra)
        first = 0 if state is None else state.first_segment
        return [
            SinkError(segment_path(self.path, number), *(_RETIRED if number < first else (_NOT_THERE, _REFILL)))
            for number in absent
        ]

    def _sound_chunks(self, on_damage: Callable[[WireError], None]) -> Iterator[tuple[ChunkHeader, NDArray[Any]]]:
        for error in self._absent():
            on_damage(WireError(f"{error.path}: {error.message}"))
        last = self.data_path(self.path)
        for file in self._files():
            with self._explained(file):
                for chunk, codes, _, end in iter_sound_chunks(file, on_damage):
                    if file == last and end > self.stop:
                        return
                    yield chunk, codes

    def _chunks(self) -> Iterator[tuple[ChunkHeader, NDArray[Any], int]]:
        for error in self._absent():
            raise error
        last = self.data_path(self.path)
        for file in self._files():
            with self._explained(file):
                for chunk, codes, end in iter_placed_chunks(file):
                    if file == last and end > self.stop:
                        return
                    yield chunk, codes, end

    @contextlib.contextmanager
    def _explained(self, file: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            # A run in progress may retire a segment at any moment.
            raise SinkError(file, *_RETIRED) from error
        except WireError as error:
            raise SinkError(self.path, str(error), _REFILL) from error


def _joined(rows: Sequence[OutputRows]) -> OutputRows:
    return OutputRows(
        sample_index=np.concatenate([row.sample_index for row in rows]),
        t_mono_ns=np.concatenate([row.t_mono_ns for row in rows]),
        t_utc_ns=np.concatenate([row.t_utc_ns for row in rows]),
        values=[np.concatenate(columns) for columns in zip(*(row.values for row in rows), strict=True)],
    )
