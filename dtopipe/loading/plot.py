"""One picture of a run: a line a channel, each in its own unit, gaps shaded, marks drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.loading.samples import Samples
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import SinkDependencyError
from dtopipe.model.marks import Mark
from dtopipe.model.span import Cause, Gap

# No screen has more pixels in a row; of each of so many parts the lowest and the highest value are drawn.
_PARTS = 4000
_MOST_CHANNELS = 32


def figure_of(samples: Samples, gaps: Sequence[Gap], rate_hz: float, marks: Sequence[Mark], title: str) -> Any:
    """A matplotlib figure; of many samples the lowest and highest of each pixel, so that no spike is hidden.

    Raises SinkDependencyError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SinkDependencyError(None, "a picture needs matplotlib", 'pip install "dtopipe[plot]"') from error
    clock = SampleClock(rate_hz)
    n_channels = min(len(samples.channels), _MOST_CHANNELS)
    figure = Figure(figsize=(11, 1.2 + 1.6 * max(1, n_channels)), layout="constrained")
    axes = figure.subplots(max(1, n_channels), 1, sharex=True, squeeze=False)[:, 0]
    for channel, values, axis in zip(samples.channels, samples.values, axes, strict=False):
        index, drawn = envelope(samples.sample_index, values)
        axis.plot(index / clock.rate_hz, drawn, linewidth=0.8)
        axis.set_ylabel(f"{channel.name}\n[{channel.unit}]" if channel.unit else channel.name)
        axis.margins(x=0)
        for gap in gaps:
            colour = "tab:gray" if gap.cause is Cause.NOT_TRIGGERED else "tab:red"
            axis.axvspan(gap.span.start / rate_hz, gap.span.stop / rate_hz, color=colour, alpha=0.2, linewidth=0)
        for mark in marks:
            axis.axvline(mark.sample_index / rate_hz, color="tab:green", linewidth=1)
    for mark in marks:
        axes[0].annotate(mark.label, (mark.sample_index / rate_hz, 1), xycoords=("data", "axes fraction"), va="bottom")
    axes[-1].set_xlabel("time from sample 0 [s]")
    left_out = len(samples.channels) - n_channels
    figure.suptitle(title + (f" ({left_out} more channels)" if left_out > 0 else ""))
    return figure


def envelope(
    index: NDArray[np.int64], values: NDArray[np.float64], n_parts: int = _PARTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What to draw: all samples, or of each of `n_parts` parts the lowest and the highest; a NaN where samples lack."""
    breaks = np.flatnonzero(np.diff(index) > 1) + 1
    if len(index) <= 2 * n_parts:
        return np.insert(index.astype(float), breaks, np.nan), np.insert(values, breaks, np.nan)
    edges = np.unique(np.concatenate([np.linspace(0, len(index), n_parts + 1).astype(np.int64)[:-1], breaks]))
    lowest, highest = np.fmin.reduceat(values, edges), np.fmax.reduceat(values, edges)
    drawn = np.column_stack([lowest, highest]).ravel()
    at = np.repeat(index[edges].astype(float), 2)
    # Parts are cut at breaks: there the line is too.
    cuts = 2 * np.searchsorted(edges, breaks)
    return np.insert(at, cuts, np.nan), np.insert(drawn, cuts, np.nan)
