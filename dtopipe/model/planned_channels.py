"""What a topology says of the meaning of a board's channels, put to what the board says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.model.stream import VIRTUAL, Channel


def calibrated(channels: Sequence[Channel], task: TaskPlan) -> tuple[Channel, ...]:
    """The channels that a board opened for this task, with the calibrations that the task has for them."""
    plans = {plan.name: plan for plan in task.channels}
    return tuple(_calibrated(channel, plans.get(channel.name)) for channel in channels)


def _calibrated(channel: Channel, plan: ChannelPlan | None) -> Channel:
    calibration = None if plan is None else plan.calibration
    if calibration is None:
        return channel
    known = replace(calibration, input_unit=channel.unit)
    return replace(channel, unit=calibration.unit, calibration=known)


def virtual_channels(task: TaskPlan) -> tuple[Channel, ...]:
    """The virtual ones of a task."""
    return tuple(
        Channel(plan.name, plan.unit or "", VIRTUAL, formula=plan.formula, constants=plan.constants)
        for plan in task.virtual
    )
