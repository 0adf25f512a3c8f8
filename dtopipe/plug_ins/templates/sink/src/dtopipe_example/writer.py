"""The format: its bytes, and how they are read back.

The first line is a JSON object with the names of the columns and what stands between them; then each line has a
sample's index, its times and its values. Replace the bytes by those of your format; `dtopipe.sinks.contract` says what
a writer and a reader owe, and `pytest` tells whether they keep it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pydantic import Field

from dtopipe.model.engineering import EngineeringValues
from dtopipe.model.errors import SinkError
from dtopipe.model.parts import PathText, SinkPart
from dtopipe.model.policy import Layout
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions, OutputRows
from dtopipe.sinks.file.line_reader import LineReader
from dtopipe.sinks.file.whole_part import DamagedBytes, Front
from dtopipe.sinks.file.writer import FileWriter


class ExampleReader(LineReader):
    """Reads the lines back, for `verify`, `repair`, `tail` and `load`."""

    def rows(self, start: int, stop: int, damaged: DamagedBytes) -> Iterator[OutputRows]:
        """The whole lines between these bytes; `damaged` is told of those that are none."""
        separator = self._separator()
        for at, piece in self.pieces(start, stop, damaged):
            found: list[list[float]] = []
            indices: list[list[int]] = []
            for line in piece.splitlines(keepends=True):
                try:
                    if not line.startswith(b"{"):
                        columns = line.decode().rstrip("\n").split(separator)
                        times = [int(column) for column in columns[:3]]
                        values = [float(column or "nan") for column in columns[3:]]
                        if found and len(values) != len(found[0]):
                            raise ValueError("another number of columns")
                        indices.append(times)
                        found.append(values)
                except ValueError:
                    damaged.add(at, at + len(line))
                at += len(line)
            if found:
                index, t_mono_ns, t_utc_ns = np.array(indices, np.int64).T
                yield OutputRows(index, t_mono_ns, t_utc_ns, list(np.array(found, np.float64).T))

    def front(self) -> Front | None:
        """What is whole before the first damaged line: `repair` writes on from there, not all of it anew."""
        damaged = DamagedBytes(lambda damage: None)
        for _ in self.rows(self.start, self.end, damaged):
            pass
        stop = self.end if damaged.first is None else damaged.first
        last = None
        for rows in self.rows(self.start, stop, damaged):
            last = int(rows.sample_index[-1])
        return None if last is None else Front(last + 1, stop)

    def _separator(self) -> str:
        with self.path.open("rb") as file:
            try:
                return str(json.loads(file.readline())["separator"])
            except (ValueError, KeyError, TypeError):
                return "\t"


class ExampleOptions(SinkPart):
    """A text file, a line a sample."""

    path: PathText = Field(min_length=1, description="The file; relative to the run folder.")
    separator: str = Field(default="\t", min_length=1, max_length=1, description="What stands between two numbers.")


class ExampleWriter(FileWriter):
    """Writes lines."""

    sink_type = "example"

    def __init__(self, output: OutputOptions, *, separator: str = "\t") -> None:
        super().__init__(output)
        self._separator = separator

    def header(self, stream: Stream) -> bytes:
        """The file's first bytes. What cannot be written is refused here, before anything is there."""
        if stream.polled:
            raise SinkError(self.path, "an example file holds no readings", "write them to another type of sink")
        if self.output.layout is not Layout.WIDE:
            raise SinkError(self.path, "an example file has the wide layout only", "set layout: wide")
        columns = ["sample_index", "t_mono_ns", "t_utc_ns", *(channel.name for channel in stream.channels)]
        return json.dumps({"separator": self._separator, "columns": columns}).encode() + b"\n"

    def begun(self, stream: Stream, extra: bytes) -> None:
        """The output is open: what is needed to encode blocks is made once."""
        self._clock = stream.clock
        self._values = EngineeringValues(stream.channels)

    def encoded(self, items: Sequence[Block | Gap | Readings]) -> Iterable[bytes]:
        """The bytes of these blocks. A gap has no line: the commit record beside the file holds it."""
        for item in items:
            if isinstance(item, Block):
                yield self._lines(item)

    def _lines(self, block: Block) -> bytes:
        t_mono_ns = block.t_mono_ns(self._clock)
        t_utc_ns = t_mono_ns + (block.anchor.t_utc_ns - block.anchor.t_mono_ns)
        values = self._values(block.codes, block.sensor_status)
        # repr of a float is the shortest text that is read back to the bit; a value whose sensor is not OK is empty.
        texts = [["" if value != value else repr(value) for value in channel.tolist()] for channel in values]
        numbers = range(block.first_sample_index, block.first_sample_index + block.n_samples)
        rows = zip(map(str, numbers), map(str, t_mono_ns.tolist()), map(str, t_utc_ns.tolist()), *texts, strict=True)
        return "".join(f"{self._separator.join(row)}\n" for row in rows).encode()
