"""What a description of a stream must be, wherever it comes from: a record, an output, another machine."""

from __future__ import annotations

from typing import Any

from dtopipe.model.facts import Facts, Misfit
from dtopipe.model.recorded_calibration import calibration_from

_MOST_CHANNELS = 65_536
_MOST_NAME = 4096
_MOST_SAMPLES_A_BLOCK = 2**31
_MOST_SAMPLES_A_ROW = 2**53
# One sample a year, and beyond what the sample clock can tell apart.
_LEAST_RATE_HZ, _MOST_RATE_HZ = 3e-8, 1e9
_DTYPES = tuple(
    f"{kind}{bits}"
    for kind, sizes in (("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)), ("float", (16, 32, 64)))
    for bits in sizes
)


def check_stream(stream: Facts) -> None:
    """Raises Misfit for the first value that no stream has."""
    # An id of ours is a word; a recording that has none is called by its path.
    for name in ("run_id", "task", "device", "started_at"):
        stream.text(name, most=_MOST_NAME)
    stream.choice("dtype", _DTYPES)
    if stream.number("rate_hz", most=_MOST_RATE_HZ) < _LEAST_RATE_HZ:
        raise stream.misfit("rate_hz", "is no number that it can be")
    stream.count("samples_per_block", most=_MOST_SAMPLES_A_BLOCK)
    stream.truth("simulated", default=False)
    stream.truth("polled", default=False)
    if stream.has("every"):
        stream.count("every", most=_MOST_SAMPLES_A_ROW)
    stream.text("reduce", default="")
    stream.plain("metadata")
    for number, channel in enumerate(stream.list("channels", most=_MOST_CHANNELS)):
        check_channel(Facts(channel, f"{stream.path('channels')}[{number}]"))
    for number, channel in enumerate(stream.list("virtual", most=_MOST_CHANNELS) if stream.has("virtual") else ()):
        check_channel(Facts(channel, f"{stream.path('virtual')}[{number}]"))


def check_channel(channel: Facts) -> None:
    """Raises Misfit for the first value that no channel has."""
    channel.text("name", most=_MOST_NAME)
    channel.text("unit", default="", most=_MOST_NAME)
    channel.text("kind", default="voltage", most=_MOST_NAME)
    channel.number("scale", default=1.0)
    channel.number("offset", default=0.0)
    if channel.has("range"):
        check_range(channel.list("range", most=2), channel.path("range"))
    if channel.has("physical_channel"):
        channel.count("physical_channel", most=2**31)
    channel.plain("details")
    if channel.has("calibration"):
        calibration_from(channel.any("calibration"), channel.path("calibration"))
    channel.text("formula", default="")
    if channel.has("constants"):
        constants = channel.part("constants")
        for name in constants.names():
            constants.number(name)


def check_range(limits: list[Any], key: str) -> None:
    """Raises Misfit if these are not a lowest and a highest value."""
    if len(limits) != 2:
        raise Misfit(key, "must be a lowest and a highest value")
    both = Facts(dict(zip(("0", "1"), limits, strict=True)), key)
    both.number("0")
    both.number("1")
