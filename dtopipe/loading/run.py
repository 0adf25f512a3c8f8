"""A recorded run, or one file of one, as tables, frames and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dtopipe.loading.filled import filled
from dtopipe.loading.pieces import pieces_of
from dtopipe.loading.samples import Samples, samples_of
from dtopipe.loading.source import Source
from dtopipe.loading.span import wanted_from
from dtopipe.model.errors import UsageError
from dtopipe.model.marks import Mark
from dtopipe.model.span import Gap
from dtopipe.model.suggestions import nearest
from dtopipe.model.wanted import Wanted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import xarray as xr
    from matplotlib.figure import Figure

Gaps: TypeAlias = Literal["drop", "nan"]
Names: TypeAlias = Sequence[str] | str | None


class LoadedRun:
    """A run that was recorded. Nothing is read before it is asked for, and nothing is ever written.

    Everywhere: `channels` are names, or None for all. `span` is `(start, stop)`, stop exclusive; each of the two is
    None, a sample index (2000), a time from sample 0 ("2s", "10min", a timedelta), a time in UTC (text, datetime, of
    pandas or numpy too), or a mark, also as "ignition - 3s". `sink` names the output that samples are taken from;
    without it that is the first of `outputs`.
    `path` is the run folder, or the file; `marks` are the moments that were named during the run, in order.
    Errors are UsageError (a name, a span) and SinkError (a file that cannot be read, a library that is not there).
    """

    def __init__(
        self, path: Path, sources: Sequence[Source], record: Mapping[str, Any], marks: Sequence[Mark] = ()
    ) -> None:
        self.path = path
        self.marks = tuple(marks)
        self._sources = {source.name: source for source in sources}
        self._first = sources[0]
        self._record = record

    def __repr__(self) -> str:
        """What it is, in a line."""
        state = self.verdict.get("state") or "no verdict"
        what = f"{len(self.channels)} channels at {self.rate_hz:g} Hz"
        return f"<dtopipe run {self.path}: {what}, {state}>"

    @property
    def run_id(self) -> str:
        """The name that no other run has."""
        return self._first.stream.run_id

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels, in their order."""
        return tuple(channel.name for channel in self._first.stream.channels)

    @property
    def units(self) -> dict[str, str]:
        """The unit of each channel; empty text where none is known."""
        return {channel.name: channel.unit for channel in self._first.stream.channels}

    @property
    def rate_hz(self) -> float:
        """Samples per second of each channel, as read back from the board."""
        return self._first.stream.rate_hz

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names that `sink=` can have."""
        return tuple(self._sources)

    @property
    def metadata(self) -> dict[str, Any]:
        """What was said of the run in its topology, by `--meta`, or afterwards."""
        return dict(self._record.get("metadata") or self._first.stream.metadata)

    @property
    def verdict(self) -> dict[str, Any]:
        """`state` and `text`; empty for a run that has none yet, and for a file by itself."""
        return dict(self._record.get("verdict") or {})

    @property
    def record(self) -> dict[str, Any]:
        """All of `run.json`; empty for a file by itself."""
        return dict(self._record)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is absent from the first output, in order, each with its span and cause."""
        return self._first.gaps()

    def samples(self, channels: Names = None, span: Any = None, *, sink: str | None = None) -> Samples:
        """Whole rows as numpy arrays in engineering units, NaN for null."""
        source = self._source(sink)
        numbers = _numbers(channels, [channel.name for channel in source.stream.channels])
        return samples_of(source.reader(), source.stream.channels, numbers, self._wanted(span, source))

    def pieces(self, channels: Names = None, span: Any = None, *, sink: str | None = None) -> Iterator[Samples]:
        """The same rows in pieces of some megabytes, for a span that is longer than memory."""
        source = self._source(sink)
        numbers = _numbers(channels, [channel.name for channel in source.stream.channels])
        return pieces_of(source.reader(), source.stream.channels, numbers, self._wanted(span, source))

    def table(
        self, channels: Names = None, span: Any = None, *, gaps: Gaps = "drop", sink: str | None = None
    ) -> pa.Table:
        """An Arrow table: `sample_index`, `t_mono_ns`, `t_utc`, then the channels; each field's metadata has its unit.

        What a sensor gave no value for is null. `gaps="nan"` adds a row of nulls for each sample of a gap.
        """
        from dtopipe.loading.frames import arrow_table

        return arrow_table(self._rows(channels, span, gaps, sink), self._about(sink))

    def frame(
        self, channels: Names = None, span: Any = None, *, gaps: Gaps = "drop", sink: str | None = None
    ) -> pd.DataFrame:
        """A pandas frame: a column a channel over its UTC, to the nanosecond; units stand in `attrs["units"]`.

        `gaps="nan"` adds a row of NaN for each sample of a gap: rows are as far apart as the samples are.
        """
        from dtopipe.loading.frames import pandas_frame

        return pandas_frame(self._rows(channels, span, gaps, sink), self._about(sink))

    def xarray(
        self, channels: Names = None, span: Any = None, *, gaps: Gaps = "drop", sink: str | None = None
    ) -> xr.Dataset:
        """An xarray dataset over `t_utc`, with `sample_index` and `t_mono_ns` beside it, units in each one's attrs."""
        from dtopipe.loading.frames import xarray_dataset

        return xarray_dataset(self._rows(channels, span, gaps, sink), self._about(sink))

    def quality(self, channels: Names = None, span: Any = None, *, sink: str | None = None) -> pd.DataFrame:
        """Of each sample, those of gaps too, one of four categories over UTC.

        `ok`; `null`: the sensor gave no value; `not_triggered`: its sink waited for an event; `gap`: any other.
        """
        from dtopipe.loading.frames import quality_frame

        samples, gaps = self.samples(channels, span, sink=sink), self._source(sink).gaps()
        return quality_frame(samples, self._filled(samples, span, sink), gaps, self._about(sink))

    def plot(self, channels: Names = None, span: Any = None, *, sink: str | None = None) -> Figure:
        """One picture of the channels, one above the other, gaps shaded: a matplotlib figure (extra `plot`)."""
        from dtopipe.loading.plot import figure_of

        source = self._source(sink)
        samples = self.samples(channels, span, sink=sink)
        figure: Figure = figure_of(samples, source.gaps(), source.stream.rate_hz, self.marks, self._title())
        return figure

    def _rows(self, channels: Names, span: Any, gaps: Gaps, sink: str | None) -> Samples:
        if gaps not in ("drop", "nan"):
            raise UsageError(f"gaps cannot be {gaps!r}", 'use "drop", or "nan" for rows of NaN')
        samples = self.samples(channels, span, sink=sink)
        return self._filled(samples, span, sink) if gaps == "nan" else samples

    def _filled(self, samples: Samples, span: Any, sink: str | None) -> Samples:
        """With a row of NaN for each sample of a gap within the span; readings have none, for each has its own time."""
        source = self._source(sink)
        if source.stream.polled:
            return samples
        wanted = self._wanted(span, source)
        return filled(samples, source.gaps(), wanted, source.stream.clock, lambda: _mono_less_utc_ns(source))

    def _source(self, sink: str | None) -> Source:
        if sink is None:
            return self._first
        if sink not in self._sources:
            raise UsageError(f"there is no output {sink!r}", nearest(sink, self._sources))
        return self._sources[sink]

    def _wanted(self, span: Any, source: Source) -> Wanted:
        return wanted_from(span, source.stream.rate_hz, self.marks)

    def _about(self, sink: str | None) -> dict[str, Any]:
        """What goes along with each table and frame."""
        source = self._source(sink)
        return {
            "run_id": source.stream.run_id,
            "output": source.name,
            "rate_hz": source.stream.rate_hz,
            "metadata": self.metadata,
            "verdict": self.verdict.get("state", ""),
        }

    def _title(self) -> str:
        name = f"{self.path.parent.name}/{self.path.name}" if self._record else self.path.name
        return f"{name}  {self.verdict.get('text', '')}".strip()


def _numbers(wanted: Names, names: Sequence[str]) -> list[int]:
    """Which of these channels are wanted. Raises UsageError."""
    if wanted is None:
        return list(range(len(names)))
    given = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in given:
        if name not in names:
            raise UsageError(f"there is no channel {name!r} in this output", nearest(str(name), names))
    return [names.index(name) for name in given]


def _mono_less_utc_ns(source: Source) -> int:
    """What the monotonic clock shows more than UTC, as the first sample of the output has it; 0 without one."""
    first = next(iter(source.reader().batches()), None)
    return 0 if first is None else int(first.t_mono_ns[0] - first.t_utc_ns[0])
