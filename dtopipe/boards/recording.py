"""A `.dt-raw` file as a timeline: what it has from which sample on, and what is absent."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.boards.timeline import Piece
from dtopipe.model.errors import WireError
from dtopipe.model.span import Cause, Span
from dtopipe.wire.dtraw import OVERRUN_FLAG, decode_status, iter_chunk_headers, read_chunk, read_file_header

_HOLE = -1


class Recording:
    """One file, read once for an index: indices count from its first sample, or from the gap that it begins with.

    A jump of the file's sample index is a hole; an index that does not move on, as some writers have it, is taken
    for the one behind the chunk before. `damage` says where the file is cut or spoilt: what is whole before counts.
    """

    def __init__(self, path: Path, *, loop: bool) -> None:
        self.path = path
        self.header = read_file_header(path)
        self.damage: str | None = None
        self.overruns_of_unknown_length = 0
        self.first_sample_index = 0
        self.samples_per_block = 0
        self._loop = loop
        self._starts = array("q")
        self._stops = array("q")
        self._offsets = array("q")
        self._causes: dict[int, Cause] = {}
        self._file: IO[bytes] | None = None
        try:
            self._index_chunks()
        except WireError as error:
            self.damage = str(error)

    @property
    def n_samples(self) -> int:
        """Samples per channel, holes included, played once."""
        return self._stops[-1] if self._stops else 0

    @property
    def end(self) -> int | None:
        """Where it ends; None if it is played for ever."""
        return None if self._loop else self.n_samples

    def piece_at(self, index: int) -> Piece | None:
        """What is there from `index` on, to the end of a chunk or a hole; None behind the last."""
        round_, within = divmod(index, self.n_samples)
        if round_ and not self._loop:
            return None
        number = bisect_right(self._starts, within) - 1
        return Piece(Span(index, round_ * self.n_samples + self._stops[number]), self._causes.get(number))

    def read(self, span: Span) -> tuple[NDArray[Any], NDArray[np.int8] | None]:
        """Codes (n_channels, n) as they are in the file, and sensor status, of a span within one chunk.

        Raises WireError if they are not what was written, OSError if the file cannot be read.
        """
        within = span.start % self.n_samples
        number = bisect_right(self._starts, within) - 1
        if self._file is None:
            self._file = self.path.open("rb")
        chunk, codes = read_chunk(self._file, self.header, self._offsets[number], self.path)
        low = within - self._starts[number]
        part = slice(low, low + len(span))
        status = None if chunk.sensor_status is None else decode_status(chunk.sensor_status)[:, part]
        return codes[:, part], status

    def close(self) -> None:
        """Close the file; harmless twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _index_chunks(self) -> None:
        for chunk, offset in iter_chunk_headers(self.path):
            if chunk.gap is not None:
                self._begin_at(chunk.gap.span.start)
                self._append_hole(chunk.gap.span.stop - self.first_sample_index, chunk.gap.cause)
                continue
            # Other programs flag an overrun, whose length they do not know, on a chunk with samples or without.
            self.overruns_of_unknown_length += OVERRUN_FLAG in chunk.flags
            if chunk.valid_samples:
                self._begin_at(chunk.first_sample_index)
                self._append_hole(chunk.first_sample_index - self.first_sample_index, Cause.BOARD_OVERRUN)
                self._append(self.n_samples + chunk.valid_samples, offset)
                self.samples_per_block = max(self.samples_per_block, chunk.valid_samples)

    def _begin_at(self, index: int) -> None:
        if not self._stops:
            self.first_sample_index = index

    def _append_hole(self, stop: int, cause: Cause) -> None:
        if stop > self.n_samples:
            self._causes[len(self._starts)] = cause
            self._append(stop, _HOLE)

    def _append(self, stop: int, offset: int) -> None:
        self._starts.append(self.n_samples)
        self._stops.append(stop)
        self._offsets.append(offset)
