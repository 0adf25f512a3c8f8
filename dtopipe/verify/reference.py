"""Holds an output's rows against those of another output of the run, sample by sample, in bounded memory.

What the other one has not got, or cannot give, is not compared: no fault of it becomes one of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.span import Span
from dtopipe.sinks.contract import OutputReader, OutputRows
from dtopipe.verify.recount import runs_of

# Values of the reference kept behind the newest: a long layout goes back by one batch a channel.
_KEPT_VALUES = 2**22
# How often a reference is read from its beginning again: once a channel where an output has one behind the other.
_MORE_REWINDS = 16


@dataclass(frozen=True, slots=True)
class Compared:
    """(n,) bool each, of a batch of rows: those that the reference has too, and of those the wrong ones."""

    there: NDArray[np.bool_]
    values: NDArray[np.bool_]
    times: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows of the reference that follow on each other; `at`: where they begin in `rows`."""

    span: Span
    rows: OutputRows
    at: int


class Reference:
    """Rows of another output, read along with an output's.

    `channels[c]` is the number there of the output's channel `c`, or None where there is no such channel.
    `utc_unit_ns`: what the coarser of the two can tell of UTC; `slack_ns`: how far times may be apart. `finite_only`:
    one of the two has nothing where the other is infinite. `failure`: why it could not be read on, or empty.
    """

    def __init__(
        self,
        name: str,
        open_rows: Callable[[], Iterator[OutputRows]],
        channels: Sequence[int | None],
        utc_unit_ns: int = 1,
        slack_ns: int = 0,
        *,
        finite_only: bool = False,
    ) -> None:
        self.name = name
        self.failure = ""
        self._open_rows = open_rows
        self._channels = channels
        self._utc_unit_ns = utc_unit_ns
        self._slack_ns = slack_ns
        self._finite_only = finite_only
        self._rewinds_left = len(channels) + _MORE_REWINDS
        self._begin()

    def compare(self, rows: OutputRows, within: Span) -> Compared:
        """Hold a batch against it; what is outside of `within` is not looked at."""
        index = rows.sample_index
        found = Compared(*(np.zeros(len(index), dtype=bool) for _ in range(3)))
        if len(index) == 0:
            return found
        low, high = int(index.min()), int(index.max()) + 1
        is_whole = high - low == len(index) and bool((np.diff(index) == 1).all())
        for piece in self._pieces(within.intersection(Span(low, high))):
            here: Any
            other: Any
            if is_whole:
                part = piece.span.intersection(Span(low, high))
                here = slice(part.start - low, part.stop - low)
                other = slice(piece.at + part.start - piece.span.start, piece.at + part.stop - piece.span.start)
            else:
                here = np.flatnonzero((index >= piece.span.start) & (index < piece.span.stop))
                other = index[here] - piece.span.start + piece.at
            self._compare(rows, here, piece.rows, other, found)
        return found

    def _compare(self, rows: OutputRows, here: Any, of_reference: OutputRows, other: Any, found: Compared) -> None:
        found.there[here] = True
        mono, wanted = rows.t_mono_ns[here], of_reference.t_mono_ns[other]
        if not np.array_equal(mono, wanted):
            found.times[here] |= np.abs(mono - wanted) > self._slack_ns
        utc, wanted = rows.t_utc_ns[here], of_reference.t_utc_ns[other]
        if self._utc_unit_ns > 1:
            utc, wanted = utc // self._utc_unit_ns, wanted // self._utc_unit_ns
        if not np.array_equal(utc, wanted):
            found.times[here] |= np.abs(utc - wanted) > self._slack_ns
        channels = range(len(rows.values)) if rows.channel is None else [rows.channel]
        for channel, column in zip(channels, rows.values, strict=True):
            number = self._channels[channel]
            if number is None:
                continue
            values, right = column[here], of_reference.values[number][other]
            if not np.array_equal(values.view(np.int64), right.view(np.int64)):
                found.values[here] |= ~((values == right) | (self._is_null(values) & self._is_null(right)))

    def _is_null(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return ~np.isfinite(values) if self._finite_only else np.isnan(values)

    def _begin(self) -> None:
        self._batches: Iterator[OutputRows] | None = None
        self._held: list[_Piece] = []
        self._n_held = 0
        self._forgotten_to: int | None = None
        self._ended = False

    def _pieces(self, span: Span) -> Iterator[_Piece]:
        """The pieces that meet `span`, which may lie before what was asked for last."""
        if self._forgotten_to is not None and span and span.start < self._forgotten_to:
            if not self._rewinds_left:
                self.failure = self.failure or "the rows are too far out of order for it"
                return
            self._rewinds_left -= 1
            self._begin()
        yield from [piece for piece in self._held if piece.span.intersection(span)]
        while span and not self._ended and (not self._held or self._held[-1].span.stop < span.stop):
            for piece in self._read():
                if piece.span.intersection(span):
                    yield piece

    def _read(self) -> list[_Piece]:
        """The pieces of the next batch; those before the last one are out of order there, and left out."""
        try:
            if self._batches is None:
                self._batches = self._open_rows()
            rows = next(self._batches, None)
        except Exception as error:  # a reader of anybody's; whatever it is, it is not the output's fault
            self.failure, rows = str(error) or type(error).__name__, None
        if rows is None:
            self._ended = True
            return []
        found = []
        for at, stop in runs_of(rows.sample_index):
            first = int(rows.sample_index[at])
            if not self._held or first >= self._held[-1].span.stop:
                piece = _Piece(Span(first, first + stop - at), rows, at)
                found.append(piece)
                self._held.append(piece)
                self._n_held += len(piece.span) * (len(rows.values) + 3)
        while self._n_held > _KEPT_VALUES and len(self._held) > 1:
            old = self._held.pop(0)
            self._n_held -= len(old.span) * (len(old.rows.values) + 3)
            self._forgotten_to = old.span.stop
        return found


def sound_batches(reader: OutputReader, on_damage: Callable[[str], None]) -> Iterator[OutputRows]:
    """The rows of an output; where its reader can, those behind a damaged place too, of which `on_damage` is told."""
    passing_over: Callable[[Callable[[str], None]], Iterator[OutputRows]] | None
    passing_over = getattr(reader, "sound_batches", None)
    return reader.batches() if passing_over is None else passing_over(on_damage)
