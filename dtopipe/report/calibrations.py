"""How the values of each channel are made, and whether its calibration still counted when the run began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.model.errors import WireError
from dtopipe.model.facts import strict_json
from dtopipe.model.stream import Channel
from dtopipe.wire.describe import stream_from

_NOTES = ("unit", "input_unit", "id", "date", "valid_until")
_LONGEST_HOW = 600


@dataclass(frozen=True, slots=True)
class Meaning:
    """One channel. `how`: from input to value; `id`, `date`, `valid_until`: of its certificate, empty if none is known.

    `validity`: in words; empty for a channel without a calibration.
    """

    channel: str
    unit: str
    kind: str
    how: str
    id: str = ""
    date: str = ""
    valid_until: str = ""
    validity: str = ""


def meanings_of(record: Mapping[str, Any]) -> tuple[Meaning, ...]:
    """Of each channel of the run, virtual ones behind the others; none before its board was opened."""
    if not record.get("stream"):
        return ()
    try:
        stream = stream_from(record["stream"])
    except WireError:
        return ()
    day = str(record.get("started_at", ""))[:10]
    return tuple(_meaning(channel, day) for channel in (*stream.channels, *stream.virtual))


def _meaning(channel: Channel, day: str) -> Meaning:
    calibration = channel.calibration
    if channel.formula:
        constants = ", ".join(f"{name} = {value:g}" for name, value in channel.constants.items())
        how = f"{channel.formula}{f' with {constants}' if constants else ''}"
        return Meaning(channel.name, channel.unit, channel.kind, how[:_LONGEST_HOW])
    if calibration is None:
        scale, offset = channel.input_scaling
        how = "codes as they are" if channel.is_raw else f"code * {scale:.9g} + {offset:.9g}"
        return Meaning(channel.name, channel.unit, channel.kind, how)
    made = {key: value for key, value in calibration.document().items() if key not in _NOTES}
    how = "; ".join(f"{key} {value if isinstance(value, str) else strict_json(value)}" for key, value in made.items())
    validity = "no date of validity is known"
    if calibration.valid_until:
        # Both are ISO 8601, which sorts as days do.
        is_valid = day <= calibration.valid_until
        validity = "valid when the run began" if is_valid else "OUT OF DATE when the run began"
    return Meaning(
        channel.name,
        channel.unit,
        channel.kind,
        f"from {calibration.input_unit}: {how}"[:_LONGEST_HOW],
        calibration.id,
        calibration.date,
        calibration.valid_until,
        validity,
    )
