"""What a topology says of limits, and what is wrong with it that its keys alone do not show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dtopipe.model.limits import LimitPlan
from dtopipe.model.plan import SinkPlan, TaskPlan
from dtopipe.model.sink_types import Found
from dtopipe.model.suggestions import nearest
from dtopipe.model.units import nearest_unit
from dtopipe.topology.calibrations import value_unit
from dtopipe.topology.schema import KINDS, ChannelPart, LimitPart

# Its log, and what `dtopipe restart` calls it.
_WATCHER = "limits"
# All of them are told to one process in one message, and what it has seen of them to its successor.
MOST_LIMITS = 4096


def limit_plans(parts: Mapping[str, LimitPart]) -> tuple[LimitPlan, ...]:
    """The limits, each with its channel."""
    return tuple(
        LimitPlan(channel, high=part.high, low=part.low, for_s=part.lasting, unit=part.unit)
        for channel, part in parts.items()
    )


def known_units(parts: Iterable[ChannelPart], task: TaskPlan | None) -> dict[str, str | None]:
    """The unit of each channel's values, as `parts` have it, else the task; None where only the board knows it."""
    found: dict[str, str | None] = {}
    for plan in task.columns if task else ():
        found[plan.name] = plan.unit if plan.calibration is None else plan.calibration.unit
    for part in parts:
        is_boards_own = part.unit is None and part.calibration is None and part.formula is None
        found[part.name] = None if is_boards_own and part.kind not in KINDS else value_unit(part)
    return found


def limit_problems(
    parts: Mapping[str, LimitPart], names: Sequence[str], units: Mapping[str, str | None], sinks: Sequence[SinkPlan]
) -> Found:
    """Problems with limits of these channels; `units`: as far as they are known."""
    if len(parts) > MOST_LIMITS:
        yield "limits", f"{len(parts):,} limits are more than a run takes: {MOST_LIMITS:,}", "watch fewer channels"
    for name, part in parts.items():
        if name not in names:
            yield f"limits.{name}", f"there is no channel {name!r}", nearest(name, names)
            continue
        unit = units.get(name)
        if part.unit is not None and unit is not None and part.unit != unit:
            what = f"these limits are in {part.unit}, and {name} is in {unit}" if unit else f"{name} has no unit"
            remedy = nearest_unit(part.unit, [unit]) if unit else "take this line out"
            yield f"limits.{name}.unit", what, remedy if "did you" in remedy or not unit else f"write them in {unit}"
    for sink in sinks:
        if parts and sink.name.casefold() == _WATCHER:
            yield f"sinks.{sink.name}", f"{_WATCHER} is the process that watches limits", "choose another name"
