"""What a run's recorded topology says of a sink, once more resolved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from dtopipe.model.errors import SinkError
from dtopipe.model.parts import SinkPart
from dtopipe.model.references import referred
from dtopipe.sinks.registry import installed, known_sink_type
from dtopipe.topology.options import own_options, sink_model
from dtopipe.topology.variables import absent_problems, resolved


def resolved_part(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a recorded topology with the variables of this command; one that is not set any more is empty."""
    absent: dict[str, list[str]] = {}
    resolved(dict(part), os.environ, absent)
    found: dict[str, Any] = resolved(dict(part), {**os.environ, **dict.fromkeys(absent, "")}, {})
    return found


def recorded_options(topology: Mapping[str, Any], name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The own options of a sink of a recorded topology, variables from `environ`. Raises SinkError."""
    sink = topology.get("sinks", {}).get(name, {})
    absent: dict[str, list[str]] = {}
    values = resolved(sink, environ, absent, f"sinks.{name}")
    for problem in absent_problems(absent, {}):
        raise SinkError(None, f"its connection is not known: {problem.message}", problem.remedy)
    try:
        kind = str(sink["type"])
        options = own_options(sink_model(kind, installed()[kind]).model_validate(values), SinkPart)
    except (KeyError, ValidationError) as error:
        # Without the error's own text, which has what was given.
        raise SinkError(None, f"the record does not say how to read it: {type(error).__name__}", "") from None
    server = known_sink_type(kind).server
    return options if server is None else dict(referred(server.completed)(options, topology.get("name")))
