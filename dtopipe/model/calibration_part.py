"""The keys of a calibration, and what is wrong with one: in a topology, and in what a stranger's file says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from dtopipe.model.calibration import KINDS, Calibration
from dtopipe.model.facts import Facts, Misfit
from dtopipe.model.parts import Part
from dtopipe.model.units import STRAINS, TEMPERATURES, VOLTS, nearest_unit

ThermocoupleType = Literal["B", "E", "J", "K", "N", "R", "S", "T"]
_MOST_POINTS, _MOST_COEFFICIENTS = 100_000, 32
# Which keys belong to which kind, and those of them that it cannot be without.
_BELONGS = {
    "cjc": "thermocouple",
    "excitation": "rtd or bridge",
    "gauge_factor": "bridge",
    "zero": "bridge",
    "extrapolate": "points",
}
_NEEDS = {"thermocouple": ("cjc",), "rtd": ("excitation",), "bridge": ("excitation", "gauge_factor")}
_WORDS = {
    "cjc": "the cold junction's temperature: cjc: the name of a channel that measures it, or a number in degC",
    "excitation": "excitation: the current through an RTD in A (0.001), or the voltage at a bridge in V (5.0)",
    "gauge_factor": "gauge_factor: the strain gauge's, such as 2.1",
}
# In these units where nothing is said.
_USUAL_UNITS = {"thermocouple": "degC", "rtd": "degC", "bridge": "um/m"}
_UNITS = {"thermocouple": TEMPERATURES, "rtd": TEMPERATURES, "bridge": STRAINS}


class LinearPart(Part):
    """A straight line: value = input * scale + offset."""

    scale: float = Field(description="Units per V of the input (per code of a raw channel).")
    offset: float = Field(default=0.0, description="The value where the input is 0.")


def _with_other_words(schema: dict[str, Any]) -> None:
    """The schema also has what people call a bridge of strain gauges."""
    schema["properties"]["strain"] = {**schema["properties"]["bridge"], "description": "Another word for bridge."}


class CalibrationPart(Part):
    """From a channel's input to values in another unit: exactly one of the kinds, and what belongs to it."""

    model_config = ConfigDict(title="Calibration", json_schema_extra=_with_other_words)

    linear: LinearPart | None = Field(default=None, description="A straight line, such as {scale: 25, offset: -12.5}.")
    polynomial: list[float] | None = Field(
        default=None, min_length=1, max_length=_MOST_COEFFICIENTS, description="[c0, c1, c2, ...]: c0 + c1*x + c2*x^2."
    )
    points: list[tuple[float, float]] | None = Field(
        default=None,
        max_length=_MOST_POINTS,
        description="[[input, value], ...] with rising inputs, straight lines between them.",
    )
    extrapolate: bool | None = Field(
        default=None, description="Of points: true goes on beyond the ends; else values there are null."
    )
    thermocouple: ThermocoupleType | None = Field(default=None, description="An ITS-90 type, with cjc.")
    cjc: float | str | None = Field(
        default=None, description="Cold junction: the name of a channel that measures it, or its temperature in degC."
    )
    rtd: Literal["pt100", "pt200", "pt500", "pt1000"] | None = Field(
        default=None, description="IEC 60751 (Callendar-Van Dusen), with excitation."
    )
    bridge: Literal["quarter", "half", "full"] | None = Field(
        default=None, description="Strain gauges, with excitation and gauge_factor; half and full: all of them bending."
    )
    excitation: float | None = Field(default=None, gt=0, description="RTD: the current in A; bridge: the voltage in V.")
    gauge_factor: float | None = Field(default=None, description="Of the strain gauges, such as 2.1.")
    zero: float | None = Field(default=None, description="Of a bridge: its volts without load; default 0.")
    unit: str | None = Field(default=None, min_length=1, description="Of the values; default degC, of a bridge um/m.")
    id: str = Field(default="", description="Of the sensor or its certificate.")
    date: str = Field(default="", description="When it was calibrated, such as 2026-01-05.")
    valid_until: str = Field(default="", description="The last day on which it counts; later, check and up warn.")

    @model_validator(mode="before")
    @classmethod
    def _strain_is_of_a_bridge(cls, value: Any) -> Any:
        """`strain: quarter` is `bridge: quarter`; both at once are one too many."""
        if not isinstance(value, dict) or "strain" not in value or "bridge" in value:
            return value
        return {("bridge" if key == "strain" else key): each for key, each in value.items()}

    @property
    def kinds(self) -> list[str]:
        """Those that are given."""
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    def calibration(self, input_unit: str) -> Calibration:
        """The same as a value; only of a part without problems."""
        keys = (*KINDS, *_BELONGS)
        given = self.model_dump(mode="json", exclude_none=True)
        (kind,) = self.kinds
        return Calibration(
            definition={key: given[key] for key in keys if key in given},
            unit=self.unit or _USUAL_UNITS[kind],
            input_unit=input_unit,
            id=self.id,
            date=self.date,
            valid_until=self.valid_until,
        )


