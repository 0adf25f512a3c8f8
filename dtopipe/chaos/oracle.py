"""What every sample must be: the simulated board's own formula, held against what readers find in the outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.boards.code_tables import code_source
from dtopipe.boards.simulated_options import SimulatedOptions
from dtopipe.model.clock import Anchor
from dtopipe.model.columns import RowValues
from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.model.view import View
from dtopipe.sinks.contract import OutputReader
from dtopipe.verify.recount import without

_MOST_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Held:
    """What was found in one output. `wrong`: sample indices whose value is not the formula's.

    `utc_moved_ns`: by how much UTC and the steady clock move apart from the first row to the last.
    """

    samples: int
    doubled: int
    disordered: bool
    wrong: tuple[int, ...]
    missing: tuple[Span, ...]
    utc_moved_ns: int = 0


class Oracle:
    """Codes of a simulated board, from its options and task alone."""

    def __init__(self, options: Mapping[str, Any], task: TaskPlan) -> None:
        parsed = SimulatedOptions.parse(options)
        waveforms = [
            parsed.signal.over(channel).waveform_of(number, task.rate_hz)
            for number, channel in enumerate(task.channels)
        ]
        self._source = code_source(waveforms, _MOST_AT_ONCE)
        self._n_channels = len(task.channels)

    def hold(self, reader: OutputReader, stream: Stream, names: Sequence[str], start: int, stop: int) -> Held:
        """Read a whole output and compare; `stream`: of the run, `names`: of the channels that are in this output."""
        values_of = RowValues(stream, names)
        gaps = [gap.span for gap in reader.gaps()]
        seen: dict[int, list[NDArray[np.int64]]] = {}
        wrong: list[int] = []
        ahead: list[int] = []
        for rows in reader.batches():
            wanted = values_of(self._codes(rows.sample_index), None)
            if len(rows.sample_index):
                between_clocks = rows.t_utc_ns - rows.t_mono_ns
                ahead += [int(between_clocks.min()), int(between_clocks.max())]
            for place, values in enumerate(rows.values):
                number = place if rows.channel is None else rows.channel
                is_wrong = ~((values == wanted[number]) | (np.isnan(values) & np.isnan(wanted[number])))
                wrong += rows.sample_index[is_wrong].tolist()[:10]
                seen.setdefault(number, []).append(rows.sample_index)
        counts = [np.concatenate(parts) for parts in seen.values()] or [np.zeros(0, np.int64)]
        index = counts[0]
        inside = np.zeros(stop - start, np.int64)
        np.add.at(inside, index[(index >= start) & (index < stop)] - start, 1)
        for gap in gaps:
            inside[max(0, gap.start - start) : max(0, gap.stop - start)] += 1
        return Held(
            samples=len(index),
            doubled=int((inside > 1).sum()),
            disordered=any(bool((np.diff(count) <= 0).any()) for count in counts),
            wrong=tuple(sorted(set(wrong))[:10]),
            missing=tuple(_spans(np.flatnonzero(inside == 0) + start)),
            utc_moved_ns=max(ahead) - min(ahead) if ahead else 0,
        )

    def hold_view(self, view: View, reader: OutputReader, start: int, stop: int) -> Held:
        """The same of an output whose rows stand for many samples, by `view`, which makes them of the board's."""
        wanted = dict(self._rows(view, [gap.span for gap in reader.gaps()], Span(start, stop)))
        seen: dict[int, list[int]] = {}
        wrong: list[int] = []
        ahead: list[int] = []
        for rows in reader.batches():
            ahead += (rows.t_utc_ns - rows.t_mono_ns).tolist()
            for place, values in enumerate(rows.values):
                number = place if rows.channel is None else rows.channel
                seen.setdefault(number, []).extend(rows.sample_index.tolist())
                for index, value in zip(rows.sample_index.tolist(), values.tolist(), strict=True):
                    if index not in wanted or not _is_same(value, wanted[index][1][number]):
                        wrong.append(index)
        index = next(iter(seen.values()), [])
        return Held(
            samples=sum(wanted[each][0] for each in set(index) & wanted.keys()),
            doubled=len(index) - len(set(index)),
            disordered=any(rows != sorted(rows) for rows in seen.values()),
            wrong=tuple(sorted(set(wrong))[:10]),
            missing=tuple(Span(each, each + wanted[each][0]) for each in sorted(wanted.keys() - set(index))[:10]),
            utc_moved_ns=max(ahead) - min(ahead) if ahead else 0,
        )

    def _rows(self, view: View, gaps: Sequence[Span], whole: Span) -> Iterator[tuple[int, tuple[int, Sequence[float]]]]:
        """The index of each row, how many samples it stands for, and its values."""
        values_of = EngineeringValues(view.stream.channels)
        for block in self._viewed(view, gaps, whole):
            values = values_of(block.codes, block.sensor_status)
            index = block.sample_index().tolist()
            ends = [*index[1:], block.span.stop]
            for at, (first, end) in enumerate(zip(index, ends, strict=True)):
                yield first, (end - first, values[:, at].tolist())

    def _viewed(self, view: View, gaps: Sequence[Span], whole: Span) -> Iterator[Block]:
        at = whole.start
        for span in without([whole], gaps):
            items: list[Block | Gap] = [Gap(Span(at, span.start), Cause.WRITE_ERROR, 0)] if span.start > at else []
            for first in range(span.start, span.stop, _MOST_AT_ONCE):
                length = min(_MOST_AT_ONCE, span.stop - first)
                items.append(Block(0, first, self._source.block(first, length).copy(), Anchor(0, 0, 0)))
                yield from (item for item in view.of(items) if isinstance(item, Block))
                items = []
            at = span.stop
        yield from (item for item in view.rest() if isinstance(item, Block))

    def _codes(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """(n_channels, n) of rising sample indices."""
        parts = []
        at = 0
        while at < len(index):
            first = int(index[at])
            count = min(_MOST_AT_ONCE, len(index) - at)
            # As far as the indices follow on each other.
            run = int(np.argmax(np.append(index[at : at + count] != np.arange(first, first + count), True)))
            run = max(1, min(run, count))
            parts.append(self._source.block(first, run).copy())
            at += run
        return np.concatenate(parts, axis=1) if parts else np.zeros((self._n_channels, 0), np.int16)


def _is_same(value: float, other: float) -> bool:
    """True also of two NaN."""
    return value == other or (math.isnan(value) and math.isnan(other))


def _spans(index: NDArray[np.int64]) -> list[Span]:
    """The first ten runs of neighbours."""
    if not len(index):
        return []
    breaks = np.flatnonzero(np.diff(index) != 1)
    starts, stops = np.append(0, breaks + 1), np.append(breaks, len(index) - 1)
    return [Span(int(index[a]), int(index[b]) + 1) for a, b in zip(starts[:10], stops[:10], strict=True)]
