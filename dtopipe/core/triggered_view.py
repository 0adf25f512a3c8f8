"""The view of a sink that waits for its trigger: what is around events, as its output has it."""

from __future__ import annotations

from collections.abc import Sequence

from dtopipe.core.trigger import FORGETTING, Trigger, Triggered, Window, overlaid
from dtopipe.model.condition import condition_of
from dtopipe.model.plan import TriggerPlan
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.model.view import View


class TriggeredView:
    """As View, of the same blocks; it decides first, and what is kept goes on into another view.

    `stream`: the run's. `at`: where the output is to go on. `known`: what it lacks before that, in order and apart: of
    this nobody was told there either, whatever comes now. Raises KeyError, FormulaError.
    """

    def __init__(self, view: View, trigger: TriggerPlan, stream: Stream, at: int, known: Sequence[Gap] = ()) -> None:
        condition = condition_of(trigger.when)
        self._view = view
        self._window = Window.of(trigger, condition, stream.rate_hz)
        self._trigger = Trigger(condition, self._window, stream, at)
        self._at = at
        self._clock = stream.clock
        self._known = [gap for gap in known if gap.cause is not Cause.NOT_TRIGGERED and gap.span.start < at]
        # What was to be looked back on is not there, and nothing in the output says so.
        self._has_forgotten = False

    @property
    def stream(self) -> Stream:
        """The stream of the output."""
        return self._view.stream

    @property
    def lookback(self) -> int:
        """Samples before an output's end that it is to be told again to be in the state in which a predecessor was."""
        return self._window.lookback

    @property
    def held_from(self) -> int | None:
        """The first sample that it holds back; None where there is none."""
        found = [each for each in (self._view.held_from, self._trigger.held_from) if each is not None]
        return min(found, default=None)

    @property
    def waits(self) -> bool:
        """True while no event is being written."""
        return not self._trigger.is_triggered

    def of(self, items: Sequence[Block | Gap]) -> list[Block | Gap]:
        """What goes into the output now that these have come."""
        told: list[Block | Gap] = []
        for item in items:
            told += self._looked_back_on(item) if item.span.start <= self._at else [item]
        return self._view.of(self._trigger.of(told))

    def rest(self) -> list[Block | Gap]:
        """What it held back, at the end."""
        return [*self._view.of(self._trigger.rest()), *self._view.rest()]

    def events(self) -> list[Triggered]:
        """Those that have begun since this was asked."""
        return self._trigger.events()

    def _looked_back_on(self, item: Block | Gap) -> list[Block | Gap]:
        """The item as a predecessor was told of it."""
        found = list(overlaid([item], self._known, self._clock))
        if isinstance(item, Gap):
            is_new = item.cause in FORGETTING and not all(self._is_known(each.span) for each in found)
            self._has_forgotten |= is_new and item.span.stop <= self._at
        elif self._has_forgotten and item.span.stop > self._at:
            # Whoever verifies has to know that nobody knew: a sample that is absent says so.
            gap = Gap(Span(self._at, self._at + 1), Cause.WORKER_FAILED, item.t_utc_ns_at(self._at, self._clock))
            found, self._has_forgotten = list(overlaid(found, [gap], self._clock)), False
        return found

    def _is_known(self, span: Span) -> bool:
        return any(gap.span.intersection(span) == span for gap in self._known)
