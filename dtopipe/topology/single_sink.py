"""The options of one sink that stands in no topology, checked as if it did."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dtopipe.model.errors import Problem, TopologyError
from dtopipe.model.parts import SinkPart
from dtopipe.model.suggestions import nearest
from dtopipe.topology.attachment import sink_of_options
from dtopipe.topology.options import broken_sinks, own_options, sink_models
from dtopipe.topology.problems import problems_of
from dtopipe.topology.variables import absent_problems, resolved

# What a sink needs in a topology, and a conversion says in another way.
_STAND_INS = {"path": "output"}


def convertible_options(kind: str, options: Sequence[str]) -> dict[str, Any]:
    """The own options of a sink of this type from `-o key=value`; what is not given is left to the sink.

    `${VAR}` comes from the environment of the command, as for other commands. Raises TopologyError with every mistake:
    also for keys that only mean something while a run goes on.
    """
    placed = sink_of_options(kind, None, kind, None, options, Path.cwd())
    key = f"sinks.{kind}"
    absent: dict[str, list[str]] = {}
    given: dict[str, Any] = resolved(placed.document["sinks"][kind], os.environ, absent, key)
    if absent:
        raise TopologyError([Problem(p.place, "", p.message, p.remedy) for p in absent_problems(absent, placed.places)])
    models = sink_models()
    if kind not in models:
        broken = broken_sinks()
        what = f"there is no sink of type {kind!r}"
        if kind in broken:
            what = f"this plug-in cannot be loaded: {broken[kind]}"
        raise TopologyError([Problem(placed.places[f"{key}.type"], "", what, nearest(kind, models))])
    model = models[kind]
    takes_any = model.model_config.get("extra") == "allow"
    own = [name for name in model.model_fields if name not in SinkPart.model_fields]
    known = {name: value for name, value in given.items() if name in own or name not in SinkPart.model_fields}
    problems = [
        Problem(placed.places[f"{key}.{name}"], "", _why_not(name), nearest(name, own) if own else f"{kind} has none")
        for name in given
        if name not in own and name != "type" and not (takes_any and name in known)
    ]
    chosen = {name: value for name, value in known.items() if takes_any or name in own}
    needed = _STAND_INS if model.model_fields["path"].is_required() else {}
    try:
        part = model.model_validate({"type": kind, **needed, **chosen})
    except ValidationError as error:
        wrong = problems_of(error, model, key, placed.places)
        raise TopologyError([*problems, *(Problem(p.place, "", p.message, p.remedy) for p in wrong)]) from error
    if problems:
        raise TopologyError(problems)
    found = own_options(part, SinkPart)
    return {name: found[name] for name in chosen if name in found}


def _why_not(name: str) -> str:
    return "is for a run, and no option of a conversion" if name in SinkPart.model_fields else "unknown key"
