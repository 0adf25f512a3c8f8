"""What a triggered output is refilled with: what its condition keeps of the run's raw files.

Where these cannot tell, for they lack samples, what the output has stays in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dtopipe.core.trigger import Trigger, Window
from dtopipe.model.condition import condition_of
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap, Span, as_one
from dtopipe.model.stream import Block
from dtopipe.repair.sources import Refill, SampleSource
from dtopipe.verify.outputs import Output
from dtopipe.verify.recount import common, without


@dataclass(frozen=True, slots=True)
class TriggeredRefill:
    """As Refill. `whole`: of all channels of the run, by its raw files. `sink`: all samples that its sink was told of.

    `own`: the output as it is, if it can be read. `board_gaps`: what never came.
    """

    output: Output
    trigger: TriggerPlan
    sink: Span
    whole: Refill
    own: SampleSource | None
    board_gaps: Sequence[Span]

    @property
    def gaps(self) -> Sequence[Sequence[Gap]]:
        """The gaps that are known by cause, the surest first."""
        return self.whole.gaps

    def available(self) -> list[Span]:
        """What can be had, if it is around an event."""
        return self.whole.available()

    def items(self, span: Span) -> Iterator[Block | Readings | Gap]:
        """Everything of `span` in order, of the channels taken: samples around events, else gaps. Raises SinkError."""
        window = Window.of(self.trigger, condition_of(self.trigger.when), self.whole.stream.rate_hz)
        # Of an output in parts each is one; what is behind a part has a say in it too.
        told = Span(max(self.sink.start, span.start - window.lookback), min(self.sink.stop, span.stop + window.pre))
        lacking = without([told], [*self.available(), *self.board_gaps])
        # Behind the end there may have been an event, of a run that was cut there.
        end = Span(self.sink.stop, self.sink.stop)
        unclear = [Span(each.start - window.pre, each.stop + window.lookback) for each in (*lacking, end)]
        left = [] if self.own is None else without(self.own.spans(), without([span], unclear))
        try:
            for item in as_one(self._decided(told, span)):
                if item.span.start < span.stop:
                    yield from self._with_own(_until(span.stop, item), left)
        finally:
            if self.own is not None:
                self.own.release()

    def _decided(self, told: Span, span: Span) -> Iterator[Block | Gap]:
        condition, stream = condition_of(self.trigger.when), self.whole.stream
        trigger = Trigger(condition, Window.of(self.trigger, condition, stream.rate_hz), stream, span.start)
        columns = self.output.columns_of(stream)
        for item in self.whole.items(told):
            if not isinstance(item, Readings):
                yield from (columns.of(each) if isinstance(each, Block) else each for each in trigger.of([item]))
                trigger.events()
        yield from (columns.of(each) if isinstance(each, Block) else each for each in trigger.rest())

    def _with_own(self, item: Block | Gap, left: Sequence[Span]) -> Iterator[Block | Readings | Gap]:
        """The item, with what is in the output itself in the place of a gap of which nobody else can tell."""
        inside = common([left, [item.span]]) if isinstance(item, Gap) else []
        if not inside or self.own is None or isinstance(item, Block):
            yield item
            return
        for part in sorted([*without([item.span], inside), *inside]):
            if part in inside:
                yield from self.own.items(part, self.output.taken, as_codes=self.output.as_codes)
            else:
                yield item.trimmed(part, self.whole.stream.clock)


def _until(stop: int, item: Block | Gap) -> Block | Gap:
    if item.span.stop <= stop:
        return item
    return replace(item, span=Span(item.span.start, stop)) if isinstance(item, Gap) else item.trimmed(0, stop)
