"""What goes with `every`, `reduce` and `split`, and what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dtopipe.model.parts import SinkPart
from dtopipe.model.plan import RingPlan, SinkPlan, TaskPlan
from dtopipe.model.policy import OnExists, Policy
from dtopipe.model.quantities import spelled
from dtopipe.model.sink_types import Found
from dtopipe.sinks.parts.names import PLACE
from dtopipe.sinks.registry import OURS, known_sink_type


def view_problems(parts: Mapping[str, SinkPart], *, polled: bool) -> Found:
    """Problems (key, what, remedy) with views that are seen in the sinks alone."""
    for name, part in parts.items():
        key = f"sinks.{name}"
        if part.every is None:
            if "reduce" in part.model_fields_set:
                yield f"{key}.reduce", "says how rows of a view are made, and this sink has none", "add every: 1s"
        elif part.every <= 0:
            yield f"{key}.every", "a row stands for some time", "write one, such as every: 1s"
        elif not known_sink_type(part.type).makes_views:
            able = ", ".join(kind for kind in OURS if known_sink_type(kind).makes_views)
            yield f"{key}.every", f"a sink of type {part.type} takes every sample as it is", f"use {able}"
        elif polled:
            yield (
                f"{key}.every",
                "readings have times of their own, and no windows",
                "ask the board less often: rate_hz",
            )


def window_problems(sinks: Sequence[SinkPlan], task: TaskPlan | None) -> Found:
    """Problems with windows that are no longer than a sample."""
    if task is None:
        return
    for sink in sinks:
        if sink.every_s is not None and sink.every_s * task.rate_hz <= 1:
            what = f"{spelled(sink.every_s)} is no longer than a sample at {task.rate_hz:g} Hz"
            yield f"sinks.{sink.name}.every", what, "make it longer, or take it out: then each sample is a row"


def view_warnings(sinks: Sequence[SinkPlan], ring: RingPlan) -> Found:
    """A view without a journal whose window the ring cannot hold for a successor."""
    if ring.seconds is None or any(sink.is_journal for sink in sinks):
        return
    for sink in sinks:
        if sink.policy is Policy.BLOCK and sink.every_s is not None and sink.every_s > ring.seconds / 2:
            yield (
                f"sinks.{sink.name}.every",
                f"without a journal a kill of this sink may cost it up to {spelled(sink.every_s)}, which the ring of "
                f"{spelled(ring.seconds)} does not hold for its successor",
                "add a journal, or make ring.seconds more than twice as long",
            )


def split_problems(parts: Mapping[str, SinkPart]) -> Found:
    """Problems with outputs in parts that are seen in the sinks alone."""
    for name, part in parts.items():
        key = f"sinks.{name}"
        if part.split is None:
            if part.path and PLACE in part.path:
                yield f"{key}.path", f"has a place for the numbers of parts, {PLACE}", "add split: 1h, or take it out"
            continue
        if not known_sink_type(part.type).splits:
            able = ", ".join(kind for kind in OURS if known_sink_type(kind).splits)
            own = "segment: 1GiB" if known_sink_type(part.type).goes_on_in_next_file else f"a sink of type {able}"
            yield f"{key}.split", f"a sink of type {part.type} has no parts", f"use {own}"
        elif part.on_exists is OnExists.APPEND:
            yield (
                f"{key}.on_exists",
                "parts are files of their own, and nothing follows on what is there",
                ("set on_exists: rename or overwrite, or another path"),
            )
        elif part.path and PLACE in str(Path(part.path).parent):
            yield f"{key}.path", f"{PLACE} stands in the name of a folder", "write it in the file's name"
