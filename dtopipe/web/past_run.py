"""A run that is over, as pages see it: what it has, and what to draw of any span of it. Threads call it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import holder_of
from dtopipe.loading.load import best_first, load
from dtopipe.loading.run import LoadedRun
from dtopipe.loading.samples import Samples
from dtopipe.model.errors import UsageError
from dtopipe.model.span import Cause, Span
from dtopipe.model.stream import Stream
from dtopipe.verify.outputs import Output, outputs_of
from dtopipe.web.overview import Columns, Overview
from dtopipe.web.overview_place import about_of, found_overview
from dtopipe.web.spectrum import MOST_SAMPLES, NoSpectrum, ensure_whole, spectrum_of

# Values of one look at the samples themselves; of a longer span the overview is fine enough.
_MOST_VALUES = 2**23
_LOOKS_EVERY_S = 1.0
_MOST_MARKS = 2000


class OverviewAbsent(UsageError):
    """There is no overview of the output as it is by now: it is to be made."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The run as it was at one look. `abouts`: of each output what an overview of it must have been made of."""

    run: LoadedRun
    outputs: Mapping[str, Output]
    abouts: Mapping[str, Mapping[str, Any]]
    record: Mapping[str, Any]


class PastRun:
    """Looks at the files again before each answer, but not more than once a second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._looked_s = 0.0
        self._overviews: dict[str, Overview] = {}
        self._gaps: dict[str, NDArray[np.int64]] = {}
        self._spans: dict[str, Span] = {}
        # The samples that were read last, for who zooms in and moves about: sink, channels, span.
        self._held: tuple[str, Sequence[str], Span, Samples] | None = None

    def description(self, sink: str) -> dict[str, Any]:
        """What a page must know to draw it; `sink`: the output, or empty for the best one.

        Raises UsageError where nothing can be shown, as of a run in progress.
        """
        seen = self.look()
        output = seen.outputs[self.output_name(sink)]
        stream, overview = output.row_stream, self._overview(output.name)
        span = overview.layout.span if overview is not None else self._span_of(output.name, seen)
        marks = [mark for mark in seen.run.marks if mark.sample_index >= 0][-_MOST_MARKS:]
        return {
            "outputs": list(seen.outputs),
            "output": output.name,
            "channels": [
                {"name": each.name, "unit": each.unit, **_limits(seen.record, each.name)} for each in stream.channels
            ],
            "rate_hz": stream.rate_hz,
            "every": stream.every,
            "polled": stream.polled,
            "start": span.start,
            "stop": span.stop,
            "started_at": stream.started_at,
            "marks": [{"at": mark.sample_index, "label": mark.label} for mark in marks],
            "is_ready": overview is not None,
            "most_spectrum": MOST_SAMPLES,
        }

    def columns(self, sink: str, channels: Sequence[int], span: Span, most: int, *, exact: bool) -> Columns:
        """About `most` columns of these channels; `exact`: from the samples themselves, where they are not too many.

        Raises OverviewAbsent, UsageError, SinkError.
        """
        output = self.look().outputs[self.output_name(sink)]
        names = _names(output.row_stream, channels)
        overview = self._overview(output.name)
        if overview is None:
            raise OverviewAbsent("the overview is to be made", "wait for it")
        found = overview.columns(channels, span.start, span.stop, most)
        n_values = len(span) // output.row_stream.every * len(channels)
        if found.is_exact or not exact or n_values > _MOST_VALUES:
            return found
        step = max(1, len(span) // (most * output.row_stream.every)) * output.row_stream.every
        return columns_of_samples(self._samples(output.name, names, span), span, step)

    def gaps(self, sink: str, span: Span, step: int) -> list[tuple[int, int, bool]]:
        """What is absent of the span: start, stop, and whether nobody wanted it; what is nearer than a step as one."""
        name = self.output_name(sink)
        overview = self._overview(name)
        if overview is None:
            return []
        if name not in self._gaps:
            self._gaps[name] = overview.gaps()
        return merged_gaps(self._gaps[name], span, step)

    def spectrum(self, sink: str, channel: int, span: Span) -> dict[str, Any]:
        """The spectrum of one channel over the span. Raises UsageError, in words, where there is none."""
        stream = self.look().outputs[self.output_name(sink)].row_stream
        if stream.polled:
            raise NoSpectrum("readings have no fixed rate, and so no spectrum")
        (name,) = _names(stream, [channel])
        # Rows of a view begin at whole multiples of what they stand for.
        n_rows = -(-span.stop // stream.every) - -(-span.start // stream.every)
        if n_rows > MOST_SAMPLES:
            raise NoSpectrum(f"{n_rows:,} samples are too many for a spectrum", f"zoom in, to {MOST_SAMPLES:,} or less")
        samples = self._samples(self.output_name(sink), [name], span)
        inside = (samples.sample_index >= span.start) & (samples.sample_index < span.stop)
        index, values = samples.sample_index[inside], samples.values[0][inside]
        ensure_whole(index, values, n_rows, stream.every)
        return spectrum_of(values, stream.rate_hz / stream.every, stream.channels[channel].unit)

    def loaded(self, sink: str, channels: Sequence[int]) -> tuple[LoadedRun, str, list[str]]:
        """The run, the output's name and the channels' names, for a download. Raises UsageError."""
        seen = self.look()
        name = self.output_name(sink)
        return seen.run, name, _names(seen.outputs[name].row_stream, channels)

    def look(self) -> Seen:
        """The run as it is by now. Raises UsageError if it cannot be shown."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._looked_s > _LOOKS_EVERY_S:
                seen = _look(self.folder)
                if self._seen is None or seen.abouts != self._seen.abouts:
                    self._overviews, self._gaps, self._spans, self._held = {}, {}, {}, None
                self._seen, self._looked_s = seen, time.monotonic()
            return self._seen

    def output_name(self, sink: str) -> str:
        """The output that is meant. Raises UsageError."""
        outputs = self.look().outputs
        if sink and sink not in outputs:
            raise UsageError("there is no such output")
        return sink or next(iter(outputs))

    def _overview(self, name: str) -> Overview | None:
        about = self.look().abouts[name]
        with self._lock:
            known = self._overviews.get(name)
            if known is None or not known.path.exists():
                self._overviews.pop(name, None)
                known = found_overview(self.folder, name, about)
                if known is not None:
                    self._overviews[name] = known
            return known

    def _span_of(self, name: str, seen: Seen) -> Span:
        """What the record says of it, until the overview says better."""
        acquired = seen.record["acquired"]
        stop = int(acquired["end_sample_index"])
        return Span(min(stop, int(acquired.get("first_sample_index") or 0)), stop)

    def _samples(self, sink: str, names: Sequence[str], span: Span) -> Samples:
        """Those of the span, and maybe more, of these channels in that order."""
        with self._lock:
            held, run = self._held, self._seen.run if self._seen is not None else None
        if held is not None and held[0] == sink and set(names) <= set(held[1]):
            _, known, within, samples = held
            if within.start <= span.start and span.stop <= within.stop:
                chosen = [list(known).index(name) for name in names]
                return Samples(
                    tuple(samples.channels[number] for number in chosen), samples.sample_index, samples.t_mono_ns,
                    samples.t_utc_ns, tuple(samples.values[number] for number in chosen),
                )  # fmt: skip
        if run is None:
            raise UsageError("the run was not looked at yet")
        # Who looks here moves a little next.
        beside = len(span) // 2 if 2 * len(span) * len(names) <= _MOST_VALUES else 0
        wide = Span(max(0, span.start - beside), span.stop + beside)
        samples = run.samples(names, (wide.start, wide.stop), sink=sink)
        with self._lock:
            self._held = (sink, tuple(names), wide, samples)
        return samples


