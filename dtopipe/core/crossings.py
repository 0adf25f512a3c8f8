"""Where a channel's values cross a limit, and for how long: sample by sample, told block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.sustained import Sustained
from dtopipe.model.limits import MOST_TOLD, Crossing, LimitSeen, Side, Then

Floats = NDArray[np.float64]


class LimitWatch:
    """One limit of one channel. It is told all values in order; NaN is no value, and what is absent was not seen.

    `known`: what a predecessor had seen up to sample index `upto`.
    """

    def __init__(
        self,
        channel: str,
        side: Side,
        limit: float,
        for_samples: int = 0,
        *,
        known: LimitSeen | None = None,
        upto: int = 0,
    ) -> None:
        self._limit = limit
        self._for_samples = for_samples
        self._next = upto
        self._seen = known if known is not None else LimitSeen(channel, side)
        self._current = self._seen.current
        self._news: dict[int, Crossing] = {}
        since = None if self._current is None else self._current.start
        self._sustained = Sustained(for_samples, since=since, upto=upto)

    @property
    def has_news(self) -> bool:
        """True if a crossing began to count, or ended, since `seen` was asked last."""
        return bool(self._news)

    def seen(self) -> LimitSeen:
        """Everything so far, with what is new since this was asked last."""
        news = tuple(self._news.values())
        self._news = {}
        return replace(self._seen, current=self._current, news=news)

    def saw(self, values: Floats, first: int, utc_at: Callable[[int], int]) -> None:
        """(n,) values from sample index `first` on; `utc_at(index)`: the time of one of them."""
        if not len(values):
            return
        if self._current is not None and self._next != first:
            self._close(self._current, self._next, Then.GAP)
        holds = values > self._limit if self._seen.side is Side.HIGH else values < self._limit
        counts = self._sustained.of(holds, first)
        self._next = first + len(values)
        if self._current is not None and not holds[0]:
            self._close(self._current, first, _why_over(values[0]))
        if holds.any():
            self._saw_runs(values, holds, counts, first, utc_at)

    def end(self) -> None:
        """No more values come."""
        if self._current is not None:
            self._close(self._current, self._next, Then.END)

    def _saw_runs(
        self,
        values: Floats,
        holds: NDArray[np.bool_],
        counts: NDArray[np.bool_],
        first: int,
        utc_at: Callable[[int], int],
    ) -> None:
        edges = np.diff(holds.astype(np.int8), prepend=0, append=0)
        starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        last = len(starts) - 1
        counting = np.flatnonzero(counts[stops - 1]).tolist()
        told = set(counting[: max(0, MOST_TOLD - len(self._news))])
        # What began before, and what goes on behind, is followed in any case.
        if self._current is not None:
            told.add(0)
        if stops[last] == len(values):
            told.add(last)
        for run in sorted(told - {last}):
            self._saw_run(values, int(starts[run]), int(stops[run]), counts, first, utc_at)
        self._count(values, [run for run in counting if run not in told], starts, stops)
        if last in told:
            self._saw_run(values, int(starts[last]), int(stops[last]), counts, first, utc_at)

    def _saw_run(
        self,
        values: Floats,
        start: int,
        stop: int,
        counts: NDArray[np.bool_],
        first: int,
        utc_at: Callable[[int], int],
    ) -> None:
        """One stretch beyond the limit, `values[start:stop]`; the first one may have begun before."""
        inside = values[start:stop]
        furthest = start + int(inside.argmax() if self._seen.side is Side.HIGH else inside.argmin())
        extreme, at = float(values[furthest]), first + furthest
        current = self._current
        if current is None:
            begin = first + start
            current = Crossing(0, begin, float(values[start]), utc_at(begin), None, None, extreme, at)
        elif self._is_further(extreme, current.extreme):
            current = replace(current, extreme=extreme, extreme_at=at)
        if current.at is None and counts[stop - 1]:
            since = current.start + self._for_samples
            self._seen = replace(self._seen, crossings=self._seen.crossings + 1)
            current = replace(current, number=self._seen.crossings, at=since, at_value=float(values[since - first]))
            self._news[current.number] = current
        self._note_extreme(current)
        self._current = current
        if stop < len(values):
            self._close(current, first + stop, _why_over(values[stop]))

    def _count(self, values: Floats, runs: list[int], starts: NDArray[np.intp], stops: NDArray[np.intp]) -> None:
        """Crossings within one block that there are too many of to be told one by one."""
        if not runs:
            return
        bounds = np.stack([starts[runs], stops[runs]], axis=1).ravel()
        # The last one may end with the block, where there is no value to begin the next piece with.
        furthest = np.maximum if self._seen.side is Side.HIGH else np.minimum
        extremes = furthest.reduceat(np.append(values, 0.0), bounds)[::2]
        extreme = float(furthest.reduce(extremes))
        self._seen = replace(
            self._seen,
            crossings=self._seen.crossings + len(runs),
            outside=self._seen.outside + int((stops[runs] - starts[runs]).sum()),
            extreme=self._furthest(extreme),
        )

    def _close(self, crossing: Crossing, stop: int, then: Then) -> None:
        self._current = None
        if crossing.at is None:
            return
        self._seen = replace(self._seen, outside=self._seen.outside + stop - crossing.start)
        self._news[crossing.number] = replace(crossing, stop=stop, then=then)

    def _note_extreme(self, crossing: Crossing) -> None:
        if crossing.at is not None:
            self._seen = replace(self._seen, extreme=self._furthest(crossing.extreme))

    def _furthest(self, value: float) -> float:
        known = self._seen.extreme
        return value if known is None or self._is_further(value, known) else known

    def _is_further(self, value: float, than: float) -> bool:
        return value > than if self._seen.side is Side.HIGH else value < than


def _why_over(value: float) -> Then:
    return Then.NO_VALUE if np.isnan(value) else Then.INSIDE
