"""How a run went over time: rate and lag of each sink, the room in the ring, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import iso_utc
from dtopipe.model.span import Cause
from dtopipe.model.stretch import Stretch
from dtopipe.report.charts import TimeAxis, short
from dtopipe.report.findings import Findings
from dtopipe.report.markup import Markup, joined, table, tag
from dtopipe.report.svg import Chart

# As many as can be told apart, by their strokes as well as by their colours; see style.css.
_MOST_LINES = 6
_MOST_MOMENTS = 200
# What happens to a process, as it is written at its moment.
_TROUBLES = {
    "died": "died", "gave_up": "gave up", "cut_off": "cut off", "away": "away", "hung": "hangs", "stalled": "overruled",
    "silent": "silent",
}  # fmt: skip
_BACK = ("back", "delivers_again", "goes_on")


@dataclass(frozen=True, slots=True)
class _Moment:
    t_utc_ns: int
    label: str
    style: str


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """One sink over the stretches: (n,) rate in samples a second and longest lag in s, NaN where it was not there."""

    name: str
    rates_hz: NDArray[np.float64]
    lags_s: NDArray[np.float64]
    dropped: int

    @property
    def longest_lag_s(self) -> float:
        return float(np.nanmax(self.lags_s))


class Course:
    """The stretches of a run as lines over real time, and its moments."""

    def __init__(self, found: Findings) -> None:
        """Of a run with at least two stretches."""
        stretches = found.stretches
        self.begin_ns = stretches[0].t_utc_ns - round(stretches[0].for_s * 1e9)
        self.t_s = np.array([(stretch.t_utc_ns - self.begin_ns) / 1e9 for stretch in stretches])
        self.time = TimeAxis.over(float(self.t_s[-1]))
        self.board_hz = _rates(stretches, [stretch.samples for stretch in stretches], self.t_s)
        self.headroom_s = np.array([np.nan if each.headroom_s is None else each.headroom_s for each in stretches])
        names = dict.fromkeys(name for stretch in stretches for name in stretch.sinks)
        lines = [self._line(name, stretches) for name in names]
        # Who was furthest behind is the one that is looked for.
        self.lines = sorted(lines, key=lambda line: -line.longest_lag_s)
        self._moments = _moments_of(found)
        self._gaps = _gaps_of(found)

    def _line(self, name: str, stretches: Sequence[Stretch]) -> _Line:
        own = [stretch.sinks.get(name) for stretch in stretches]
        counts = [None if sink is None else sink.samples for sink in own]
        lags = np.array([np.nan if sink is None else sink.lag_s for sink in own])
        dropped = max(sink.dropped for sink in own if sink is not None)
        return _Line(name, _rates(stretches, counts, self.t_s), lags, dropped)

    def rate_chart(self, rate_hz: float) -> Markup:
        """Samples a second, of the board and of each sink."""
        shown = self.lines[:_MOST_LINES]
        most = max([rate_hz, *(float(np.nanmax(line.rates_hz, initial=0.0)) for line in shown)])
        chart = self._begun("course-rates", "Samples a second, as each sink committed them", most)
        chart.level(rate_hz, f"the board's rate, {rate_hz:g} Hz")
        for number, line in enumerate(shown):
            self._draw(chart, line.rates_hz, number)
        words = [f"{line.name}: {_mean(line.rates_hz):.6g} samples a second" for line in self.lines]
        return chart.drawn("; ".join(words))

    def lag_chart(self) -> Markup:
        """Seconds behind the board, the longest of each stretch."""
        shown = self.lines[:_MOST_LINES]
        chart = self._begun("course-lags", "How far each sink was behind [s]", shown[0].longest_lag_s)
        for number, line in enumerate(shown):
            self._draw(chart, line.lags_s, number)
        words = [f"{line.name}: at most {line.longest_lag_s:.3g} s, {self._when(line)}" for line in self.lines]
        return chart.drawn("; ".join([*words, *self._told()]))

    def room_chart(self) -> Markup:
        """Seconds until the ring would have been full, the shortest of each stretch."""
        room = self.headroom_s
        chart = self._begun("course-room", "For how long there was room in the ring [s]", float(np.nanmax(room)))
        self._draw(chart, room, 0)
        return chart.drawn(f"at least {np.nanmin(room):.3g} s, at most {np.nanmax(room):.3g} s")

    def rows(self) -> list[tuple[str, ...]]:
        """Of each sink its rate, its longest lag and when that was, and what it dropped."""
        return [
            (line.name, self._when(line), f"{_mean(line.rates_hz):,.6g}", f"{line.longest_lag_s:.3f}",
             f"{line.dropped:,}")
            for line in self.lines
        ]  # fmt: skip

    def legend(self) -> Markup:
        """Which line is whose; of very many sinks those that were furthest behind have one."""
        items = []
        for number, line in enumerate(self.lines[:_MOST_LINES]):
            stroke = tag("line", x1=0, y1=5, x2=34, y2=5, class_=f"series-{number}")
            sample = tag("svg", stroke, viewBox="0 0 34 10", aria_hidden="true", class_="sample")
            items.append(tag("li", sample, " ", line.name))
        if more := len(self.lines) - len(items):
            items.append(tag("li", f"{more} more were less behind"))
        return tag("ul", *items, class_="legend")

    def _begun(self, name: str, title: str, most: float) -> Chart:
        end = float(self.t_s[-1]) / self.time.seconds
        chart = Chart(name, title, 190, (0.0, end), (0.0, 1.05 * max(0.0, most) or 1.0))
        spans = [((start - self.begin_ns) / 1e9, (stop - self.begin_ns) / 1e9) for start, stop in self._gaps]
        reach = [(max(0.0, start), stop) for start, stop in spans if stop > 0 and start < self.t_s[-1]]
        chart.shade([(start / self.time.seconds, stop / self.time.seconds) for start, stop in reach], "gap")
        chart.axes(f"real time since {iso_utc(self.begin_ns)[:19]}Z [{self.time.unit}]", with_values=True)
        moments = [((moment.t_utc_ns - self.begin_ns) / 1e9 / self.time.seconds, moment) for moment in self._moments]
        chart.moments([(at, each.label, each.style) for at, each in moments if 0 <= at <= end])
        return chart

    def _draw(self, chart: Chart, values: NDArray[np.float64], number: int) -> None:
        there = np.flatnonzero(np.isfinite(values))
        for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
            chart.line(list(self.t_s[run] / self.time.seconds), list(values[run]), f"series-{number}")

    def _when(self, line: _Line) -> str:
        at = self.begin_ns + round(float(self.t_s[int(np.nanargmax(line.lags_s))]) * 1e9)
        return f"{iso_utc(at)[:19]}Z"

    def _told(self) -> list[str]:
        told = [f"{moment.label} at {iso_utc(moment.t_utc_ns)[:19]}Z" for moment in self._moments[:20] if moment.label]
        return [*told, *([f"{len(self._gaps)} gaps, shaded"] if self._gaps else [])]


def course(found: Findings) -> Markup:
    """Rates and lag over time; nothing of a run that has not recorded them."""
    if len(found.stretches) < 2 or not found.rate_hz or not any(stretch.sinks for stretch in found.stretches):
        return Markup()
    went = Course(found)
    legend = went.legend()
    parts: list[object] = [
        tag("p", "Each point is the longest lag of its stretch of the run, so that no peak is hidden; commits come in "
            "steps, and so does their rate. Shaded red: gaps. Lines upwards: marks, limits that were crossed, and what "
            "happened to processes."),
        tag("figure", tag("h3", "Lag of each sink [s]"), went.lag_chart(), legend),
        tag("figure", tag("h3", "Samples a second that each sink committed"), went.rate_chart(found.rate_hz), legend),
    ]  # fmt: skip
    if np.isfinite(went.headroom_s).any():
        parts.append(tag("figure", tag("h3", "Room in the ring [s]"), went.room_chart()))
    headings = ("sink", "furthest behind at", "samples a second", "longest lag in s", "dropped")
    parts.append(table("Sinks over the run", headings, went.rows(), numbers=3))
    return joined(parts)


def _rates(stretches: Sequence[Stretch], counts: Sequence[int | None], t_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) how fast a count rose within each stretch; NaN where it did not go on from the stretch before."""
    count = np.array([np.nan if each is None else float(each) for each in counts])
    since_s = np.diff(t_s, prepend=t_s[0] - stretches[0].for_s)
    rise = np.diff(count, prepend=0.0 if stretches[0].end_sample_index == stretches[0].samples else np.nan)
    return np.where(rise >= 0, rise / since_s, np.nan)


