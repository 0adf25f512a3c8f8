"""Rows of NaN for the samples of gaps, so that rows are as far apart as the samples are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dtopipe.loading.samples import Samples
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import UsageError
from dtopipe.model.span import Gap, Span
from dtopipe.model.wanted import Wanted

# A gap may be a night long.
_MOST_ROWS = 2**30


def filled(
    samples: Samples,
    gaps: Sequence[Gap],
    wanted: Wanted,
    clock: SampleClock,
    mono_less_utc_ns: Callable[[], int],
) -> Samples:
    """The samples, and a row for each that is in a gap and wanted.

    `mono_less_utc_ns()`: between the clocks of the run, for a span without a sample. Raises UsageError for too many.
    """
    parts = [part for part in (gap.span.intersection(Span(wanted.start, wanted.stop)) for gap in gaps) if part]
    n_rows = len(samples) + sum(map(len, parts))
    if n_rows > _MOST_ROWS:
        raise UsageError(f"{n_rows:,} rows are too many: most are of gaps", "take a shorter span, or leave gaps out")
    index, t_mono_ns, t_utc_ns = [samples.sample_index], [samples.t_mono_ns], [samples.t_utc_ns]
    for gap_index, gap_utc_ns in _rows_of(gaps, wanted, clock):
        index.append(gap_index)
        t_utc_ns.append(gap_utc_ns)
        between = _mono_less_utc_ns(samples, int(gap_index[0])) if len(samples) else mono_less_utc_ns()
        t_mono_ns.append(gap_utc_ns + between)
    if len(index) == 1:
        return samples
    joined = np.concatenate(index)
    order = np.argsort(joined, kind="stable")
    nothing = np.full(len(joined) - len(samples), np.nan)
    return Samples(
        samples.channels,
        joined[order],
        np.concatenate(t_mono_ns)[order],
        np.concatenate(t_utc_ns)[order],
        tuple(np.concatenate([column, nothing])[order] for column in samples.values),
    )


def _rows_of(
    gaps: Sequence[Gap], wanted: Wanted, clock: SampleClock
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Indices and UTC of what is wanted of each gap; its times count on from its first sample's."""
    for gap in gaps:
        part = gap.span.intersection(Span(wanted.start, wanted.stop))
        if not part:
            continue
        index = np.arange(part.start, part.stop)
        t_utc_ns = gap.t_utc_ns + clock.offsets_ns(part.start - gap.span.start, len(part))
        inside = wanted.mask(index, t_utc_ns)
        if inside.any():
            yield index[inside], t_utc_ns[inside]


def _mono_less_utc_ns(samples: Samples, index: int) -> int:
    """Between the two clocks, as the last sample before the gap has it, else the first one behind."""
    at = max(0, int(np.searchsorted(samples.sample_index, index)) - 1)
    return int(samples.t_mono_ns[at] - samples.t_utc_ns[at])
