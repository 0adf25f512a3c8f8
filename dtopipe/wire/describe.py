"""Model values as plain maps and back, for messages and for the headers of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.facts import Facts, Misfit
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.model.position import Position
from dtopipe.model.recorded_calibration import calibration_from
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Channel, Stream
from dtopipe.model.stream_facts import check_channel, check_stream
from dtopipe.wire.shape import ensure_fields

# What a later version says besides is passed over.
_STREAM_FIELDS = tuple(field.name for field in fields(Stream))
_CHANNEL_FIELDS = tuple(field.name for field in fields(Channel))


def describe_stream(stream: Stream) -> dict[str, Any]:
    """A JSON-able map of everything in it."""
    channels = [describe_channel(channel) for channel in stream.channels]
    virtual = [describe_channel(channel) for channel in stream.virtual]
    known = asdict(replace(stream, channels=(), virtual=()))
    if stream.every == 1:
        del known["every"], known["reduce"]
    return {**known, "channels": channels, "virtual": virtual}


def describe_channel(channel: Channel) -> dict[str, Any]:
    """A JSON-able map of everything in it; what it has not got of calibration and formula is left out."""
    described = asdict(replace(channel, calibration=None))
    for key in ("calibration", "formula", "constants"):
        if not described[key]:
            del described[key]
    if channel.calibration is not None:
        described["calibration"] = channel.calibration.facts()
    return described


def stream_from(description: Any) -> Stream:
    """The stream of such a map, whose values have their types and ranges. Raises WireError."""
    try:
        check_stream(Facts(description))
    except Misfit as error:
        raise WireError(f"not the description of a stream: {error}") from error
    known = {name: description[name] for name in _STREAM_FIELDS if name in description}
    channels, virtual = (tuple(map(_channel, description.get(name) or ())) for name in ("channels", "virtual"))
    return Stream(**{**known, "channels": channels, "virtual": virtual, "rate_hz": float(description["rate_hz"])})


def channel_from(description: Any) -> Channel:
    """The channel of such a map, whose values have their types and ranges. Raises WireError."""
    try:
        check_channel(Facts(description))
    except Misfit as error:
        raise WireError(f"not the description of a channel: {error}") from error
    return _channel(description)


def _channel(description: Mapping[str, Any]) -> Channel:
    limits = description.get("range")
    known = {name: description[name] for name in _CHANNEL_FIELDS if name in description}
    # A whole number is a number too, and may be one that no database takes as such.
    numbers = {name: float(description[name]) for name in ("scale", "offset") if name in description}
    known_range = None if limits is None else (float(limits[0]), float(limits[1]))
    calibration = description.get("calibration")
    calibrated = None if calibration is None else calibration_from(calibration, "calibration")
    return Channel(**{**known, **numbers, "range": known_range, "calibration": calibrated})


def describe_task(task: TaskPlan) -> dict[str, Any]:
    """A msgpack-able map of what a board is told; what its codes mean is none of its business."""
    bare = tuple(replace(channel, calibration=None) for channel in task.channels)
    return asdict(replace(task, channels=bare, virtual=()))


def task_from(description: Mapping[str, Any]) -> TaskPlan:
    """The task of such a map. Raises WireError."""
    try:
        channels = tuple(
            ChannelPlan(**{**channel, "range": None if channel["range"] is None else tuple(channel["range"])})
            for channel in description["channels"]
        )
        return TaskPlan(**{**description, "channels": channels})
    except (KeyError, TypeError) as error:
        raise WireError(f"not the description of a task: {error}") from error


def describe_position(position: Position) -> dict[str, int]:
    """A map of its six numbers."""
    return asdict(position)


def position_from(description: Mapping[str, Any]) -> Position:
    """The position of such a map. Raises WireError."""
    try:
        position = Position(**description)
    except TypeError as error:
        raise WireError(f"not the description of a position: {error}") from error
    ensure_fields(position)
    if not position.adds_up:
        raise WireError("not the description of a position: its numbers do not add up")
    return position


def describe_gaps(gaps: Sequence[Gap]) -> list[list[Any]]:
    """`[start, stop, cause, t_utc_ns]` of each."""
    return [[gap.span.start, gap.span.stop, gap.cause.value, gap.t_utc_ns] for gap in gaps]


def gaps_from(description: Sequence[Sequence[Any]]) -> list[Gap]:
    """The gaps of such a list. Raises WireError."""
    try:
        gaps = [Gap(Span(start, stop), Cause(cause), t_utc_ns) for start, stop, cause, t_utc_ns in description]
    except (TypeError, ValueError) as error:
        raise WireError(f"not a list of gaps: {error}") from error
    numbers = (number for gap in gaps for number in (gap.span.start, gap.span.stop, gap.t_utc_ns))
    if not all(_is_whole(number) for number in numbers) or any(gap.span.stop < gap.span.start for gap in gaps):
        raise WireError("a list of gaps with numbers that are none")
    return gaps


def _is_whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and abs(number) < 2**63


def describe_anchor(anchor: Anchor) -> list[int]:
    """`[sample_index, t_mono_ns, t_utc_ns]`."""
    return [anchor.sample_index, anchor.t_mono_ns, anchor.t_utc_ns]


def anchor_from(description: Sequence[Any]) -> Anchor:
    """The anchor of such a list. Raises WireError."""
    if len(description) != 3 or not all(_is_whole(number) for number in description):
        raise WireError("not an anchor")
    return Anchor(*description)
