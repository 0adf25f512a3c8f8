"""What every sample must be: the simulated board's own formula, held against what readers find in the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.boards.code_tables import code_source
from dtopipe.boards.simulated_options import SimulatedOptions
from dtopipe.model.columns import RowValues
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Span
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputReader

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


def _spans(index: NDArray[np.int64]) -> list[Span]:
    """The first ten runs of neighbours."""
    if not len(index):
        return []
    breaks = np.flatnonzero(np.diff(index) != 1)
    starts, stops = np.append(0, breaks + 1), np.append(breaks, len(index) - 1)
    return [Span(int(index[a]), int(index[b]) + 1) for a, b in zip(starts[:10], stops[:10], strict=True)]
