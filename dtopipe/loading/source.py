"""One output that samples are taken from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.sinks.contract import OutputReader


@dataclass(frozen=True, slots=True)
class Source:
    """An output of a run, or a file by itself. `stream`: the channels that are in it; `reader()` opens it.

    It is opened anew each time, for an output may have grown since.
    """

    name: str
    stream: Stream
    reader: Callable[[], OutputReader]

    def gaps(self) -> tuple[Gap, ...]:
        """What is absent from it, in order. Raises SinkError."""
        return tuple(self.reader().gaps())
