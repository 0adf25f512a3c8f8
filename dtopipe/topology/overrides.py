"""What a command line says is put into the document, as if it stood in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dtopipe.model.errors import Place, Problem, TopologyError
from dtopipe.topology.source_locations import Placed, parse_value

_STEP = re.compile(r"[^.\[\]]+")


def set_values(placed: Placed, sets: Sequence[str]) -> Iterator[Problem]:
    """Put what `--set a.b=value` says, values being YAML; yields what is wrong with it."""
    for text in sets:
        key, equals, value = text.partition("=")
        source = f"--set {key}"
        if not equals:
            yield Problem(Place(source, 0, 0), "", "has no value", "write --set a.b=value")
            continue
        try:
            problem = put(placed, key, parse_value(value, source), source)
        except TopologyError as error:
            yield from error.problems
        else:
            yield from (problem,) if problem else ()


def set_metadata(placed: Placed, meta: Sequence[str]) -> Iterator[Problem]:
    """Put what `--meta key=text` says; yields what is wrong with it. A key may have dots in it."""
    for text in meta:
        key, equals, value = text.partition("=")
        if not (key and equals):
            yield Problem(Place(f"--meta {text}", 0, 0), "", "is no key and value", "write --meta key=value")
            continue
        if placed.document.get("metadata") is None:
            placed.document["metadata"] = {}
        # A whole that is no mapping is a mistake that is told where it stands.
        if isinstance(placed.document["metadata"], dict):
            placed.document["metadata"][key] = value
            placed.places[f"metadata.{key}"] = Place(f"--meta {key}", 0, 0)


def put(placed: Placed, key: str, value: Any, source: str) -> Problem | None:
    """Put a value at a key path (`sinks.view.policy`, `task.channels[0].name`), making the mappings on the way.

    `source` is the option that says so, for the places. Returns what is wrong with the path, if anything.
    """
    place = Place(source, 0, 0)
    steps = _STEP.findall(key)
    if not steps:
        return Problem(place, "", "there is no key before the =", "write a key path, such as sinks.view.policy=drop")
    places = placed.places
    at: Any = placed.document
    path = ""
    for number, step in enumerate(steps):
        index: Any = step
        if isinstance(at, list):
            if not step.isdecimal() or int(step) >= len(at):
                return Problem(place, key, f"{path} has {len(at)} items and no [{step}]", "items count from 0")
            index = int(step)
            path = f"{path}[{step}]"
        elif isinstance(at, dict):
            path = f"{path}.{step}" if path else step
        else:
            return Problem(place, key, f"{path} is {at!r}, without keys of its own", f"set {path} as a whole")
        places.setdefault(path, place)
        if number == len(steps) - 1:
            at[index] = value
            _forget_below(path, places)
            places[path] = place
        elif isinstance(at, dict) and at.get(index) is None:
            at[index] = {}
        at = at[index]
    return None


def _forget_below(path: str, places: dict[str, Place]) -> None:
    """What stood below in the file stands there no more."""
    for key in [key for key in places if key.startswith((f"{path}.", f"{path}["))]:
        del places[key]
