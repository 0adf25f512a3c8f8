"""What every channel did, read from a run's outputs batch by batch, however long the run was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.loading.load import best_first
from dtopipe.loading.samples import rows_of
from dtopipe.model.errors import DtopipeError, SinkError
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Channel
from dtopipe.model.wanted import Wanted
from dtopipe.report.envelope import Envelope
from dtopipe.verify.outputs import Output

# As wide as a page shows; of many channels fewer, so that the page can still be opened.
_PARTS = 900
_MOST_VALUES = 200_000
_LEAST_PARTS = 200

# It hears which output is read, how many of its rows so far, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One channel: the lowest and highest value of each part of the run, and what its output lacks.

    `index`: (n,) int64, the first sample of each part; `t_s`: (n,) float64, seconds from sample 0, or of readings from
    the first one. `step`: samples a part. `every`: samples that a row of the output stands for. `trouble`: why there
    may be less than the output has; empty if nothing is wrong.
    """

    channel: Channel
    output: str
    index: NDArray[np.int64]
    t_s: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    step: int
    every: int
    gaps: tuple[Gap, ...]
    trouble: str = ""

    def seconds_at(self, sample_index: float) -> float:
        """When that sample was, on the trace's own axis."""
        return float(np.interp(sample_index, [*self.index, self.index[-1] + self.step], [*self.t_s, self.t_s_end]))

    @property
    def t_s_end(self) -> float:
        """Where the last part ends."""
        length_s = (self.t_s[-1] - self.t_s[0]) / (len(self.t_s) - 1) if len(self.t_s) > 1 else 1.0
        return float(self.t_s[-1] + length_s)


def traces_of(
    outputs: Sequence[Output], record: Mapping[str, Any], progress: Progress
) -> tuple[list[Trace], list[str]]:
    """A trace of every channel that an output has, and what could not be read.

    Each channel is taken from the best output that has it; a view, whose rows stand for many samples, is a last resort.
    """
    found: dict[str, Trace] = {}
    partly: dict[str, Trace] = {}
    troubles: list[str] = []
    span = _span_of(record)
    for output in _in_order(outputs):
        stream = output.row_stream
        wanted = [number for number, channel in enumerate(stream.channels) if channel.name not in found]
        if not wanted or (stream.every > 1 and _is_known(output, found)):
            continue
        reading = _Reading(output, wanted, span)
        try:
            reading.read(progress)
        except Exception as error:  # somebody else's reader may raise anything, and the rest of the page is to be had
            words = error.headline if isinstance(error, DtopipeError) else f"{type(error).__name__}: {error}"
            reading.trouble = f"{output.name} cannot be read as a whole: {words}"
            troubles.append(reading.trouble)
            with contextlib.suppress(Exception):
                reading.read_what_is_sound()
        into = partly if reading.trouble else found
        for trace in reading.traces():
            into.setdefault(trace.channel.name, trace)
    chosen = {**partly, **found}
    order = {name: number for number, name in enumerate(_names(record))}
    return sorted(chosen.values(), key=lambda trace: order.get(trace.channel.name, len(order))), troubles


class _Reading:
    """One output on its way into the parts of a picture."""

    def __init__(self, output: Output, wanted: Sequence[int], span: Span) -> None:
        self._output = output
        self._stream = output.row_stream
        self._wanted = wanted
        self._span = span
        self._envelope: Envelope | None = None
        self._gaps: tuple[Gap, ...] = ()
        self.trouble = ""

    def read(self, progress: Progress) -> None:
        """Take all that is there. Raises what the output's reader raises."""
        stream, reader, stop = self._stream, self._output.reader(), self._span.stop
        with contextlib.suppress(SinkError):
            # Of a run in progress more is committed than its record says.
            stop = max(stop, reader.position().committed)
        span = Span(self._span.start, stop)
        parts = max(_LEAST_PARTS, min(_PARTS, _MOST_VALUES // len(self._wanted)))
        self._envelope = envelope = Envelope(span, len(self._wanted), parts, stream.every)
        self._gaps = tuple(reader.gaps())
        n_expected = len(span) // stream.every * (1 if self._output.is_wide else len(stream.channels))
        for rows in rows_of(reader, self._wanted, Wanted()):
            envelope.add(rows, self._wanted)
            progress(self._output.name, envelope.n_rows, n_expected)

    def read_what_is_sound(self) -> None:
        """Take every row that is whole, also behind a damaged place, where the output's reader can."""
        envelope, reader = self._envelope, self._output.reader()
        sound = getattr(reader, "sound_batches", None)
        if envelope is None or sound is None:
            return
        for rows in sound(lambda damage: None):
            # Channels that are worked out from others are not among them, and stand behind them.
            numbers = [number for number in self._wanted if rows.channel is not None or number < len(rows.values)]
            taken = rows.of_channels(numbers)
            if taken is not None:
                envelope.add(taken, numbers)

    def traces(self) -> list[Trace]:
        """What there is of each channel by now; nothing of one without a row."""
        envelope, stream = self._envelope, self._stream
        if envelope is None or not envelope.n_rows:
            return []
        index = envelope.span.start + envelope.step * np.arange(envelope.n_parts)
        t_s = index / stream.rate_hz
        if stream.polled:
            there = np.flatnonzero(envelope.t_mono_ns >= 0)
            since_s = (envelope.t_mono_ns - envelope.t_mono_ns[there[0]]) / 1e9
            t_s = np.interp(np.arange(envelope.n_parts), there, since_s[there])
        return [
            Trace(
                channel=stream.channels[number],
                output=self._output.name,
                index=index,
                t_s=t_s,
                lowest=envelope.lowest[row],
                highest=envelope.highest[row],
                step=envelope.step,
                every=stream.every,
                gaps=self._gaps,
                trouble=self.trouble,
            )
            for row, number in enumerate(self._wanted)
        ]


def _span_of(record: Mapping[str, Any]) -> Span:
    acquired = record["acquired"]
    return Span(int(acquired.get("first_sample_index", 0)), int(acquired["end_sample_index"]))


def _in_order(outputs: Sequence[Output]) -> list[Output]:
    """Those with every sample first, the best of them first; then views, the finest first."""
    return sorted(best_first(outputs), key=lambda output: output.row_stream.every)


def _is_known(view: Output, found: Mapping[str, Trace]) -> bool:
    """True if everything that the view has rows of has been seen sample by sample."""
    return all(channel.name in found for channel in view.taken.channels)


def _names(record: Mapping[str, Any]) -> list[str]:
    stream = record.get("stream") or {}
    return [channel["name"] for channel in (*stream.get("channels", ()), *stream.get("virtual", ()))]
