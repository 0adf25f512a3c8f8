"""What the outputs that were chosen can hold: how many columns, and of which names.

Every command that begins a sink asks here: `check`, `up`, `attach` and `convert`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dtopipe.model.plan import SinkPlan, TaskPlan
from dtopipe.model.policy import Layout
from dtopipe.model.reduction import reduced_names
from dtopipe.model.sink_types import Column, Found
from dtopipe.sinks.registry import known_sink_type

# More than any board has, and no more than what is told to each process of a run has room for.
MOST_CHANNELS = 16_384


def columns_of(named: Mapping[str, str], task: TaskPlan | None) -> list[Column]:
    """What is known of the channels; `named` is key: name."""
    channels = task.channels if task else ()
    raw = {channel.name for channel in channels if channel.kind == "raw" and channel.calibration is None}
    return [Column(key, name, name in raw) for key, name in named.items()]


def check_capability(columns: Sequence[Column], sinks: Sequence[SinkPlan], *, polled: bool) -> Found:
    """Every problem (key, what, remedy) with channels that an output cannot hold as it is set."""
    for sink in sinks:
        limits = known_sink_type(sink.type).columns
        if limits is None or (sink.layout is Layout.LONG and not polled):
            continue
        chosen = None if sink.channels is None else set(sink.channels)
        own = [
            replace(column, name=name, is_raw=column.is_raw and sink.keeps_codes)
            for column in columns
            if chosen is None or column.name in chosen
            for name in (reduced_names(column.name, sink.reduce) if sink.every_s is not None else (column.name,))
        ]
        yield from limits.name_problems(sink.name, own, polled=polled)
        most = limits.most(own, polled)
        if len(own) > most:
            remedy = f"choose channels for it: sinks.{sink.name}.channels: [...]"
            remedy = remedy if polled else f"set sinks.{sink.name}.layout: long, or {remedy}"
            yield f"sinks.{sink.name}", f"{len(own):,} channels are too many columns: {limits.why} of {most:,}", remedy


def check_number(columns: Sequence[Column]) -> Found:
    """A problem with a number of channels that is beyond reason, whatever the outputs are."""
    if len(columns) > MOST_CHANNELS:
        what = f"{len(columns):,} channels are more than a run takes: {MOST_CHANNELS:,}"
        yield "task.channels", what, "make several topologies of them"
