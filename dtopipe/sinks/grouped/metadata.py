"""What an output of groups says of itself, inside its file: a JSON document.

Keys: `format` (1), `stream` (as the board opened it: run_id, task, device, rate_hz, started_at, channels with unit,
scale, offset and range, metadata), `layout`, `position`, `gaps` ([start, stop, cause, t_utc_ns]), `nulls` (where values
are null though the board gave a sample: channel, start, stop, samples, cause), `marks` (as `Mark.to_json` has
them, once the file is complete), and `complete`, true once the writer has closed the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.model.errors import SinkError, WireError
from dtopipe.model.facts import parsed, strict_json
from dtopipe.model.marks import Mark
from dtopipe.model.nulls import NullRange, nulls_from
from dtopipe.model.policy import Layout
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.wire.describe import (
    describe_gaps,
    describe_position,
    describe_stream,
    gaps_from,
    position_from,
    stream_from,
)

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """The same as values."""

    stream: Stream
    layout: Layout
    position: Position
    gaps: Sequence[Gap]
    complete: bool
    nulls: Sequence[NullRange] = ()
    marks: Sequence[Mark] = ()

    def packed(self) -> bytes:
        """As JSON."""
        document = {
            "format": _FORMAT,
            "complete": self.complete,
            "layout": self.layout.value,
            "stream": describe_stream(self.stream),
            "position": describe_position(self.position),
            "gaps": describe_gaps(self.gaps),
            "nulls": [each.facts(self.stream.channels[each.channel].name) for each in self.nulls],
            **({"marks": [mark.to_json() for mark in self.marks]} if self.marks else {}),
        }
        return strict_json(document).encode()


def metadata_from(path: Path, text: bytes) -> FileMetadata:
    """What that document says. Raises SinkError if it is none of ours."""
    try:
        document: Mapping[str, Any] = parsed(text)
        stream = stream_from(document["stream"])
        return FileMetadata(
            stream=stream,
            layout=Layout(document["layout"]),
            position=position_from(document["position"]),
            gaps=gaps_from(document["gaps"]),
            complete=bool(document["complete"]),
            nulls=nulls_from(document.get("nulls", []), stream.channels),
            marks=[Mark.from_json(mark) for mark in document.get("marks", [])],
        )
    except (ValueError, KeyError, TypeError, WireError) as error:
        raise SinkError(
            path, f"its metadata cannot be understood: {error}", "was it made by a later version?"
        ) from error
