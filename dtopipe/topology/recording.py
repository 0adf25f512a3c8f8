"""What a recording says of itself, for boards that bring their own task."""

from __future__ import annotations

from pathlib import Path

from dtopipe.model.errors import Problem, TopologyError, WireError
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.wire.dtraw import read_file_header


def recorded_task(path: Path) -> TaskPlan:
    """The task of a `.dt-raw` file. Raises TopologyError, its problem without a place."""
    try:
        header = read_file_header(path)
    except OSError as error:
        raise TopologyError(
            [Problem(None, "", f"{path}: {error.strerror}", "give the path of a .dt-raw file")]
        ) from error
    except WireError as error:
        raise TopologyError([Problem(None, "", str(error), "give the path of a .dt-raw file")]) from error
    channels = tuple(
        ChannelPlan(name=channel.name, kind=channel.kind, range=channel.range, unit=channel.unit)
        for channel in header.channels
    )
    return TaskPlan(header.task, header.sample_rate_hz or 1.0, max(1, header.samples_per_buffer), channels)


def recorded_dtype(path: Path) -> str:
    """The numpy name of a recording's codes. Raises OSError, WireError."""
    return read_file_header(path).dtype