# What is wrong: the path below the calibration, what, remedy.
Problems = Iterator[tuple[str, str, str]]


def calibration_problems(part: CalibrationPart, input_unit: str, *, is_raw: bool) -> Problems:
    """Everything that is wrong with one calibration by itself. `input_unit`: of a channel's input; `is_raw`: codes."""
    kinds = part.kinds
    if len(kinds) != 1:
        got = f"not {' and '.join(kinds)}" if kinds else "which is missing"
        yield "", f"exactly one of {', '.join(KINDS)} makes a calibration, {got}", "such as {thermocouple: K, cjc: 25}"
        return
    (kind,) = kinds
    for key, of in _BELONGS.items():
        if getattr(part, key) is not None and kind not in of.split(" or "):
            yield f".{key}", f"belongs to {of}, not to {kind}", "take this line out"
    for key in _NEEDS.get(kind, ()):
        if getattr(part, key) is None:
            yield "", f"{_called(kind)} needs {key}", _WORDS[key]
    for key in ("date", "valid_until"):
        text = getattr(part, key)
        if text and day_of(text) is None:
            yield f".{key}", f"{text!r} is no date", "write it as 2026-01-05"
    yield from _unit_problems(part, kind, input_unit, is_raw=is_raw)
    yield from _point_problems(part)
    if part.gauge_factor == 0:
        yield ".gauge_factor", "must not be 0", _WORDS["gauge_factor"]
    if part.linear is not None and part.linear.scale == 0:
        yield ".linear.scale", "must not be 0: every input would have one value", "linear: {scale: 25, offset: -12.5}"


def _called(kind: str) -> str:
    return f"an {kind}" if kind == "rtd" else f"a {kind}"


def day_of(text: str) -> date | None:
    """The day of such a text; None where it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _unit_problems(part: CalibrationPart, kind: str, input_unit: str, *, is_raw: bool) -> Problems:
    known = _UNITS.get(kind)
    if known is None:
        if part.unit is None:
            yield "", f"a calibration by {kind} needs the unit of its values", "unit: the unit, such as bar"
        return
    if part.unit is not None and part.unit not in known:
        yield ".unit", f"the values of {_called(kind)} cannot be in {part.unit!r}", nearest_unit(part.unit, known)
    if is_raw:
        yield (
            f".{kind}",
            f"{_called(kind)} is measured in volts, and kind: raw gives codes",
            "kind: voltage, with its range",
        )
    elif input_unit not in VOLTS:
        what = f"{_called(kind)} is measured in volts, and this channel is in {input_unit!r}"
        yield (
            f".{kind}",
            what,
            f"unit: {', '.join(VOLTS)} beside range, or none; the values' unit stands in calibration",
        )


def _point_problems(part: CalibrationPart) -> Problems:
    points = part.points
    if points is None:
        return
    if len(points) < 2:
        yield ".points", f"needs two points or more, not {len(points)}", "points: [[input, value], [input, value], ...]"
        return
    for number, (before, here) in enumerate(pairwise(points), 1):
        if not before[0] < here[0]:
            yield f".points[{number}]", f"is out of order: {here[0]:g} follows on {before[0]:g}", "let the inputs rise"
            return
    rises = points[1][1] > points[0][1]
    for number, (before, here) in enumerate(pairwise(points), 1):
        if before[1] == here[1] or (here[1] > before[1]) != rises:
            what = f"its value {here[1]:g} follows on {before[1]:g}: no value may come twice"
            yield f".points[{number}]", what, "let the values rise throughout, or fall throughout"
            return


def calibration_from(document: Any, key: str) -> Calibration:
    """The calibration whose facts these are, at this key of a whole. Raises Misfit."""
    facts = Facts(document, key)
    known = {name: facts.any(name) for name in facts.names() if name in CalibrationPart.model_fields}
    try:
        part = CalibrationPart.model_validate(known)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        at = ".".join(map(str, mistake["loc"]))
        raise Misfit(f"{key}.{at}", f"is no calibration: {mistake['msg']}") from error
    input_unit = facts.text("input_unit", default="V")
    # A file's codes may be called raw where their values are volts all the same.
    for at, what, _ in calibration_problems(part, input_unit, is_raw=False):
        raise Misfit(f"{key}{at}", what)
    found = part.calibration(input_unit)
    instead_of = facts.any("instead_of", default=None)
    if instead_of is not None and not isinstance(instead_of, dict):
        raise Misfit(f"{key}.instead_of", "must be a mapping")
    facts.plain("instead_of")
    is_applied = facts.truth("is_applied", default=False)
    return Calibration(
        definition=found.definition,
        unit=found.unit,
        input_unit=input_unit,
        id=found.id,
        date=found.date,
        valid_until=found.valid_until,
        is_applied=is_applied,
        instead_of=instead_of,
    )
