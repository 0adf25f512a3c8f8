"""`${VAR}` and `${VAR:-default}` from the environment of the command; records keep them unresolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dtopipe.model.errors import Place, Problem

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def resolved(
    value: Any, environ: Mapping[str, str], places: Mapping[str, Place], problems: list[Problem], key: str = ""
) -> Any:
    """The same document with variables replaced; one that is not set and has no default is a problem."""
    if isinstance(value, dict):
        return {
            name: resolved(item, environ, places, problems, f"{key}.{name}" if key else name)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [resolved(item, environ, places, problems, f"{key}[{n}]") for n, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if name not in environ and default is None:
            remedy = f"set it before the command, or write ${{{name}:-a default}}"
            problems.append(Problem(places.get(key), key, f"the environment has no {name}", remedy))
        return environ.get(name, default or "")

    return _VARIABLE.sub(replace, value)
