"""The pictures of a page: a channel's values, the outputs and processes over time, and the clocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.limit_words import LimitOutcome
from dtopipe.model.clock import iso_utc
from dtopipe.model.marks import Mark
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.report.clocks import ClockPairs
from dtopipe.report.lives import Life
from dtopipe.report.markup import Markup
from dtopipe.report.svg import BOTTOM, TOP, Chart
from dtopipe.report.traces import Trace

# What is further out would leave no room for differences.
_MOST_VALUE = 1e300
_ROW = 18.0
RATES = "Samples a second, as they came"
DRIFT = "How much later samples came than their rate says [ms]"
_LONGEST_LABEL = 18
_MOST_MARKS = 200


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Seconds shown in a unit that fits: s, min, h or days."""

    unit: str
    seconds: float

    @classmethod
    def over(cls, length_s: float) -> TimeAxis:
        """For so long a time."""
        for unit, seconds, most in (("s", 1, 300), ("min", 60, 18_000), ("h", 3600, 400_000)):
            if length_s <= most:
                return cls(unit, seconds)
        return cls("days", 86_400)


def channel_chart(name: str, trace: Trace, marks: Sequence[Mark], limits: Sequence[LimitOutcome]) -> Markup:
    """One channel over time, with what its output lacks, the marks and its limits."""
    channel = trace.channel
    time = TimeAxis.over(trace.t_s_end - float(trace.t_s[0]))
    lowest = np.clip(trace.lowest, -_MOST_VALUE, _MOST_VALUE)
    highest = np.clip(trace.highest, -_MOST_VALUE, _MOST_VALUE)
    has_values = bool(np.isfinite(lowest).any())
    low, high = (float(np.nanmin(lowest)), float(np.nanmax(highest))) if has_values else (0.0, 1.0)
    shown, hidden = _near(limits, low, high)
    low, high = min([low, *(each.limit for each in shown)]), max([high, *(each.limit for each in shown)])
    room = 0.04 * (high - low)
    low, high = low - room, high + room
    title = f"{channel.name} [{channel.unit}]" if channel.unit else channel.name
    x = (float(trace.t_s[0]) / time.seconds, trace.t_s_end / time.seconds)
    chart = Chart(name, f"{title} over time", 210, x, (low, high))
    causes = _spans_by_style(trace)
    for style, spans in causes.items():
        chart.shade([(start / time.seconds, stop / time.seconds) for start, stop in spans], style)
    chart.axes(f"time from sample 0 [{time.unit}]", with_values=True)
    chart.envelope(trace.t_s / time.seconds, lowest, highest)
    for limit in shown:
        chart.level(limit.limit, limit.text)
    first, stop = int(trace.index[0]), int(trace.index[-1]) + trace.step
    within = sorted((mark for mark in marks[:_MOST_MARKS] if first <= mark.sample_index <= stop), key=_moment)
    chart.moments((trace.seconds_at(mark.sample_index) / time.seconds, short(mark.label), "mark") for mark in within)
    return chart.drawn(_described(trace, marks, limits, hidden, has_values=has_values))


def coverage_chart(name: str, spans: Mapping[str, Span], gaps: Mapping[str, Sequence[Gap]], rate_hz: float) -> Markup:
    """A bar an output: what of the run it has, and what it lacks."""
    end = max((span.stop for span in spans.values()), default=1)
    start = min((span.start for span in spans.values()), default=0)
    time = TimeAxis.over((end - start) / rate_hz)
    per = rate_hz * time.seconds
    chart = Chart(name, "What each output has", _ROW * len(spans) + TOP + BOTTOM, (start / per, end / per), (0, 1))
    chart.axes(f"time from sample 0 [{time.unit}]", with_values=False)
    words = []
    for number, (output, span) in enumerate(spans.items()):
        top = TOP + _ROW * number
        chart.label(top + 13, short(output))
        chart.shade([(span.start / per, span.stop / per)], "there", top + 3, _ROW - 6)
        own = gaps.get(output, ())
        for style, wanted in (("waited", True), ("gap", False)):
            lacking = [gap.span for gap in own if (gap.cause is Cause.NOT_TRIGGERED) is wanted]
            chart.shade([(each.start / per, each.stop / per) for each in lacking], style, top + 3, _ROW - 6)
        words.append(f"{output}: samples {span.start:,} to {span.stop:,}, {sum(map(len, own)):,} of them in gaps")
    return chart.drawn("; ".join(words) or "no output")


