"""The outputs of a run, as its record names them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import DtopipeError, SinkError, WireError
from dtopipe.model.policy import Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.sinks.base import OutputReader
from dtopipe.sinks.registry import load_reader
from dtopipe.wire.describe import stream_from


@dataclass(frozen=True, slots=True)
class Output:
    """One sink's output: where it is, which channels are in it, and what the run record says of it."""

    name: str
    type: str
    path: Path
    policy: Policy
    run_id: str
    stream: Stream
    record: Mapping[str, Any]

    def reader(self) -> OutputReader:
        """Opens it. Raises SinkError if it is not there or cannot be read."""
        return load_reader(self.type)(self.path, run_id=self.run_id)


def outputs_of(folder: RunFolder, record: Mapping[str, Any]) -> list[Output]:
    """Every file output of a run, in the topology's order. Raises WireError on a damaged record."""
    if not record.get("stream"):
        return []
    stream = stream_from(record["stream"])
    found = []
    for name, sink in record["sinks"].items():
        if sink["path"] is None:
            continue
        chosen = record["topology"].get("sinks", {}).get(name, {}).get("channels")
        names = [channel.name for channel in stream.channels]
        own = stream.selected([names.index(channel) for channel in chosen]) if chosen else stream
        path = folder.path / sink["path"]
        found.append(Output(name, sink["type"], path, Policy(sink["policy"]), record["run_id"], own, sink))
    return found


def read_output(sink: Mapping[str, Any], folder: Path, run_id: str) -> tuple[Position, list[Gap]] | None:
    """What an output says of itself, for the record of a killed run; None if it says nothing."""
    if sink["path"] is None:
        return None
    with contextlib.suppress(SinkError, WireError, DtopipeError, OSError):
        reader = load_reader(sink["type"])(folder / sink["path"], run_id=run_id)
        return reader.position(), list(reader.gaps())
    return None
