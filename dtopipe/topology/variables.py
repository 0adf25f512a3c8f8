"""`${VAR}` and `${VAR:-default}` from the environment of the command; records keep them unresolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dtopipe.model.errors import Place, Problem

# A topology is the same on every system; Windows has another name for it.
_ALSO_CALLED = {"USER": "USERNAME"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def resolved(value: Any, environ: Mapping[str, str], absent: dict[str, list[str]], key: str = "") -> Any:
    """The same document with variables replaced.

    One that is not set and has no default stays as it is, and comes into `absent`: its name, and the keys that need it.
    """
    if isinstance(value, dict):
        return {name: resolved(item, environ, absent, f"{key}.{name}" if key else name) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, environ, absent, f"{key}[{n}]") for n, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        value = environ.get(name, environ.get(_ALSO_CALLED.get(name, "")))
        if value is not None:
            return value
        if default is None:
            absent.setdefault(name, []).append(key)
        return found[0] if default is None else default

    return _VARIABLE.sub(replace, value)


def absent_problems(absent: Mapping[str, list[str]], places: Mapping[str, Place]) -> Iterator[Problem]:
    """One problem a variable, at the first key that needs it."""
    for name, keys in absent.items():
        first, *more = dict.fromkeys(keys)
        remedy = f"set it before the command, or write ${{{name}:-a default}}"
        too = f"; {', '.join(more)} need{'s' if len(more) == 1 else ''} it too" if more else ""
        yield Problem(places.get(first), first, f"the environment has no {name}{too}", remedy)
