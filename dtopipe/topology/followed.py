"""The options of a board that follows a run, given by a command or a program instead of a topology."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from dtopipe.boards.registry import OURS, following_type
from dtopipe.model.errors import Problem, TopologyError
from dtopipe.model.parts import BoardPart
from dtopipe.model.plan import BoardPlan
from dtopipe.model.references import referred
from dtopipe.topology.options import board_model, own_options
from dtopipe.topology.problems import problems_of
from dtopipe.topology.variables import absent_problems, resolved


def followed_options(given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """All options of the board for `given["endpoint"]`, its variables filled in and defaults added.

    Raises TopologyError with every problem, UsageError where no board follows what is there.
    """
    kind = following_type(str(given["endpoint"]))
    absent: dict[str, list[str]] = {}
    whole = resolved({**given, "type": kind.name}, environ, absent, "board")
    if absent:
        raise TopologyError(list(absent_problems(absent, {})))
    model = board_model(kind.name, OURS[kind.name])
    try:
        options = own_options(model.model_validate(whole), BoardPart)
    except ValidationError as error:
        raise TopologyError(problems_of(error, model, "board", {})) from None
    mistakes = referred(kind.problems)(BoardPlan(kind.name, options, None)) if kind.problems else ()
    if problems := [Problem(None, *mistake) for mistake in mistakes]:
        raise TopologyError(problems)
    return options
