"""What a channel's calibration is: its kind and parameters as topologies write them, and how it is read back.

It is one description everywhere: in a topology, in the record of a run, in the metadata of every output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dtopipe.model.facts import strict_json

KINDS = ("linear", "polynomial", "points", "thermocouple", "rtd", "bridge")
# What is said of a calibration besides, in the order in which it is shown.
_NOTES = ("unit", "id", "date", "valid_until")


@dataclass(frozen=True, slots=True)
class Calibration:
    """From a channel's input, in `input_unit`, to values in `unit`.

    `definition`: one key of `KINDS` and those that belong to it, as `model/calibration_part.py` checks them.
    `id`, `date`, `valid_until`: of the certificate, as text; empty where nothing is said. `is_applied`: the stored
    numbers are its results already. `instead_of`: the description of the one that it took the place of.
    """

    definition: Mapping[str, Any]
    unit: str
    input_unit: str = "V"
    id: str = ""
    date: str = ""
    valid_until: str = ""
    is_applied: bool = False
    instead_of: Mapping[str, Any] | None = None

    def __hash__(self) -> int:
        return hash((strict_json(dict(self.definition)), self.unit, self.input_unit))

    @property
    def kind(self) -> str:
        """The word of `KINDS` that it is."""
        return next(kind for kind in KINDS if kind in self.definition)

    @property
    def junction_channel(self) -> str | None:
        """The channel whose temperature is that of a thermocouple's cold junction; None where a number is."""
        junction = self.definition.get("cjc")
        return junction if isinstance(junction, str) else None

    def document(self) -> dict[str, Any]:
        """As a topology has it."""
        notes = {key: getattr(self, key) for key in _NOTES if getattr(self, key)}
        return {**self.definition, **notes}

    def facts(self) -> dict[str, Any]:
        """Everything, JSON-able, for the metadata of outputs and the record of the run."""
        facts = {**self.document(), "input_unit": self.input_unit}
        if self.is_applied:
            facts["is_applied"] = True
        if self.instead_of is not None:
            facts["instead_of"] = dict(self.instead_of)
        return facts

    def applied(self) -> Calibration:
        """The same, of numbers that are its results."""
        return replace(self, is_applied=True)
