"""Pydantic's errors as problems with a place, what is wrong, and the nearest valid word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from dtopipe.model.errors import DtopipeError, Place, Problem
from dtopipe.model.suggestions import nearest
from dtopipe.topology.secrets import SECRET_KEYS

_LONGEST_SHOWN = 60


def problems_of(
    error: ValidationError, model: type[BaseModel], base: str, places: Mapping[str, Place]
) -> list[Problem]:
    """Every mistake that pydantic found in the part at key path `base`."""
    found: dict[str, Problem] = {}
    for mistake in error.errors(include_url=False):
        spot = _Spot.of(model, mistake["loc"])
        key = _key(base, spot.path)
        text, remedy = _words(dict(mistake), spot)
        # A union reports each of its branches; the first says it.
        found.setdefault(key, Problem(place_of(key, places), key, text, remedy))
    return list(found.values())


def place_of(key: str, places: Mapping[str, Place]) -> Place | None:
    """The place of a key, or of what is around it."""
    while key and key not in places:
        cut = max(key.rfind("."), key.rfind("["))
        key = key[:cut] if cut > 0 else ""
    return places.get(key)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where in a model a mistake is: the keys to it, the keys that are known beside it, what it is for."""

    path: tuple[int | str, ...]
    known: tuple[str, ...]
    meaning: str

    @classmethod
    def of(cls, model: type[BaseModel], loc: Iterable[int | str]) -> _Spot:
        """The spot at pydantic's location, which also names the branches of unions."""
        path: list[int | str] = []
        known: tuple[str, ...] = ()
        meaning = ""
        inside: Any = model
        for part in loc:
            here = _model_in(inside)
            if isinstance(part, int):
                path.append(part)
                inside = next(iter(get_args(inside)), None) if here is None else here
            elif here is not None:
                path.append(part)
                fields = {each.alias or name: each for name, each in here.model_fields.items()}
                field = fields.get(part)
                known = tuple(fields)
                meaning = (field.description or "") if field else ""
                inside = field.annotation if field else None
            elif get_origin(inside) is dict:
                path.append(part)
                inside = get_args(inside)[1]
        return cls(tuple(path), known, meaning)

    @property
    def remedy(self) -> str:
        """What the key is for."""
        name = next((part for part in reversed(self.path) if isinstance(part, str)), "")
        return f"{name}: {self.meaning}" if self.meaning else ""


def _key(base: str, path: Iterable[int | str]) -> str:
    key = base
    for part in path:
        key = f"{key}[{part}]" if isinstance(part, int) else f"{key}.{part}" if key else str(part)
    return key


_EXPECTED = {
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "{le:g} or less",
    "finite_number": "a finite number",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}


def _words(mistake: Mapping[str, Any], spot: _Spot) -> tuple[str, str]:
    """What is wrong, and what to write instead."""
    kind, given, context = mistake["type"], mistake["input"], mistake.get("ctx", {})
    if spot.path and spot.path[-1] in SECRET_KEYS and kind in _EXPECTED:
        return f"must be {_EXPECTED[kind].format(**context)}", spot.remedy
    if kind == "missing":
        return ("needs one more value" if isinstance(spot.path[-1], int) else "is missing"), spot.remedy
    if kind == "extra_forbidden":
        return "unknown key", nearest(str(spot.path[-1]), spot.known)
    if kind in ("literal_error", "enum"):
        words = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        near = difflib.get_close_matches(str(given), words.split(", "), 1, 0.6)
        return f"must be one of {words}, not {_shown(given)}", f"did you mean {near[0]}?" if near else spot.remedy
    if kind == "value_error" and isinstance(context["error"], DtopipeError):
        return context["error"].message, context["error"].remedy
    if kind == "value_error":
        return str(context["error"]), spot.remedy
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", spot.remedy
    if kind not in _EXPECTED:
        return f"{mistake['msg']}: {_shown(given)}", spot.remedy
    remedy = f'write "{given}", in quotes' if kind == "string_type" and isinstance(given, int | float) else spot.remedy
    expected = _EXPECTED[kind].format(**context)
    return f"must be {expected}, and is empty" if given is None else f"must be {expected}, not {_shown(given)}", remedy


def _shown(given: Any) -> str:
    text = str(given).lower() if isinstance(given, bool) else repr(given)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field that holds one, or may be left out."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in (Union, UnionType):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None


def is_part_of(keys: Iterable[str], whole: str) -> bool:
    """True if one of the keys is this one, or below it."""
    return any(key == whole or key.startswith((f"{whole}.", f"{whole}[")) for key in keys)


def by_place(problem: Problem) -> tuple[str, int, int]:
    """Sorts problems as they stand in the file."""
    place = problem.place
    return (place.file, place.line, place.column) if place else ("", 0, 0)
