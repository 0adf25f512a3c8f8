"""Readings of slow instruments beside a run, such as a balance: some numbers with units, and when they were taken."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.errors import UsageError
from dtopipe.model.facts import Facts
from dtopipe.model.marks import steers

# A value is a column of a table, with one for its unit beside it: what every database takes as a name.
_VALUE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}", re.ASCII)
LONGEST_NAME, LONGEST_UNIT, MOST_VALUES = 100, 50, 50


@dataclass(frozen=True, slots=True)
class InstrumentReading:
    """What one instrument said at one moment.

    `number`: from 1 on, in the order in which readings came in, of all instruments of the run. `sample_index`,
    `t_mono_ns`, `t_utc_ns`: the run's sample at that moment, and the moment itself on the clocks that the samples have
    too. `values`: None where the instrument had none; `units`: of those values that have one.
    """

    number: int
    instrument: str
    sample_index: int
    t_mono_ns: int
    t_utc_ns: int
    values: Mapping[str, float | None]
    units: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a line of `instruments.jsonl`."""
        return {
            "number": self.number,
            "instrument": self.instrument,
            "sample_index": self.sample_index,
            "t_mono_ns": self.t_mono_ns,
            "t_utc": iso_utc(self.t_utc_ns),
            "values": dict(self.values),
            "units": dict(self.units),
        }

    @classmethod
    def from_json(cls, document: Any) -> InstrumentReading:
        """The reading of such a line. Raises ValueError for what is none."""
        facts = Facts(document)
        try:
            instrument = checked_instrument(facts.text("instrument"))
            values, units = checked_values(facts.any("values"), facts.any("units", {}))
        except UsageError as error:
            raise ValueError(error.message) from error
        return cls(
            number=facts.count("number", least=1),
            instrument=instrument,
            sample_index=facts.count("sample_index"),
            t_mono_ns=facts.count("t_mono_ns"),
            t_utc_ns=utc_ns(facts.time("t_utc")),
            values=values,
            units=units,
        )


def checked_instrument(name: Any) -> str:
    """The name, if an instrument can be called so. Raises UsageError."""
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or steers(name):
        what = f"an instrument cannot be called {name!a:.120}"
        raise UsageError(what, f"give it a name of 1 to {LONGEST_NAME} letters, digits and signs, such as balance")
    return name.strip()


def checked_values(values: Any, units: Any) -> tuple[dict[str, float | None], dict[str, str]]:
    """The values as plain numbers, and their units. Raises UsageError; what is no number, as NaN, is None."""
    if not isinstance(values, Mapping) or not values:
        raise UsageError("a reading needs a value", "give it by its name, such as mass=12.34")
    if len(values) > MOST_VALUES:
        raise UsageError(f"a reading has at most {MOST_VALUES} values", "make two instruments of it")
    found: dict[str, float | None] = {}
    for name, value in values.items():
        if not isinstance(name, str) or not _VALUE_NAME.fullmatch(name):
            what = f"a value cannot be called {name!a:.120}: it is a column of a table"
            raise UsageError(what, "letters, digits and underscores, at most 50, not a digit first")
        if name.lower().endswith("_unit"):
            what = f"a value cannot be called {name}: a table of readings has the units in such columns"
            raise UsageError(what, f"rename it; a unit is given by units={{{name[:-5]!r}: ...}}")
        found[name] = _number(name, value)
    folded = {name.lower() for name in found}
    if len(folded) < len(found):
        raise UsageError("two values are called alike but for capitals", "a database would take them for one column")
    return found, _checked_units(units, found)


def _checked_units(units: Any, values: Mapping[str, float | None]) -> dict[str, str]:
    if units is None:
        return {}
    if not isinstance(units, Mapping):
        raise UsageError("units are given by the names of the values", 'such as units={"mass": "g"}')
    for name, unit in units.items():
        if name not in values:
            raise UsageError(f"a unit is given for {name!a:.120}, of which there is no value", _named(values))
        if not isinstance(unit, str) or len(unit) > LONGEST_UNIT or steers(unit):
            raise UsageError(f"the unit of {name} cannot be {unit!a:.120}", "write it as text, such as g")
    return {name: unit for name, unit in units.items() if unit}


def _named(values: Mapping[str, float | None]) -> str:
    return f"the values are: {', '.join(values)}"


def _number(name: str, value: Any) -> float | None:
    """Also of a number of numpy's, which has `__float__` as every number; not of text, which a table keeps as such."""
    if value is None:
        return None
    if isinstance(value, str | bytes | bool) or not hasattr(value, "__float__"):
        what = f"{name} must be a number, not {value!a:.80}"
        raise UsageError(what, "say what is no number with a mark: run.mark(label, text=...)")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name} must be one number: {error}") from error
    return number if math.isfinite(number) else None
