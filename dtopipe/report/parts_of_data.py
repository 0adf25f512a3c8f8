"""The parts of a page that tell of samples: values, marks, limits, outputs, clocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dtopipe.model.clock import iso_utc
from dtopipe.model.span import Span
from dtopipe.report.charts import DRIFT, RATES, channel_chart, coverage_chart, drift_chart, rate_chart
from dtopipe.report.findings import Findings
from dtopipe.report.markup import Markup, joined, lines, plain, table, tag

_MOST_MARKS = 1000
# What a record says of a channel, in the order in which it is shown.
_COUNTED = ("min", "max", "not_ok_samples", "open_samples", "at_rail_samples")
_HEADINGS = ("lowest", "highest", "not ok", "open", "at a rail")


def values(found: Findings) -> Markup:
    """A picture of each channel."""
    if not found.traces:
        return tag("p", "No output has values that can be shown.")
    how = "Each picture has the lowest and the highest value of each of its columns, so that no spike is hidden."
    shades = "Shaded red: not in the output; grey: not written, for its sink waited for an event."
    pictures = [tag("p", f"{how} {shades}")]
    for number, trace in enumerate(found.traces):
        limits = [limit for limit in found.limits if limit.channel == trace.channel.name]
        unit = f" [{trace.channel.unit}]" if trace.channel.unit else ""
        of_view = f", whose rows stand for {trace.every:,} samples each" if trace.every > 1 else ""
        words = f"from {trace.output}{of_view}{f'; {trace.trouble}' if trace.trouble else ''}"
        pictures.append(
            tag(
                "figure",
                tag("h3", f"{trace.channel.name}{unit}"),
                channel_chart(f"channel-{number}", trace, found.marks, limits),
                tag("figcaption", words),
            )
        )
    return joined(pictures)


def marks(found: Findings) -> Markup:
    """What people noted of the run."""
    if not found.marks:
        return Markup()
    rows = [
        (mark.label, mark.text, mark.by, iso_utc(mark.t_utc_ns), f"{mark.sample_index:,}")
        for mark in found.marks[:_MOST_MARKS]
    ]
    more = len(found.marks) - len(rows)
    shown = table("Moments that were named", ("mark", "text", "by", "when", "sample"), rows, numbers=1)
    return joined([shown, tag("p", f"{more:,} more marks are in events.jsonl.") if more else Markup()])


def limits(found: Findings) -> Markup:
    """What each limit came to."""
    if not found.limits:
        return Markup()
    rows = []
    for limit in found.limits:
        words = limit.words(str(found.record.get("started_at", ""))) or "not crossed"
        furthest = "" if limit.extreme is None else f"{limit.extreme:.6g} {limit.unit}".rstrip()
        rows.append((limit.text, words, furthest, f"{limit.crossings:,}"))
    return table("Limits", ("limit", "what became of it", "furthest out", "crossings"), rows, numbers=2)


def outputs(found: Findings) -> Markup:
    """Each output: what of the run it has, where it is, and what to type to look at it."""
    sinks: Mapping[str, Mapping[str, Any]] = found.record["sinks"]
    if not sinks:
        return tag("p", "This run has no outputs.")
    counted = ("start", "stop", "samples", "gaps", "dropped", "restarts")
    rows = []
    for name, sink in sinks.items():
        place = sink.get("path") or sink.get("target") or "-"
        state = str(sink["state"]) + (f": {sink['failure']}" if sink.get("failure") else "")
        rows.append((name, sink["type"], sink["policy"], place, state, *(f"{int(sink[key]):,}" for key in counted)))
    headings = ("output", "type", "policy", "where", "state", *counted)
    parts = [table("Outputs, in samples a channel", headings, rows, numbers=len(counted))]
    if found.rate_hz:
        spans = {name: Span(int(sink["start"]), _reached(sink)) for name, sink in sinks.items()}
        own = {name: found.gaps.get(name, ()) for name in sinks}
        parts.append(tag("figure", coverage_chart("outputs", spans, own, found.rate_hz)))
    for name in sinks:
        if look := found.look(name):
            parts.append(tag("h3", f"To look at {name}"))
            parts.append(tag("pre", tag("code", lines(look))))
    return joined(parts)


def clocks(found: Findings) -> Markup:
    """How fast samples came, how the board's clock strayed, and how far the sinks are behind."""
    clock, parts = found.record.get("clock") or {}, []
    rows = [(name.replace("_", " "), plain(value)) for name, value in clock.items()]
    if rows:
        parts.append(table("The clock, by all of its readings", ("what", "value"), rows))
    if found.rate_hz and not found.polled and len(found.clock) > 2:
        for draw, name, title in ((rate_chart, "rate", RATES), (drift_chart, "drift", DRIFT)):
            parts.append(tag("figure", tag("h3", title), draw(name, found.clock, found.rate_hz)))
    status = found.asked.status.get("sinks")
    if isinstance(status, Mapping):
        lags = [
            (name, f"{sink['rate_hz']:,.6g}", f"{sink['lag_samples']:,}", f"{sink['lag_s']:.1f}")
            for name, sink in status.items()
        ]
        headings = ("sink", "samples a second", "lag in samples", "lag in s")
        parts.append(table("Sinks as they were when this page was made", headings, lags, numbers=3))
    held = [each for each in found.history.told if each.event in ("stalled", "hung", "away", "back")]
    if held:
        of_lag = [(each.process, each.event, iso_utc(each.t_utc_ns), each.text) for each in held]
        parts.append(table("When somebody was behind", ("process", "event", "when", "details"), of_lag))
    elif not found.asked.status:
        words = "No sink was away, hung or held the board up, by the events of the run."
        parts.append(tag("p", found.as_far_as_read("events.jsonl", words)))
    return joined(parts)


def channels(found: Findings) -> Markup:
    """What was counted of each channel."""
    counts = found.record.get("channels") or {}
    rows = []
    for meaning in found.meanings:
        own = counts.get(meaning.channel)
        own = own if isinstance(own, Mapping) else {}
        rows.append((meaning.channel, meaning.unit, meaning.kind, *(_number(own.get(key)) for key in _COUNTED)))
    if not rows:
        return Markup()
    return table("Channels, in samples", ("channel", "unit", "kind", *_HEADINGS), rows, numbers=len(_COUNTED))


def _reached(sink: Mapping[str, Any]) -> int:
    return max(int(sink["start"]), int(sink["committed"]))


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
