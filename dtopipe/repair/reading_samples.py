"""The readings of an output of a polled run as a source: every column of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import SinkError
from dtopipe.model.reading_columns import reading_columns
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Stream
from dtopipe.repair.onward import Onward
from dtopipe.sinks.contract import OutputReader
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import Recount, joined
from dtopipe.verify.reference import sound_batches


class _ReadingsReader(Protocol):
    """A reader that gives whole rows of readings."""

    def readings(self) -> Iterator[Readings]:
        """Rows in the order of the file, neighbours in sample index."""


def _readings(reader: OutputReader) -> Iterator[Readings]:
    """Whole rows; those behind a damaged place too, where the reader can."""
    readings: Callable[..., Iterator[Readings]] = cast(_ReadingsReader, reader).readings
    return readings(lambda damage: None) if hasattr(reader, "sound_batches") else readings()


class ReadingSamples:
    """The rows of one output."""

    def __init__(self, output: Output) -> None:
        """Reads all of it once. Raises SinkError if it cannot be read."""
        self.name = output.name
        self.stream = output.stream
        reader = output.reader()
        if not hasattr(reader, "readings"):
            raise SinkError(output.place, "its reader gives no whole readings", "name another output")
        recount = Recount()
        for rows in sound_batches(reader, lambda damage: None):
            if len(rows.values) != len(self.stream.channels):
                raise SinkError(output.place, "has other channels than the run record says", "name another output")
            recount.add(rows.sample_index)
        self._spans = joined(recount.result().covered)
        self._gaps = list(reader.gaps())
        self._onward = Onward(lambda: _readings(output.reader()))

    def spans(self) -> list[Span]:
        """What is in it."""
        return self._spans

    def gaps(self) -> Sequence[Gap]:
        """What it says is absent."""
        return self._gaps

    def anchor_near(self, sample_index: int) -> Anchor | None:
        """None: each reading has times of its own."""
        return None

    def gives(self, stream: Stream, *, as_codes: bool) -> bool:
        """As SampleSource.gives: readings are values everywhere."""
        return {channel.name for channel in stream.channels} <= {channel.name for channel in self.stream.channels}

    def items(self, span: Span, stream: Stream, *, as_codes: bool) -> Iterator[Readings]:
        """Its readings within `span`, with the channels of this stream. Raises SinkError."""
        there = [channel.name for channel in self.stream.channels]
        places = self._places([there.index(channel.name) for channel in stream.channels])
        at = span.start
        for rows in self._onward.batches():
            low, high = max(at, rows.span.start), min(span.stop, rows.span.stop)
            if low != at or low >= high:
                continue
            first = rows.first_sample_index
            yield Readings(low, [rows.columns[place][low - first : high - first] for place in places])
            at = high
            if at == span.stop:
                return

    def release(self) -> None:
        """As SampleSource.release."""
        self._onward.release()

    def _places(self, channels: Sequence[int]) -> list[int]:
        """Which columns of this output make up a row with only these channels."""
        n = len(self.stream.channels)
        columns = reading_columns(self.stream.channels)
        before = next(at for at, column in enumerate(columns) if column.channel == 0)
        values = [before + number for number in channels]
        units = [before + n + number for number in channels]
        return [*range(before), *values, *units, *range(before + 2 * n, len(columns))]