def columns_of_samples(samples: Samples, span: Span, step: int) -> Columns:
    """Columns of `step` samples each, from these samples, of which some may be outside of the span."""
    first, last = span.start // step, max(-(-span.stop // step), span.start // step + 1)
    n, n_channels = last - first, len(samples.values)
    low, high = np.full((n_channels, n), np.nan), np.full((n_channels, n), np.nan)
    nulls = np.zeros((n_channels, n), bool)
    number = samples.sample_index // step - first
    inside = slice(*np.searchsorted(number, (0, n)).tolist())
    number = number[inside]
    if len(number):
        edges = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
        for c, column in enumerate(samples.values):
            is_null = ~np.isfinite(column[inside])
            values = np.where(is_null, np.nan, column[inside])
            low[c, number[edges]] = np.fmin.reduceat(values, edges)
            high[c, number[edges]] = np.fmax.reduceat(values, edges)
            nulls[c, number[edges]] = np.logical_or.reduceat(is_null, edges)
    return Columns(first * step, step, low, high, nulls, is_exact=True)


def merged_gaps(gaps: NDArray[np.int64], span: Span, step: int) -> list[tuple[int, int, bool]]:
    """Of (n, 3) starts, stops and causes those that meet the span; neighbours of a kind within a step as one."""
    starts, stops, is_quiet = gaps[:, 0], gaps[:, 1], gaps[:, 2] == Cause.NOT_TRIGGERED.code
    meets = (starts < span.stop) & (stops > span.start)
    found: list[tuple[int, int, bool]] = []
    for kind in (False, True):
        own = meets & (is_quiet == kind)
        begin, end = np.maximum(starts[own], span.start), np.minimum(stops[own], span.stop)
        if not len(begin):
            continue
        far = np.flatnonzero(begin[1:] - end[:-1] > step) + 1
        firsts, lasts = np.concatenate([[0], far]), np.concatenate([far - 1, [len(begin) - 1]])
        found += [(int(begin[a]), int(end[b]), kind) for a, b in zip(firsts, lasts, strict=True)]
    return sorted(found)


def _look(folder: Path) -> Seen:
    place = RunFolder(folder)
    record = place.read_record()
    if record.get("verdict") is None and holder_of(place) is not None:
        raise UsageError("the run is in progress", "its overview is there once it is over")
    run = load(folder)
    outputs = {output.name: output for output in best_first(outputs_of(place, record))}
    abouts = {name: about_of(output, record) for name, output in outputs.items()}
    return Seen(run, outputs, abouts, record)


def _names(stream: Stream, channels: Sequence[int]) -> list[str]:
    if not channels or not all(0 <= number < len(stream.channels) for number in channels):
        raise UsageError(f"the output has channels 0 to {len(stream.channels) - 1}")
    return [stream.channels[number].name for number in channels]


def _limits(record: Mapping[str, Any], channel: str) -> Mapping[str, Any]:
    limits = ((record.get("topology") or {}).get("limits") or {}).get(channel) or {}
    return {f"limit_{side}": limits[side] for side in ("low", "high") if isinstance(limits.get(side), int | float)}
