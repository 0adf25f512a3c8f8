"""The lowest and the highest value of each part of a run, from rows that come in batches: what a picture shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Span
from dtopipe.sinks.contract import OutputRows


class Envelope:
    """Of each of at most `most_parts` equal parts of `span` and each channel the lowest and the highest value.

    What it holds does not grow with the run. `step`: samples a part, a multiple of `every`, which is how many samples
    a row stands for. `lowest`, `highest`: (n_channels, n_parts) float64, NaN where no row has a value.
    """

    def __init__(self, span: Span, n_channels: int, most_parts: int, every: int = 1) -> None:
        self.span = span
        rows_a_part = -(-max(1, len(span)) // (most_parts * every))
        self.step = rows_a_part * every
        self.n_parts = -(-max(1, len(span)) // self.step)
        self.lowest = np.full((n_channels, self.n_parts), np.nan)
        self.highest = np.full((n_channels, self.n_parts), np.nan)
        # When the first row of a part was: readings have times of their own.
        self.t_mono_ns = np.full(self.n_parts, -1, np.int64)
        self.n_rows = 0

    def add(self, rows: OutputRows, channels: Sequence[int]) -> None:
        """Take these rows: with the channels of these numbers in that order, or with one of them (long layout)."""
        part = (rows.sample_index - self.span.start) // self.step
        inside = (rows.sample_index >= self.span.start) & (part < self.n_parts)
        order = None
        if not inside.all():
            order = np.flatnonzero(inside)
            part = part[order]
        if not len(part):
            return
        if (np.diff(part) < 0).any():
            by_part = np.argsort(part, kind="stable")
            order = by_part if order is None else order[by_part]
            part = part[by_part]
        edges = np.flatnonzero(np.diff(part, prepend=part[0] - 1))
        parts = part[edges]
        times = rows.t_mono_ns if order is None else rows.t_mono_ns[order]
        fresh = self.t_mono_ns[parts] < 0
        self.t_mono_ns[parts[fresh]] = times[edges[fresh]]
        self.n_rows += len(part)
        if rows.channel is None:
            columns = list(enumerate(rows.values))
        else:
            columns = [(channels.index(rows.channel), rows.values[0])] if rows.channel in channels else []
        for row, column in columns:
            self._add(row, column if order is None else column[order], parts, edges)

    def _add(self, row: int, values: NDArray[np.float64], parts: NDArray[np.int64], edges: NDArray[np.int64]) -> None:
        if not np.isfinite(values.sum()):
            # An infinity has no place in a picture.
            values = np.where(np.isfinite(values), values, np.nan)
        lowest, highest = self.lowest[row], self.highest[row]
        lowest[parts] = np.fmin(lowest[parts], np.fmin.reduceat(values, edges))
        highest[parts] = np.fmax(highest[parts], np.fmax.reduceat(values, edges))
