"""The outputs of a run, as its record names them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import DtopipeError, SinkError, WireError
from dtopipe.model.policy import Layout, Policy
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.sinks.base import OutputReader
from dtopipe.sinks.registry import load_reader
from dtopipe.topology.recorded import recorded_options
from dtopipe.wire.describe import stream_from


@dataclass(frozen=True, slots=True)
class Output:
    """One sink's output: where it is, which channels are in it, and what the run record says of it.

    `place`: the path, or where in a database, for people. `topology`: as recorded, where a database's own options are.
    """

    name: str
    type: str
    place: str
    path: Path | None
    topology: Mapping[str, Any]
    policy: Policy
    run_id: str
    stream: Stream
    record: Mapping[str, Any]

    @property
    def is_wide(self) -> bool:
        """True if a row has every channel; readings always have."""
        sink = self.topology.get("sinks", {}).get(self.name, {})
        return self.stream.polled or sink.get("layout", Layout.WIDE) == Layout.WIDE

    def retained_from(self) -> int:
        """The first sample that a journal which retires segments still has; the record may be some seconds old."""
        if "retained_from" not in self.record:
            return 0
        with contextlib.suppress(DtopipeError, OSError, ValueError):
            return self.reader().position().retained_from
        return int(self.record["retained_from"])

    def reader(self) -> OutputReader:
        """Opens it. Raises SinkError if it is not there or cannot be read."""
        return _reader(self.type, self.path, self.run_id, self.topology, self.name)


def outputs_of(folder: RunFolder, record: Mapping[str, Any]) -> list[Output]:
    """Every output of a run that can be read back, in the topology's order. Raises WireError on a damaged record."""
    if not record.get("stream"):
        return []
    stream = stream_from(record["stream"])
    found = []
    for name, sink in record["sinks"].items():
        if not _is_readable(sink):
            continue
        chosen = record["topology"].get("sinks", {}).get(name, {}).get("channels")
        names = [channel.name for channel in stream.channels]
        own = stream.selected([names.index(channel) for channel in chosen]) if chosen else stream
        path = None if sink["path"] is None else folder.path / sink["path"]
        place = str(path) if path else sink["target"]
        topology, policy = record["topology"], Policy(sink["policy"])
        found.append(Output(name, sink["type"], place, path, topology, policy, record["run_id"], own, sink))
    return found


def raw_output(outputs: Sequence[Output]) -> Output | None:
    """The raw file of a run: of several the one that has most of its beginning, and stands first."""
    raw = [output for output in outputs if output.type == "hbuf" and output.path]
    return min(raw, key=lambda output: output.retained_from(), default=None)


def read_output(record: Mapping[str, Any], name: str, folder: Path) -> tuple[Position, list[Gap]] | None:
    """What an output says of itself, for the record of a killed run; None if it says nothing."""
    sink = record["sinks"][name]
    if not _is_readable(sink):
        return None
    with contextlib.suppress(SinkError, WireError, DtopipeError, OSError):
        path = None if sink["path"] is None else folder / sink["path"]
        reader = _reader(sink["type"], path, record["run_id"], record["topology"], name)
        return reader.position(), list(reader.gaps())
    return None


def _is_readable(sink: Mapping[str, Any]) -> bool:
    return sink["path"] is not None or sink.get("target") is not None


def _reader(sink_type: str, path: Path | None, run_id: str, topology: Mapping[str, Any], name: str) -> OutputReader:
    """A reader of a file, or of a database that its topology and the environment describe. Raises SinkError."""
    options = {} if path else recorded_options(topology, name, os.environ)
    return load_reader(sink_type)(path, run_id=run_id, **options)
