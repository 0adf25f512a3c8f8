"""What a view is refilled with: rows made of samples, and where nobody has these any more, the rows that it has.

A view may be the only output that got as far as it did. Its rows are no samples, so that no other output can be
refilled from it, but they are rows of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import DtopipeError
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Block, SensorStatus
from dtopipe.repair.sources import Refill
from dtopipe.repair.triggered import TriggeredRefill
from dtopipe.repair.value_samples import codes_back
from dtopipe.sinks.contract import OutputRows
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import common, without
from dtopipe.verify.reference import sound_batches
from dtopipe.verify.row_spans import RowSpans


@dataclass(frozen=True, slots=True)
class ViewRefill:
    """As Refill, but that its items are rows. `samples`: what rows are made of; `own`: rows that nobody can make."""

    output: Output
    samples: Refill | TriggeredRefill
    own: Sequence[Block]

    @property
    def gaps(self) -> Sequence[Sequence[Gap]]:
        """The gaps that are known by cause, the surest first."""
        return self.samples.gaps

    def available(self) -> list[Span]:
        """What can be had: the samples that rows are made of."""
        return self.samples.available()

    def items(self, span: Span) -> Iterator[Block | Readings | Gap]:
        """Every row and gap of `span`, in order. Raises SinkError."""
        at = span.start
        for row in self.own:
            if span.start <= row.span.start and row.span.stop <= span.stop:
                yield from self._made(Span(at, row.span.start))
                yield row
                at = row.span.stop
        yield from self._made(Span(at, span.stop))

    def _made(self, span: Span) -> Iterator[Block | Readings | Gap]:
        return self.output.reduced(self.samples.items(span)) if span else iter(())


def view_refill(output: Output, samples: Refill | TriggeredRefill, *, in_order: bool) -> ViewRefill:
    """The refill of a view. With `in_order` its own rows are taken for what nobody has, if they can be read."""
    whole = Span(int(output.record["start"]), int(output.record["stop"]))
    lacking = without([whole], samples.available())
    own: list[Block] = []
    if in_order and output.is_wide and lacking:
        # Where they are lost the file is kept aside: of what is written anew it has more.
        with contextlib.suppress(DtopipeError, OSError, ValueError):
            own = [row for row in _rows(output) if common([lacking, [row.span]])]
    return ViewRefill(output, samples, own)


def _rows(output: Output) -> Iterator[Block]:
    """Each whole row of it as a block, which stands for as many samples as no gap and no other row has."""
    reader = output.reader()
    spans = RowSpans(output.stream.every, list(reader.gaps()), int(output.record["stop"]))
    held: Block | None = None
    for batch in sound_batches(reader, lambda damage: None):
        for at, end in enumerate(spans.ends(batch.sample_index).tolist()):
            row = _row(output, batch, at, end)
            if held is not None:
                yield replace(held, covers=min(held.span.stop, row.first_sample_index) - held.first_sample_index)
            held = row
    if held is not None:
        yield held


def _row(output: Output, rows: OutputRows, at: int, end: int) -> Block:
    stream = output.stream
    first = int(rows.sample_index[at])
    codes = np.empty((len(stream.channels), 1), stream.dtype)
    status = np.zeros(codes.shape, np.int8)
    for number, channel in enumerate(stream.channels):
        values = rows.values[number][at : at + 1]
        status[number, np.isnan(values)] = SensorStatus.ABSENT
        codes[number] = codes_back(channel, values, status[number], codes.dtype, output.place)
    return Block(
        first // max(1, stream.samples_per_block),
        first,
        codes,
        Anchor(first, int(rows.t_mono_ns[at]), int(rows.t_utc_ns[at])),
        status if status.any() else None,
        step=stream.every,
        covers=end - first,
    )


AnyRefill: TypeAlias = Refill | TriggeredRefill | ViewRefill
