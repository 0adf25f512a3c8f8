"""Another calibration for codes that were recorded: a file of its own, `{channel: {thermocouple: K, ...}, ...}`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dtopipe.boards.recorded_task import channel_plan
from dtopipe.model.calibration_part import CalibrationPart
from dtopipe.model.errors import Problem, TopologyError
from dtopipe.model.stream import Channel, Stream
from dtopipe.model.suggestions import nearest
from dtopipe.topology.calibrations import (
    calibration_of,
    calibration_warnings,
    channel_document,
    channel_problems,
    readable_part,
)
from dtopipe.topology.problems import place_of, problems_of
from dtopipe.topology.schema import ChannelPart
from dtopipe.topology.source_locations import Placed, read_yaml


@dataclass(frozen=True, slots=True)
class Recalibration:
    """The stream with the calibrations of the file, and what is not as it should be with these."""

    stream: Stream
    warnings: tuple[Problem, ...]


def recalibration(file: Path, stream: Stream) -> Recalibration:
    """The stream whose channels have the file's calibrations; each names the one that it takes the place of.

    Raises TopologyError with every problem at once.
    """
    placed = read_yaml(file)
    names = [channel.name for channel in stream.channels]
    problems = list(placed.problems)
    given: dict[str, CalibrationPart] = {}
    for name, document in placed.document.items():
        if name not in names:
            what, remedy = f"the recording has no channel {name!r} with codes", nearest(str(name), names)
            problems.append(Problem(place_of(str(name), placed.places), str(name), what, remedy))
            continue
        try:
            given[name] = CalibrationPart.model_validate(document)
        except ValidationError as error:
            problems += problems_of(error, CalibrationPart, name, placed.places)
            rest = readable_part({"name": name, "calibration": document})
            if rest is not None and rest.calibration is not None:
                given[name] = rest.calibration
    channels = (*stream.channels, *stream.virtual)
    parts = {channel.name: _part(channel, given.get(channel.name)) for channel in channels}
    problems += _placed(channel_problems(parts), names, placed)
    if problems:
        raise TopologyError(problems)
    recalibrated = tuple(
        _recalibrated(channel, parts[channel.name]) if channel.name in given else channel for channel in stream.channels
    )
    metadata = {**stream.metadata, "recalibrated_by": file.name}
    own = {name: parts[name] for name in given}
    warnings = _placed(calibration_warnings(own, date.today()), names, placed)
    return Recalibration(replace(stream, channels=recalibrated, metadata=metadata), tuple(warnings))


def _part(channel: Channel, calibration: CalibrationPart | None) -> ChannelPart:
    document: dict[str, Any] = channel_document(channel_plan(channel))
    if calibration is not None:
        document["calibration"] = calibration
        if channel.kind == "raw":
            document["kind"] = "raw"
    return ChannelPart.model_validate(document)


def _recalibrated(channel: Channel, part: ChannelPart) -> Channel:
    calibration = calibration_of(part)
    if calibration is None:
        raise ValueError(f"{channel.name} has none")
    old = channel.meaning() or {"unit": channel.unit}
    instead_of = {key: value for key, value in old.items() if key != "instead_of"}
    known = replace(calibration, input_unit=channel.input_unit, instead_of=instead_of)
    return replace(channel, unit=calibration.unit, calibration=known)


def _placed(found: Iterable[tuple[str, str, str]], names: list[str], placed: Placed) -> Iterator[Problem]:
    """The problems, their keys as the file has them."""
    for key, what, remedy in found:
        name = next((name for name in names if key.startswith(f"{name}.calibration")), None)
        own = key if name is None else f"{name}{key.removeprefix(f'{name}.calibration')}"
        yield Problem(place_of(own, placed.places), own, what, remedy)
