"""What a view is refilled with: rows made of samples, and where nobody has these any more, the rows that it has.

A view may be the only output that got as far as it did. Its rows are no samples, so that no other output can be
refilled from it, but they are rows of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from dtopipe.verify.recount import without
from dtopipe.verify.reference import sound_batches
from dtopipe.verify.row_spans import RowSpans


@dataclass(frozen=True, slots=True)
class ViewRefill:
    """As Refill, but that its items are rows. `samples`: what rows are made of.

    `in_order`: its own rows may be taken for what nobody has.
    """

    output: Output
    samples: Refill | TriggeredRefill
    in_order: bool

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
        for row in self._own(span):
            yield from self._made(Span(at, row.span.start))
            yield row
            at = row.span.stop
        yield from self._made(Span(at, span.stop))

    def _made(self, span: Span) -> Iterator[Block | Readings | Gap]:
        return self.output.reduced(self.samples.items(span)) if span else iter(())

    def _own(self, span: Span) -> list[Block]:
        """Its rows within `span` that nobody can make."""
        lacking = without([span], self.available())
        if self.in_order and self.output.is_wide and lacking:
            # Where they cannot be read the file is kept aside: of what is written anew it has more.
            with contextlib.suppress(DtopipeError, OSError, ValueError):
                return list(_rows(self.output, span, lacking))
        return []


def _rows(output: Output, span: Span, lacking: Sequence[Span]) -> Iterator[Block]:
    """Those that touch what is lacking, as blocks; each stands for as many samples as no gap and no other row has."""
    reader = output.reader()
    spans = RowSpans(output.stream.every, list(reader.gaps()), int(output.record["stop"]))
    held: tuple[OutputRows, int, Span] | None = None
    for batch in sound_batches(reader, lambda damage: None):
        ends = spans.ends(batch.sample_index).tolist()
        for at, (first, end) in enumerate(zip(batch.sample_index.tolist(), ends, strict=True)):
            yield from _block(output, held, first, span, lacking)
            held = batch, at, Span(first, end)
    yield from _block(output, held, span.stop, span, lacking)


def _block(
    output: Output, held: tuple[OutputRows, int, Span] | None, before: int, span: Span, lacking: Sequence[Span]
) -> Iterator[Block]:
    """The row as a block, which ends before the next one, if it is wanted."""
    if held is None:
        return
    rows, at, own = held
    own = Span(own.start, min(own.stop, before))
    is_within = span.start <= own.start and own.stop <= span.stop
    if is_within and any(own.intersection(each) for each in lacking):
        yield _row(output, rows, at, own)


def _row(output: Output, rows: OutputRows, at: int, span: Span) -> Block:
    stream = output.stream
    first = span.start
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
        covers=len(span),
    )


AnyRefill: TypeAlias = Refill | TriggeredRefill | ViewRefill