def _mean(rates_hz: NDArray[np.float64]) -> float:
    return float(np.nanmean(rates_hz)) if np.isfinite(rates_hz).any() else 0.0


def _moments_of(found: Findings) -> list[_Moment]:
    """In the order in which they are to have words; a limit has them where it was crossed first."""
    moments = [_Moment(mark.t_utc_ns, short(mark.label), "mark") for mark in found.marks]
    crossings: list[_Moment] = []
    for each in found.history.told:
        if each.event in _TROUBLES and each.process:
            moments.append(_Moment(each.t_utc_ns, f"{short(each.process)} {_TROUBLES[each.event]}", "trouble"))
        elif each.event == "limit_crossed":
            text = short(f"limit of {each.channel}")
            is_first = all(crossing.label != text for crossing in crossings)
            crossings.append(_Moment(each.t_utc_ns, text if is_first else "", "limit"))
        elif each.event in _BACK:
            moments.append(_Moment(each.t_utc_ns, f"{short(each.process)} back", "trouble"))
    for life in found.history.lives:
        again = [begin for begin, _, works in life.stretches[1:] if works]
        moments += [_Moment(begin, f"{short(life.process)} again", "trouble") for begin in again]
    moments.sort(key=lambda moment: (moment.style != "trouble", moment.t_utc_ns))
    return [*moments, *crossings][:_MOST_MOMENTS]


def _gaps_of(found: Findings) -> list[tuple[int, int]]:
    """From when to when something was absent somewhere, UTC in ns; not what an output was not to have."""
    if not found.rate_hz:
        return []
    return [
        (gap.t_utc_ns, gap.t_utc_ns + round(len(gap) * 1e9 / found.rate_hz))
        for own in found.gaps.values()
        for gap in own
        if gap.cause is not Cause.NOT_TRIGGERED
    ]
