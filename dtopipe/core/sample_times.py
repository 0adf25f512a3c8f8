"""When a sample was taken, and which one was taken at a moment: by the anchors of a run's epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dtopipe.model.clock import Anchor, SampleClock


@dataclass(frozen=True, slots=True)
class SampleTimes:
    """`anchors`: one of each epoch of the acquirer, in order, at least one."""

    clock: SampleClock
    anchors: tuple[Anchor, ...]

    def of(self, sample_index: int) -> Anchor:
        """The times of this sample, by the anchor of its epoch."""
        known = [anchor for anchor in self.anchors if anchor.sample_index <= sample_index]
        return self.clock.anchor_at(known[-1] if known else self.anchors[0], sample_index)

    def at_mono(self, t_mono_ns: int) -> int | None:
        """The last sample that was taken by then, by the steady clock; None before the first one."""
        return self._at(t_mono_ns, lambda anchor: anchor.t_mono_ns)

    def at_utc(self, t_utc_ns: int) -> int | None:
        """The same by UTC, as the run has it."""
        return self._at(t_utc_ns, lambda anchor: anchor.t_utc_ns)

    def _at(self, instant_ns: int, time_of: Callable[[Anchor], int]) -> int | None:
        begun = [number for number, anchor in enumerate(self.anchors) if time_of(anchor) <= instant_ns]
        if not begun:
            return None
        anchor = self.anchors[begun[-1]]
        index = anchor.sample_index + self.clock.index_at(instant_ns - time_of(anchor))
        # Between two epochs the first one's clock goes on, up to where the next one begins.
        rest = self.anchors[begun[-1] + 1 :]
        return min(index, rest[0].sample_index - 1) if rest else index
