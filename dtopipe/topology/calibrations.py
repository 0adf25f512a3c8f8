"""What a topology says of the meaning of channels: calibrations and formulas, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from pydantic import ValidationError

from dtopipe.model.calibration import Calibration
from dtopipe.model.calibration_part import CalibrationPart, calibration_problems, day_of
from dtopipe.model.curves import curve_of
from dtopipe.model.derived import circle_in
from dtopipe.model.formula import CONSTANTS, FUNCTIONS, Formula, FormulaError, parsed
from dtopipe.model.plan import ChannelPlan, SinkPlan
from dtopipe.model.sink_types import Found
from dtopipe.model.stream import VIRTUAL
from dtopipe.model.suggestions import nearest
from dtopipe.model.thermocouples import thermocouple_table
from dtopipe.model.units import TEMPERATURES
from dtopipe.sinks.registry import RAW, known_sink_type
from dtopipe.topology.schema import ChannelPart

_UNITS = {"current": "A", "raw": ""}
# The keys of a channel as topologies write them.
CHANNEL_KEYS = [field.alias or name for name, field in ChannelPart.model_fields.items()]
# What only an input has.
_OF_INPUTS = ("kind", "physical_channel", "range", "calibration")
_LOOKED_AT = 1001


def input_unit(part: ChannelPart) -> str:
    """The unit of a channel's input."""
    return _UNITS.get(part.kind, "V") if part.unit is None else part.unit


def calibration_of(part: ChannelPart) -> Calibration | None:
    """The channel's calibration, if it has one without problems."""
    given = part.calibration
    if given is None or any(calibration_problems(given, input_unit(part), is_raw=part.kind == "raw")):
        return None
    return given.calibration(input_unit(part))


def meaning_plan(part: ChannelPart) -> ChannelPlan:
    """No more of a channel than what its values are made of."""
    return ChannelPlan(part.name, formula=part.formula or "", calibration=calibration_of(part))


def virtual_plan(part: ChannelPart) -> ChannelPlan:
    """A channel that has a formula."""
    return ChannelPlan(
        part.name, VIRTUAL, unit=part.unit or "", formula=part.formula or "", constants=dict(part.constants)
    )


def channel_document(plan: ChannelPlan) -> dict[str, Any]:
    """The channel as a topology has it."""
    if plan.formula:
        constants = {"with": dict(plan.constants)} if plan.constants else {}
        return {"name": plan.name, "formula": plan.formula, **constants, "unit": plan.unit or ""}
    document: dict[str, Any] = {"name": plan.name, "unit": plan.unit}
    if plan.kind == "raw" and plan.calibration is None:
        document["kind"] = plan.kind
    if plan.calibration is not None:
        document["calibration"] = plan.calibration.document()
    return document


def readable_part(document: Any) -> ChannelPart | None:
    """A channel without those of its keys that are wrong by themselves: the rest is worth checking further."""
    try:
        return ChannelPart.model_validate(document)
    except ValidationError as error:
        wrong = {mistake["loc"][:2] for mistake in error.errors(include_url=False)}
    if not isinstance(document, dict):
        return None
    spoilt = {at[0] for at in wrong if at}
    # A formula is not to be judged without its numbers.
    spoilt |= {"formula", "with"} if "with" in spoilt else set()
    rest = {key: value for key, value in document.items() if key not in spoilt}
    calibration = document.get("calibration")
    own = {at[1] for at in wrong if len(at) == 2 and at[0] == "calibration"}
    # Without something that belongs to it, what is left says nothing.
    if isinstance(calibration, dict) and own and not own & set(CalibrationPart.model_fields):
        rest["calibration"] = {key: value for key, value in calibration.items() if key not in own}
    try:
        return ChannelPart.model_validate(rest)
    except ValidationError:
        return None


def readable_parts(task: Any) -> dict[str, ChannelPart]:
    """By key, the channels of a task as a topology has it, as far as each can be read."""
    listed = task.get("channels") if isinstance(task, dict) else None
    found = map(readable_part, listed if isinstance(listed, list) else ())
    return {f"task.channels[{number}]": part for number, part in enumerate(found) if part is not None}


def channel_problems(parts: Mapping[str, ChannelPart]) -> Found:
    """Everything that is wrong with calibrations and formulas of these channels, each with its key."""
    keys = {part.name: key for key, part in parts.items()}
    formulas: dict[str, Formula] = {}
    for key, part in parts.items():
        if part.calibration is not None:
            for at, what, remedy in calibration_problems(part.calibration, input_unit(part), is_raw=part.kind == "raw"):
                yield f"{key}.calibration{at}", what, remedy
        if part.formula is not None:
            yield from _formula_problems(part, key, list(keys), formulas)
        elif part.constants:
            yield f"{key}.with", "gives numbers to a formula, and there is none", 'formula: "flux * area"'
    yield from _junction_problems(list(parts.values()), keys)
    yield from _circles(list(parts.values()), keys, formulas)


def calibration_warnings(parts: Mapping[str, ChannelPart], today: date) -> Found:
    """What is not as it should be, but no reason not to begin."""
    for own, part in parts.items():
        given, key = part.calibration, f"{own}.calibration"
        if given is None:
            continue
        day = day_of(given.valid_until)
        if day is not None and day < today:
            what = f"the calibration of {part.name} counted until {given.valid_until}, and today is {today}"
            yield f"{key}.valid_until", what, "have it calibrated, and say so here"
        calibration = calibration_of(part)
        if calibration is not None and calibration.kind == "polynomial" and part.kind != "raw":
            low, high = part.range or (-10.0, 10.0)
            steps = np.diff(curve_of(calibration)(np.linspace(low, high, _LOOKED_AT)))
            if not ((steps > 0).all() or (steps < 0).all()):
                what = f"this polynomial turns within the range [{low:g}, {high:g}] of {part.name}"
                yield f"{key}.polynomial", f"{what}: some values stand for two inputs", "narrow the range, or leave it"


