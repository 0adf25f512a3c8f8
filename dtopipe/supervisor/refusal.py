"""Why a run cannot start, said at its place in the topology."""

from __future__ import annotations

from dtopipe.model.errors import Problem, TopologyError
from dtopipe.model.plan import RunPlan


def refusal(plan: RunPlan, key: str, message: str, remedy: str = "") -> TopologyError:
    """The error for a run that cannot start, at the place of `key` in the topology or of what is around it."""
    parts = key.split(".")
    places = (plan.places.get(".".join(parts[:n])) for n in range(len(parts), 0, -1))
    return TopologyError([Problem(next(filter(None, places), None), key, message, remedy)])
