"""Sinks that wait for a trigger: what is wrong with their conditions, and what has no room in memory or ring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dtopipe.core.trigger import Window
from dtopipe.model.condition import Condition, condition_of
from dtopipe.model.formula import FUNCTIONS, FormulaError
from dtopipe.model.plan import SinkPlan, TriggerPlan
from dtopipe.model.policy import Policy
from dtopipe.model.quantities import spelled
from dtopipe.model.sink_types import Found
from dtopipe.model.suggestions import nearest
from dtopipe.sinks.registry import RAW
from dtopipe.topology.cost import size_text

# What a sink worker may hold of the time before an event.
_MOST_HELD_BYTES = 2**30


def trigger_problems(sinks: Sequence[SinkPlan], names: Sequence[str], *, polled: bool) -> Found:
    """Problems (key, what, remedy) with triggers in a run with channels of these names."""
    for sink in sinks:
        trigger, key = sink.trigger, f"sinks.{sink.name}"
        if trigger is None:
            continue
        try:
            condition = condition_of(trigger.when)
        except FormulaError as error:
            remedy = nearest(error.unknown, FUNCTIONS) if error.unknown else error.remedy
            yield f"{key}.when", error.message, remedy
            continue
        for name in condition.names:
            if name not in names:
                yield f"{key}.when", f"there is no channel {name!r}", nearest(name, names)
        if polled:
            yield f"{key}.when", "readings are not written around events yet", "take it out, or use mode: continuous"


@dataclass(frozen=True, slots=True)
class Room:
    """What there is to look back on: of a run's codes, and of its ring. `is_covered`: a journal has it all."""

    rate_hz: float
    bytes_per_s: float
    samples_per_block: int
    ring_seconds: float
    is_covered: bool


def trigger_sizes(sinks: Sequence[SinkPlan], room: Room) -> Found:
    """Problems with what triggers look back on."""
    for sink in sinks:
        condition = _condition(sink)
        if condition is None or sink.trigger is None:
            continue
        held = sink.trigger.pre_s * room.bytes_per_s
        if held > _MOST_HELD_BYTES:
            what = f"{spelled(sink.trigger.pre_s)} before an event are {size_text(held)} that would wait in memory"
            longest_s = int(_MOST_HELD_BYTES / room.bytes_per_s)
            yield f"sinks.{sink.name}.pre", f"{what}: {size_text(_MOST_HELD_BYTES)} may", f"{longest_s}s or less"
        elif sink.policy is Policy.BLOCK and not room.is_covered:
            yield from _ring_problems(sink, sink.trigger, condition, room)


def _ring_problems(sink: SinkPlan, trigger: TriggerPlan, condition: Condition, room: Room) -> Found:
    window = Window.of(trigger, condition, room.rate_hz)
    # Blocks are held whole, and the last one waits for its commit.
    needed_s = (window.span + 2 * room.samples_per_block) / room.rate_hz + sink.flush_interval_s
    if needed_s > room.ring_seconds / 2:
        times = [trigger.pre_s, condition.for_s, trigger.post_s]
        words = ("pre", "for", "post")
        named = " + ".join(f"{word} {spelled(time)}" for word, time in zip(words, times, strict=True) if time)
        word = max(zip(times, ("pre", "when", "post"), strict=True))[1]
        what = f"without a journal what it looks back on ({named or 'some blocks'}) has to fit into half of the ring"
        ring = f"set ring: {{seconds: {2 * needed_s:.3g}}} or more"
        yield (
            f"sinks.{sink.name}.{word}",
            f"{what}, which is {room.ring_seconds / 2:.3g} s",
            f"add a journal, such as archive: {{type: {RAW}, path: archive.dt-raw}}, or {ring}",
        )


def _condition(sink: SinkPlan) -> Condition | None:
    """None where it has none, or where that was said to be wrong."""
    if sink.trigger is None:
        return None
    try:
        return condition_of(sink.trigger.when)
    except FormulaError:
        return None
