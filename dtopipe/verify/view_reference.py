"""The rows that a view must have, made of the run's raw file once more: what its output is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.model.view import View
from dtopipe.sinks.contract import OutputRows
from dtopipe.verify.outputs import Output
from dtopipe.verify.raw_blocks import RawBlocks, parts_within, rows_of
from dtopipe.verify.recount import without
from dtopipe.verify.reference import Compared
from dtopipe.verify.row_spans import RowSpans

# Values kept behind the newest: a long layout goes back by one batch a channel.
_KEPT_VALUES = 2**22


class ViewReference:
    """As `Reference`, of an output whose rows each stand for many samples.

    Rows for which the raw file lacks samples are not compared. `gaps`: the output's own.
    """

    def __init__(self, name: str, output: Output, raw: RawBlocks, whole: Span, gaps: Sequence[Gap]) -> None:
        self.name = name
        self.failure = ""
        self._finite_only = not output.holds_nonfinite()
        self._open_rows: Callable[[], Iterator[OutputRows]] = lambda: _rows(output, raw, whole, gaps)
        self._begin()

    def compare(self, rows: OutputRows, within: Span) -> Compared:
        """Hold a batch against it; what is outside of `within` is not looked at."""
        index = rows.sample_index
        found = Compared(*(np.zeros(len(index), dtype=bool) for _ in range(3)))
        if len(index) == 0:
            return found
        for known in self._batches_of(int(index.min()), int(index.max())):
            places = np.minimum(np.searchsorted(known.sample_index, index), len(known.sample_index) - 1)
            here = np.flatnonzero(known.sample_index[places] == index)
            other = places[here]
            found.there[here] = True
            found.times[here] |= rows.t_mono_ns[here] != known.t_mono_ns[other]
            found.times[here] |= rows.t_utc_ns[here] != known.t_utc_ns[other]
            channels = range(len(rows.values)) if rows.channel is None else [rows.channel]
            for channel, column in zip(channels, rows.values, strict=True):
                values, right = column[here], known.values[channel][other]
                found.values[here] |= ~((values == right) | (self._is_null(values) & self._is_null(right)))
        return found

    def _is_null(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return ~np.isfinite(values) if self._finite_only else np.isnan(values)

    def _begin(self) -> None:
        self._batches = self._open_rows()
        self._held: list[OutputRows] = []
        self._n_held = 0
        self._forgotten_to = -1

    def _batches_of(self, first: int, last: int) -> Iterator[OutputRows]:
        if first < self._forgotten_to:
            self._begin()
        yield from [held for held in self._held if held.sample_index[-1] >= first and held.sample_index[0] <= last]
        while not self._held or self._held[-1].sample_index[-1] < last:
            try:
                rows = next(self._batches, None)
            except Exception as error:  # whatever it is, it is not the output's fault
                self.failure, rows = str(error) or type(error).__name__, None
            if rows is None:
                return
            self._hold(rows)
            if rows.sample_index[-1] >= first and rows.sample_index[0] <= last:
                yield rows

    def _hold(self, rows: OutputRows) -> None:
        self._held.append(rows)
        self._n_held += _size(rows)
        while self._n_held > _KEPT_VALUES and len(self._held) > 1:
            old = self._held.pop(0)
            self._n_held -= _size(old)
            self._forgotten_to = int(old.sample_index[-1]) + 1


def _size(rows: OutputRows) -> int:
    return len(rows.sample_index) * (len(rows.values) + 3)


def _rows(output: Output, raw: RawBlocks, whole: Span, gaps: Sequence[Gap]) -> Iterator[OutputRows]:
    """Its rows, but for those that lack a sample in the raw file that the output may have."""
    view = output.view_of(raw.stream)
    spans = RowSpans(output.stream.every, gaps, whole.stop)
    for block in _viewed(view, raw, without([whole], [gap.span for gap in gaps])):
        rows = rows_of(block, output.stream)
        ends = np.append(rows.sample_index[1:], block.span.stop)
        is_whole = spans.ends(rows.sample_index) == ends
        if is_whole.all():
            yield rows
        elif is_whole.any():
            yield OutputRows(
                rows.sample_index[is_whole],
                rows.t_mono_ns[is_whole],
                rows.t_utc_ns[is_whole],
                [column[is_whole] for column in rows.values],
            )


def _viewed(view: View, raw: RawBlocks, spans: Sequence[Span]) -> Iterator[Block]:
    at: int | None = None
    for block in raw.blocks():
        for part in parts_within(block, spans):
            items: list[Block | Gap] = [part]
            if at is not None and part.span.start > at:
                items.insert(0, Gap(Span(at, part.span.start), Cause.WRITE_ERROR, 0))
            at = part.span.stop
            yield from (item for item in view.of(items) if isinstance(item, Block))
    yield from (item for item in view.rest() if isinstance(item, Block))
