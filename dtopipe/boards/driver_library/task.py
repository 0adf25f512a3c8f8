"""Our task in the driver library's words, and what its converter makes of each channel."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Any

from dtopipe.boards.driver_library.codes import Converter
from dtopipe.boards.driver_library.options import BOARD, DriverLibraryOptions, signal_keys
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.model.stream import Channel

# The class of each kind of input, and what its lowest and highest value are called there.
KINDS: Mapping[str, tuple[str, tuple[str, str] | None]] = {
    "voltage": ("AnalogInputVoltage", ("min_val", "max_val")),
    "raw": ("AnalogInputVoltage", ("min_val", "max_val")),
    "thermocouple": ("ThermocoupleInput", ("min_val_degc", "max_val_degc")),
    "current": ("CurrentInput", ("min_val", "max_val")),
    "rtd": ("RtdInput", None),
    "thermistor": ("ThermistorInput", None),
    "resistance": ("ResistanceInput", None),
    "iepe": ("IepeInput", None),
    "strain": ("StrainInput", None),
    "bridge": ("BridgeInput", None),
}
# Of what is written for the driver where the topology says none.
_UNITS = {"current": "A", "raw": ""}
# What a topology fills in where nothing was asked for.
_ANY_RANGE = (-10.0, 10.0)
_OURS = ("name", "physical_channel", "unit", "metadata")


def require_driver_library() -> None:
    """Raises BoardError, with the way to get it, where the driver library is not installed."""
    try:
        import dtollib  # noqa: F401
    except ImportError as error:
        raise BoardError(
            BOARD,
            f"the driver library dtollib cannot be imported ({error})",
            'pip install "dtopipe[dtol]", which needs Python 3.13 or newer; or rehearse with `up --simulate`',
        ) from error


def task_spec(task: TaskPlan, options: DriverLibraryOptions) -> Any:
    """The driver library's `TaskSpec` of this task. Raises BoardError on what it refuses."""
    import dtollib

    channels = [_channel_spec(channel, number) for number, channel in enumerate(task.channels)]
    flow: dict[str, Any] = {"data_flow": dtollib.DataFlow.SINGLE_VALUE}
    try:
        if not task.polled:
            flow = {
                "data_flow": dtollib.DataFlow.CONTINUOUS,
                "timing": dtollib.Timing(rate_hz=task.rate_hz),
                "buffers": dtollib.BufferPlan(buffers=task.driver_buffers, samples_per_buffer=task.samples_per_block),
            }
        # An overrun is a gap, not an end.
        return dtollib.TaskSpec(
            name=task.name,
            channels=channels,
            board=options.device,
            element=options.element,
            stop_on_error=False,
            **flow,
        )
    except (dtollib.DtolError, TypeError, ValueError) as error:
        raise BoardError(BOARD, f"the driver library refuses the task: {error}", "change the task: section") from error


def gain_of(spec: Any) -> float:
    """The gain that one of `task_spec`'s channels is read with."""
    return float(spec.gain)


def channel(plan: ChannelPlan, spec: Any, converter: Converter) -> Channel:
    """The channel as it is measured. Raises BoardError if its range is not the one that was asked for."""
    gain = gain_of(spec)
    limits = converter.limits(gain)
    _check_range(plan, limits, gain)
    scale, offset = (1.0, 0.0) if plan.kind == "raw" else converter.scale_and_offset(gain)
    if plan.kind not in ("voltage", "raw"):
        logging.warning("channel %s: its values are volts at the input; a %s is not converted", plan.name, plan.kind)
    unit = {"raw": "", "voltage": "V" if plan.unit is None else plan.unit}.get(plan.kind, "V")
    return Channel(
        name=plan.name,
        unit=unit,
        kind=plan.kind,
        scale=scale,
        offset=offset,
        range=None if plan.kind == "raw" else limits,
        physical_channel=spec.physical_channel,
        details={**plan.options, "gain": gain},
    )


def _channel_spec(plan: ChannelPlan, number: int) -> Any:
    import dtollib

    if plan.kind not in KINDS:
        raise BoardError(BOARD, f"channel {plan.name}: there is no kind {plan.kind!r}", f"there are {', '.join(KINDS)}")
    class_name, range_keys = KINDS[plan.kind]
    spec_type = getattr(dtollib.channels, class_name)
    known = [each.name for each in fields(spec_type) if each.name not in _OURS]
    for key in plan.options:
        near = difflib.get_close_matches(key, known, 1, 0.75)
        if near and near[0] != key and key not in signal_keys():
            raise BoardError(BOARD, f"channel {plan.name}: there is no option {key!r}", f"did you mean {near[0]}?")
    try:
        # What the driver does not know is a note, kept with the data.
        words = {key: _word(spec_type, key, value) for key, value in plan.options.items() if key in known}
        limits = _limits(plan, words) if range_keys else None
        if range_keys and limits:
            words = {**dict(zip(range_keys, limits, strict=True)), **words}
        return spec_type(
            name=plan.name,
            physical_channel=number if plan.physical_channel is None else plan.physical_channel,
            unit=_UNITS.get(plan.kind, "V") if plan.unit is None else plan.unit,
            **words,
        )
    except (dtollib.DtolError, TypeError, ValueError, KeyError) as error:
        raise BoardError(
            BOARD,
            f"channel {plan.name}: the driver library refuses it: {error}",
            f"a {plan.kind} input has {', '.join(known)}",
        ) from error


def _word(spec_type: Any, key: str, value: Any) -> Any:
    """A word of a topology as the library's own, where it has one for it."""
    import dtollib.channels.analog_input as inputs

    named = {
        "thermocouple_type": inputs.ThermocoupleType,
        "filter": inputs.FilterType,
        "encoding": inputs.Encoding,
        "coupling": inputs.CouplingType,
    }
    default: Any = next(each.default for each in fields(spec_type) if each.name == key)
    word_type = named.get(key) or (type(default) if isinstance(default, Enum) else None)
    return value if word_type is None or value is None else word_type(value)


def _limits(plan: ChannelPlan, words: Mapping[str, Any]) -> tuple[float, float] | None:
    """What the driver is asked for: a voltage's range before the gain."""
    asked = None if plan.range is None or tuple(plan.range) == _ANY_RANGE else plan.range
    if plan.kind == "thermocouple":
        if asked is None:
            from dtollib.utils import get_thermocouple_range

            low, high = get_thermocouple_range(words["thermocouple_type"])
            return float(low), float(high)
        return asked
    if asked is None:
        return None
    gain = float(words.get("gain", 1.0))
    return asked[0] * gain, asked[1] * gain


def _check_range(plan: ChannelPlan, limits: tuple[float, float], gain: float) -> None:
    """A scale that is not the board's would make wrong values of right codes."""
    if plan.kind != "voltage" or plan.range is None or tuple(plan.range) == _ANY_RANGE:
        return
    span = limits[1] - limits[0]
    if max(abs(plan.range[0] - limits[0]), abs(plan.range[1] - limits[1])) <= 1e-6 * span:
        return
    wanted = span * gain / (plan.range[1] - plan.range[0])
    raise BoardError(
        BOARD,
        f"channel {plan.name} measures {limits[0]:g} to {limits[1]:g} V at gain {gain:g},"
        f" not {plan.range[0]:g} to {plan.range[1]:g} V",
        f"write range: [{limits[0]:g}, {limits[1]:g}], or another gain, such as gain: {wanted:g}",
    )
