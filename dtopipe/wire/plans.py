"""Sink plans as plain maps and back, for a command that asks a run to take one more sink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dtopipe.model.condition import condition_of
from dtopipe.model.errors import WireError
from dtopipe.model.plan import RestartPlan, SinkPlan, TriggerPlan
from dtopipe.model.policy import Layout, OnExists, Policy
from dtopipe.wire.shape import ensure_fields


def describe_sink(plan: SinkPlan) -> dict[str, Any]:
    """A msgpack-able map of everything in it."""
    words = {"policy": plan.policy.value, "layout": plan.layout.value, "on_exists": plan.on_exists.value}
    return {**asdict(plan), **words}


def sink_from(description: Mapping[str, Any]) -> SinkPlan:
    """The plan of such a map. Raises WireError."""
    try:
        channels, trigger = description["channels"], description["trigger"]
        parts: dict[str, Any] = {
            "policy": Policy(description["policy"]),
            "layout": Layout(description["layout"]),
            "on_exists": OnExists(description["on_exists"]),
            "restart": RestartPlan(**description["restart"]),
            "channels": None if channels is None else tuple(channels),
            "options": dict(description["options"]),
            "trigger": None if trigger is None else TriggerPlan(**trigger),
        }
        plan = SinkPlan(**{**description, **parts})
        ensure_fields(plan.restart)
        if plan.trigger is not None:
            ensure_fields(plan.trigger)
            condition_of(plan.trigger.when)
        ensure_fields(plan)
        return plan
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"not the description of a sink: {error}") from error
