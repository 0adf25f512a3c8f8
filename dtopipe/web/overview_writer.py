"""Makes an overview of rows that come in batches, in whatever order they stand; what it holds does not grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Gap, Span
from dtopipe.sinks.contract import OutputRows
from dtopipe.web.overview import GAP, HIGH, LOW, NULLS, Level, head_of, nothing

# Bins that are in memory at once.
_FEW = 4096


class OverviewWriter:
    """Writes into `file`, which is empty and can be read too; the whole is there after `finish`."""

    def __init__(
        self, file: BinaryIO, about: Mapping[str, Any], span: Span, every: int, n_channels: int, gaps: Sequence[Gap]
    ) -> None:
        head, self.layout = head_of(about, span, every, len(gaps), n_channels)
        self._file = file
        self._gaps = gaps
        self._bin_bytes = n_channels * 3 * 8
        # Bins of the finest level that were written, from its first one on.
        self._n_written = 0
        file.write(head.ljust(self.layout.levels[0].offset, b"\0"))

    def add(self, rows: OutputRows) -> None:
        """Take these rows, which have all channels, or in the long layout one of them."""
        level = self.layout.levels[0]
        number = rows.sample_index // level.bin_samples - level.first
        order = None
        inside = (number >= 0) & (number < level.n_bins)
        if not inside.all():
            order = np.flatnonzero(inside)
            number = number[order]
        if not len(number):
            return
        if (np.diff(number) < 0).any():
            by_number = np.argsort(number, kind="stable")
            order = by_number if order is None else order[by_number]
            number = number[by_number]
        edges = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
        columns = [column if order is None else column[order] for column in rows.values]
        made = np.stack([_reduced(column, edges) for column in columns], axis=1)
        channels = slice(None) if rows.channel is None else slice(rows.channel, rows.channel + 1)
        bins = number[edges]
        # Rows that are far from each other, as around events, are no reason to hold what is between.
        far = np.flatnonzero(np.diff(bins // _FEW)) + 1
        for part in np.split(np.arange(len(bins)), far):
            self._merge(bins[part], made[part], channels)

    def finish(self) -> None:
        """Make the coarser levels of the finest, and note what is absent. Raises OSError."""
        self._fill_to(self.layout.levels[0].n_bins)
        for fine, coarse in zip(self.layout.levels, self.layout.levels[1:], strict=False):
            self._make(fine, coarse)
        gaps = [(gap.span.start, gap.span.stop, gap.cause.code) for gap in self._gaps]
        self._file.seek(self.layout.gaps_at)
        self._file.write(np.array(gaps, GAP).tobytes())
        self._file.flush()

    def _merge(self, bins: NDArray[np.int64], made: NDArray[np.float64], channels: slice) -> None:
        level = self.layout.levels[0]
        start, stop = int(bins[0]), int(bins[-1]) + 1
        self._fill_to(start)
        held = nothing(stop - start, self.layout.channels)
        known = min(stop, self._n_written) - start
        if known > 0:
            held[:known] = self._read(level, start, known)
        own, at = held[:, channels], bins - start
        own[at, :, LOW] = np.fmin(own[at, :, LOW], made[..., LOW])
        own[at, :, HIGH] = np.fmax(own[at, :, HIGH], made[..., HIGH])
        own[at, :, NULLS] += made[..., NULLS]
        self._write(level, start, held)
        self._n_written = max(self._n_written, stop)

    def _fill_to(self, stop: int) -> None:
        """What no row was in up to there has none."""
        while self._n_written < stop:
            n = min(_FEW, stop - self._n_written)
            self._write(self.layout.levels[0], self._n_written, nothing(n, self.layout.channels))
            self._n_written += n

    def _make(self, fine: Level, coarse: Level) -> None:
        factor = coarse.bin_samples // fine.bin_samples
        n_at_once = max(1, _FEW // factor)
        for begin in range(0, coarse.n_bins, n_at_once):
            n = min(n_at_once, coarse.n_bins - begin)
            # Numbered as bins of the whole run; the first coarse one may begin before the first fine one.
            start = (coarse.first + begin) * factor - fine.first
            low, high = max(0, start), min(fine.n_bins, start + n * factor)
            held = nothing(n * factor, self.layout.channels)
            held[low - start : high - start] = self._read(fine, low, high - low)
            grouped = held.reshape(n, factor, self.layout.channels, 3)
            made = np.stack(
                [
                    np.fmin.reduce(grouped[..., LOW], axis=1),
                    np.fmax.reduce(grouped[..., HIGH], axis=1),
                    grouped[..., NULLS].sum(axis=1),
                ],
                axis=2,
            )
            self._write(coarse, begin, made)

    def _read(self, level: Level, start: int, n: int) -> NDArray[np.float64]:
        self._file.seek(level.offset + start * self._bin_bytes)
        data = self._file.read(n * self._bin_bytes)
        return np.frombuffer(data, "<f8").reshape(n, self.layout.channels, 3)

    def _write(self, level: Level, start: int, bins: NDArray[np.float64]) -> None:
        self._file.seek(level.offset + start * self._bin_bytes)
        self._file.write(bins.astype("<f8", copy=False).tobytes())


def _reduced(values: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_bins, 3): lowest, highest and how many have no value that can be drawn."""
    made = np.zeros((len(edges), 3))
    if not np.isfinite(values.sum()):
        # An infinity has no place in a picture.
        is_null = ~np.isfinite(values)
        values = np.where(is_null, np.nan, values)
        made[:, NULLS] = np.add.reduceat(is_null, edges, dtype=np.float64)
    made[:, LOW], made[:, HIGH] = np.fmin.reduceat(values, edges), np.fmax.reduceat(values, edges)
    return made