def with_codes(names: Iterable[str], channels: Sequence[ChannelPlan]) -> list[str]:
    """Those of the names that are not of virtual channels."""
    virtual = {plan.name for plan in channels if plan.formula}
    return [name for name in names if name not in virtual]


def raw_sink_problems(sinks: Sequence[SinkPlan], channels: Sequence[ChannelPlan]) -> Found:
    """Problems with what an archive of codes is asked for, and with what it would be without."""
    virtual = {plan.name for plan in channels if plan.formula}
    for sink in sinks:
        if not known_sink_type(sink.type).is_raw or sink.channels is None:
            continue
        for number, name in enumerate(sink.channels):
            if name in virtual:
                what = f"{name!r} is worked out from other channels, and {sink.name} keeps codes"
                yield f"sinks.{sink.name}.channels[{number}]", what, "take it out: its formula is kept anyway"
        for plan in channels:
            junction = None if plan.calibration is None else plan.calibration.junction_channel
            if junction is not None and plan.name in sink.channels and junction not in sink.channels:
                what = f"{plan.name} means nothing without its cold junction {junction!r}"
                yield f"sinks.{sink.name}.channels", what, f"add {junction}"


def retention_warnings(sinks: Sequence[SinkPlan], channels: Sequence[ChannelPlan]) -> Found:
    """What is lost with the codes that a journal retires, where no other output has them."""
    calibrated = [plan.name for plan in channels if plan.calibration is not None]
    for journal in sinks:
        raw = [sink for sink in sinks if sink is not journal and known_sink_type(sink.type).is_raw]
        others = [sink for sink in raw if sink.has_all_samples]
        if journal.retires and calibrated and not others:
            what = f"with its codes goes what another calibration of {calibrated[0]} could be applied to, and whatever "
            what += "is beyond this one"
            yield f"sinks.{journal.name}.retention", what, f"keep all of it, or add an archive besides: {{type: {RAW}}}"


def _formula_problems(part: ChannelPart, key: str, names: Sequence[str], formulas: dict[str, Formula]) -> Found:
    for other in _OF_INPUTS:
        if other in part.model_fields_set and getattr(part, other) is not None:
            yield f"{key}.{other}", "belongs to an input, and a channel with a formula has none", "take this line out"
    for name in part.model_extra or ():
        yield f"{key}.{name}", "unknown key", nearest(name, CHANNEL_KEYS)
    known = [*names, *part.constants]
    for name in part.constants:
        if name in names:
            yield f"{key}.with.{name}", f"{name!r} is a channel already", "call this number otherwise"
        elif not name.isidentifier() or name in CONSTANTS or name in FUNCTIONS:
            yield f"{key}.with.{name}", f"{name!r} cannot be the name of a number", "use letters, digits and _"
    try:
        formula = parsed(part.formula or "", part.constants)
    except FormulaError as error:
        remedy = nearest(error.unknown, FUNCTIONS) if error.unknown else error.remedy
        yield f"{key}.formula", error.message, remedy
        return
    unknown = [name for name in formula.names if name not in names]
    if unknown:
        yield f"{key}.formula", f"there is no channel {unknown[0]!r}", nearest(unknown[0], known)
        return
    formulas[part.name] = formula


def _junction_problems(parts: Sequence[ChannelPart], keys: dict[str, str]) -> Found:
    units = {part.name: value_unit(part) for part in parts}
    for part in parts:
        given = part.calibration
        if given is None or given.cjc is None or given.thermocouple is None:
            continue
        key = f"{keys[part.name]}.calibration.cjc"
        if isinstance(given.cjc, str):
            if given.cjc not in units:
                yield (
                    key,
                    f"there is no channel {given.cjc!r}",
                    nearest(given.cjc, [n for n in units if n != part.name]),
                )
            elif units[given.cjc] not in TEMPERATURES and given.cjc != part.name:
                what = f"{given.cjc} is in {units[given.cjc]!r}, and a cold junction has a temperature"
                yield key, what, f"give {given.cjc} a calibration, such as {{rtd: pt100, excitation: 0.001}}"
            continue
        table = thermocouple_table(given.thermocouple)
        low, high = table.junction_celsius[[0, -1]].tolist()
        if not low <= given.cjc <= high:
            yield key, f"{given.cjc:g} degC is beyond type {given.thermocouple}", f"from {low:g} to {high:g} degC"


def _circles(parts: Sequence[ChannelPart], keys: dict[str, str], formulas: dict[str, Formula]) -> Found:
    needs: dict[str, Sequence[str]] = {}
    for part in parts:
        junction = None if part.calibration is None else part.calibration.cjc
        if part.name in formulas:
            needs[part.name] = formulas[part.name].names
        elif isinstance(junction, str):
            needs[part.name] = (junction,)
    while circle := circle_in(needs):
        key = f"{keys[circle[0]]}.{'formula' if circle[0] in formulas else 'calibration.cjc'}"
        yield key, f"each of these needs the next one: {' -> '.join(circle)}", "let one of them stand by itself"
        for name in circle:
            needs.pop(name, None)


def value_unit(part: ChannelPart) -> str:
    """The unit of a channel's values."""
    calibration = calibration_of(part)
    if calibration is not None:
        return calibration.unit
    return part.unit or "" if part.formula is not None else input_unit(part)
