"""What a recording says of itself, for boards that bring their own task."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dtopipe.model.derived import DerivationError, DerivedValues
from dtopipe.model.errors import Problem, TopologyError, WireError
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.model.stream import Channel
from dtopipe.wire.dtraw import read_file_header

# A chunk's header is JSON of about this length.
_CHUNK_HEADER_BYTES = 300


def recorded_task(path: Path) -> TaskPlan:
    """The task of a `.dt-raw` file. Raises TopologyError, its problem without a place."""
    try:
        header = read_file_header(path)
    except (OSError, ValueError) as error:
        # A ValueError is a path that no system takes.
        why = getattr(error, "strerror", None) or str(error)
        raise TopologyError([Problem(None, "", f"{path}: {why}", "give the path of a .dt-raw file")]) from error
    except WireError as error:
        raise TopologyError([Problem(None, "", str(error), "give the path of a .dt-raw file")]) from error
    try:
        DerivedValues(header.channels, header.virtual, [each.name for each in (*header.channels, *header.virtual)])
    except DerivationError as error:
        remedy = "dtopipe convert with --calibration NEW.yaml makes a recording of it that stands by itself"
        raise TopologyError([Problem(None, "", f"{path}: {error}", remedy)]) from error
    return TaskPlan(
        header.task,
        header.sample_rate_hz or 1.0,
        max(1, header.samples_per_buffer),
        tuple(map(channel_plan, header.channels)),
        virtual=tuple(map(channel_plan, header.virtual)),
    )


def channel_plan(channel: Channel) -> ChannelPlan:
    """What a topology would say for such a channel."""
    return ChannelPlan(
        name=channel.name,
        kind=channel.kind,
        range=channel.range,
        unit=channel.input_unit,
        calibration=channel.calibration,
        formula=channel.formula,
        constants=channel.constants,
    )


def recorded_item_bytes(path: Path) -> int:
    """Bytes a code takes in the ring: 2, 4 or, as a float64, 8. Raises OSError, WireError."""
    recorded = np.dtype(read_file_header(path).dtype)
    return next((np.dtype(name).itemsize for name in ("int16", "int32") if np.can_cast(recorded, name)), 8)


def recorded_length_s(path: Path) -> float:
    """About how long a recording is, from its size. Raises OSError, WireError."""
    header = read_file_header(path)
    per_chunk = max(1, header.samples_per_buffer)
    chunk_bytes = per_chunk * len(header.channels) * np.dtype(header.dtype).itemsize + _CHUNK_HEADER_BYTES
    return path.stat().st_size / chunk_bytes * per_chunk / (header.sample_rate_hz or 1.0)