def lives_chart(name: str, lives: Sequence[Life], begin_ns: int, end_ns: int) -> Markup:
    """A bar a process: when it worked, and when it did not."""
    time = TimeAxis.over((end_ns - begin_ns) / 1e9)
    per = time.seconds * 1e9
    reach = (0.0, max(1, end_ns - begin_ns) / per)
    chart = Chart(name, "What each process did", _ROW * len(lives) + TOP + BOTTOM, reach, (0, 1))
    chart.axes(f"real time since {iso_utc(begin_ns)[:19]}Z [{time.unit}]", with_values=False)
    words = []
    for number, life in enumerate(lives):
        top = TOP + _ROW * number
        chart.label(top + 13, short(life.process))
        for style, wanted in (("there", True), ("gap", False)):
            own = [(begin, end_ns if end is None else end) for begin, end, works in life.stretches if works is wanted]
            places = [((begin - begin_ns) / per, (end - begin_ns) / per) for begin, end in own]
            chart.shade(places, style, top + 3, _ROW - 6)
        troubles = sum(not works for _, _, works in life.stretches)
        words.append(f"{life.process}: started {life.starts} times, {troubles} times away, dead or held up")
    return chart.drawn("; ".join(words) or "no events are known")


def rate_chart(name: str, pairs: ClockPairs, rate_hz: float) -> Markup:
    """How many samples a second came between each two readings of the clocks."""
    since_ns = pairs.t_mono_ns[1:] - pairs.t_mono_ns[0]
    return _clock_chart(name, RATES, since_ns, pairs.rates_hz, rate_hz, f"{rate_hz:g} Hz")


def drift_chart(name: str, pairs: ClockPairs, rate_hz: float) -> Markup:
    """How far the board's clock strayed from this machine's, in ms."""
    since_ns = pairs.t_mono_ns - pairs.t_mono_ns[0]
    return _clock_chart(name, DRIFT, since_ns, pairs.strayed_ms(rate_hz), 0.0, "as its rate says")


def _clock_chart(
    name: str,
    title: str,
    since_ns: NDArray[np.int64],
    values: NDArray[np.float64],
    wanted: float,
    text: str,
) -> Markup:
    since_s = since_ns / 1e9
    time = TimeAxis.over(float(since_s[-1]))
    x = since_s / time.seconds
    y = (min(float(values.min()), wanted), max(float(values.max()), wanted))
    chart = Chart(name, title, 170, (0.0, float(x[-1])), y)
    chart.axes(f"time since the first reading [{time.unit}]", with_values=True)
    chart.line(list(x), list(values))
    chart.level(wanted, text)
    return chart.drawn(f"from {values.min():.6g} to {values.max():.6g}, at the end {values[-1]:.6g}; wanted: {text}")


def _near(limits: Iterable[LimitOutcome], low: float, high: float) -> tuple[list[LimitOutcome], list[LimitOutcome]]:
    """Limits that the picture has room for, and those that are so far out that the values would be one line."""
    room = high - low or abs(high) or 1.0
    shown: list[LimitOutcome] = []
    hidden: list[LimitOutcome] = []
    for limit in limits:
        (shown if low - room <= limit.limit <= high + room else hidden).append(limit)
    return shown, hidden


def _spans_by_style(trace: Trace) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {"waited": [], "gap": []}
    for gap in trace.gaps:
        style = "waited" if gap.cause is Cause.NOT_TRIGGERED else "gap"
        found[style].append((trace.seconds_at(gap.span.start), trace.seconds_at(gap.span.stop)))
    return found


def _described(
    trace: Trace,
    marks: Sequence[Mark],
    limits: Sequence[LimitOutcome],
    hidden: Sequence[LimitOutcome],
    *,
    has_values: bool,
) -> str:
    unit = f" {trace.channel.unit}" if trace.channel.unit else ""
    words = ["it has no value"]
    if has_values:
        words = [f"from {np.nanmin(trace.lowest):.6g} to {np.nanmax(trace.highest):.6g}{unit}"]
    words.append(f"from {trace.t_s[0]:.6g} s to {trace.t_s_end:.6g} s, out of {trace.output}")
    if trace.gaps:
        words.append(f"{len(trace.gaps)} gaps of {sum(len(gap) for gap in trace.gaps):,} samples in all, shaded")
    if marks:
        words.append(f"{len(marks)} marks")
    words += [f"limit: {limit.text}" for limit in limits]
    words += [f"beyond the picture: {limit.text}" for limit in hidden]
    return "; ".join(words)


def _moment(mark: Mark) -> int:
    return mark.sample_index


def short(text: str) -> str:
    """A name that a picture has room for."""
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"
