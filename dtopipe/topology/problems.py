"""Pydantic's errors as problems with a place, what is wrong, and the nearest valid word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from dtopipe.model.errors import Place, Problem


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean x?`, else what there is."""
    words = list(dict.fromkeys(str(name) for name in known))
    near = difflib.get_close_matches(str(word), words, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(words)}"


def problems_of(
    error: ValidationError, model: type[BaseModel], base: str, places: Mapping[str, Place]
) -> list[Problem]:
    """Every mistake that pydantic found in the part at key path `base`."""
    found: dict[str, Problem] = {}
    for mistake in error.errors():
        loc = _without_branches(mistake["loc"])
        key = _key(base, loc)
        text, remedy = _words(dict(mistake), model, loc)
        # A union reports each of its branches; the first says it.
        found.setdefault(key, Problem(place_of(key, places), key, text, remedy))
    return list(found.values())


def place_of(key: str, places: Mapping[str, Place]) -> Place | None:
    """The place of a key, or of what is around it."""
    while key and key not in places:
        cut = max(key.rfind("."), key.rfind("["))
        key = key[:cut] if cut > 0 else ""
    return places.get(key)


def _without_branches(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The location without the names of union members that pydantic puts into it."""
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith(("literal[", "float", "int"))))


def _key(base: str, loc: Iterable[int | str]) -> str:
    key = base
    for part in loc:
        key = f"{key}[{part}]" if isinstance(part, int) else f"{key}.{part}" if key else str(part)
    return key


def _words(mistake: Mapping[str, Any], model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, str]:
    kind, given = mistake["type"], mistake["input"]
    if kind == "missing":
        return "is missing", ""
    if kind == "extra_forbidden":
        return "unknown key", nearest(str(loc[-1]), _fields(model, loc[:-1]))
    if kind in ("literal_error", "enum"):
        expected = str(mistake["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        return f"{given!r} is not one of the words for it", nearest(str(given), expected.split(", "))
    if kind == "value_error":
        return str(mistake["ctx"]["error"]), ""
    if kind == "too_short":
        return "must not be empty", ""
    if kind == "string_too_short":
        return "must not be empty", ""
    text = str(mistake["msg"]).removeprefix("Input ").partition(",")[0]
    return f"{text.replace('valid dictionary', 'mapping')}, not {given!r}", ""


def _fields(model: type[BaseModel], loc: Iterable[int | str]) -> list[str]:
    """Keys that are known at this place."""
    current: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = current.model_fields[part].annotation if part in current.model_fields else None
        current = _model_in(annotation)
        if current is None:
            return []
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found:
            return found
    return None
