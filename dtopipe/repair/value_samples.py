"""The samples of an output in engineering units as a source: codes and times come back out of its rows, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import Anchor
from dtopipe.model.derived import needs_others
from dtopipe.model.engineering import codes_of, engineering_values, pending_calibration
from dtopipe.model.errors import SinkError
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Block, Channel, SensorStatus, Stream
from dtopipe.repair.onward import Onward
from dtopipe.sinks.contract import OutputRows
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import Recount, joined
from dtopipe.verify.reference import sound_batches

# A sample's time is rounded the same way again after so many samples as the period's denominator; beyond this many
# the anchor is looked for no longer, and blocks become shorter.
_MOST_PHASES = 1024


class ValueSamples:
    """A wide output of a clocked run. What a sensor had where a value is null is not known any more: ABSENT."""

    def __init__(self, output: Output) -> None:
        """Reads all of it once. Raises SinkError if it cannot be read, or has another layout."""
        self.name = output.name
        self.stream = output.stream
        self._output = output
        recount = Recount()
        reader = output.reader()
        for rows in sound_batches(reader, lambda damage: None):
            if rows.channel is not None:
                raise SinkError(output.place, "a long layout is not read as a source", "name another output")
            if len(rows.values) != len(self.stream.channels):
                raise SinkError(output.place, "has other channels than the run record says", "name another output")
            recount.add(rows.sample_index)
        self._numbers = {channel.name: number for number, channel in enumerate(self.stream.channels)}
        self._spans = joined(recount.result().covered)
        self._gaps = list(reader.gaps())
        self._onward = Onward(self._read)

    def spans(self) -> list[Span]:
        """What is in it."""
        return self._spans

    def gaps(self) -> Sequence[Gap]:
        """What it says is absent."""
        return self._gaps

    def anchor_near(self, sample_index: int) -> Anchor | None:
        """The time of its first sample."""
        return self._first_anchor

    @cached_property
    def _first_anchor(self) -> Anchor | None:
        one = self.stream.selected([0])
        return next((block.anchor for span in self._spans[:1] for block in self._blocks(span, one, self._read())), None)

    def gives(self, stream: Stream, *, as_codes: bool) -> bool:
        """As SampleSource.gives: the codes of values that are made of several channels' are not known any more."""
        there = {channel.name for channel in self.stream.channels}
        return all(channel.name in there and not (as_codes and needs_others(channel)) for channel in stream.channels)

    def items(self, span: Span, stream: Stream, *, as_codes: bool) -> Iterator[Block]:
        """Its samples within `span` as blocks, as an output with this stream has them. Raises SinkError."""
        return self._blocks(span, stream, self._onward.batches())

    def release(self) -> None:
        """As SampleSource.release."""
        self._onward.release()

    def _read(self) -> Iterator[OutputRows]:
        return sound_batches(self._output.reader(), lambda damage: None)

    def _blocks(self, span: Span, stream: Stream, batches: Iterator[OutputRows]) -> Iterator[Block]:
        at, anchor = span.start, None
        for rows in batches:
            while at < span.stop and len(rows.sample_index):
                first = int(np.searchsorted(rows.sample_index, at))
                if first == len(rows.sample_index) or rows.sample_index[first] != at:
                    break
                block = self._block(rows, first, self._length(at, span.stop), anchor, stream)
                at, anchor = block.span.stop, block.anchor
                yield block
            if at >= span.stop:
                return

    def _length(self, at: int, stop: int) -> int:
        """To the end of the block that the board would have given."""
        size = max(1, self.stream.samples_per_block)
        return min(stop, (at // size + 1) * size) - at

    def _block(self, rows: OutputRows, first: int, most: int, anchor: Anchor | None, stream: Stream) -> Block:
        start = int(rows.sample_index[first])
        index = rows.sample_index[first : first + most]
        in_order = index == np.arange(start, start + len(index))
        n = len(index) if in_order.all() else int(np.argmin(in_order))
        anchor, n = self._fitted(start, rows.t_mono_ns[first : first + n], rows.t_utc_ns[first : first + n], anchor)
        codes = np.empty((len(stream.channels), n), stream.dtype)
        status = np.zeros(codes.shape, np.int8)
        for row, channel in enumerate(stream.channels):
            values = rows.values[self._numbers[channel.name]][first : first + n]
            status[row, np.isnan(values)] = SensorStatus.ABSENT
            codes[row] = codes_back(channel, values, status[row], codes.dtype, self._output.place)
        number = start // max(1, self.stream.samples_per_block)
        return Block(number, start, codes, anchor, status if status.any() else None)

    def _fitted(
        self, start: int, t_mono_ns: NDArray[np.int64], t_utc_ns: NDArray[np.int64], known: Anchor | None
    ) -> tuple[Anchor, int]:
        """An anchor, and for how many of these samples it gives just these times: one at least."""
        clock = self.stream.clock
        phases = min(Fraction(repr(self.stream.rate_hz)).numerator, _MOST_PHASES)
        # An epoch mostly begins with the run.
        candidates = chain(
            [known] if known else [],
            (self._anchor(start, t_mono_ns, t_utc_ns, back) for back in chain([start], range(phases))),
        )
        best, longest = Anchor(start, int(t_mono_ns[0]), int(t_utc_ns[0])), 1
        for anchor in candidates:
            offsets = clock.offsets_ns(start - anchor.sample_index, len(t_mono_ns))
            fits = (offsets + anchor.t_mono_ns == t_mono_ns) & (offsets + anchor.t_utc_ns == t_utc_ns)
            n = len(fits) if fits.all() else int(np.argmin(fits))
            if n > longest:
                best, longest = anchor, n
            if n == len(fits):
                break
        return best, longest

    def _anchor(self, start: int, t_mono_ns: NDArray[np.int64], t_utc_ns: NDArray[np.int64], back: int) -> Anchor:
        """The anchor so many samples before `start` that gives that one its times."""
        back_ns = self.stream.clock.offset_ns(back)
        return Anchor(start - back, int(t_mono_ns[0]) - back_ns, int(t_utc_ns[0]) - back_ns)


def codes_back(
    channel: Channel, values: NDArray[np.float64], status: NDArray[np.int8], dtype: np.dtype[Any], place: str
) -> NDArray[Any]:
    """(n,) the codes of these values, which are in the output at `place`. Raises SinkError where no code gives them."""
    if dtype.kind == "f" and pending_calibration(channel) is None:
        return values
    is_ok = status == SensorStatus.OK
    codes = np.where(is_ok, codes_of(channel, np.nan_to_num(values), dtype), 0)
    back = engineering_values(channel, codes.astype(dtype), None)
    if not np.array_equal(back[is_ok], values[is_ok]):
        raise SinkError(
            place, f"its values of {channel.name} are not those of any code", "name another source with --from"
        )
    return codes
