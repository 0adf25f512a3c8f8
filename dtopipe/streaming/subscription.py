"""What a program holds while it follows a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from dtopipe.model.errors import UsageError
from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Stream
from dtopipe.streaming.recording import AcquisitionSummary
from dtopipe.streaming.run_in_progress import RunInProgress

T = TypeVar("T")
# A program that is overtaken every second for hours would fill its memory with them; the counts go on.
_GAPS_KEPT = 10_000


@dataclass(slots=True)
class SubscriptionSummary(AcquisitionSummary):
    """What came so far, and what did not; changes in place.

    Samples per channel: `start + samples + gap_samples` is the index up to which everything is accounted for.
    `samples`: of blocks that were done with, which they are once the next one is asked for. `gap_samples`: absent, of
    any cause; `dropped_samples` of these because this program was too slow. `payloads_emitted` and
    `payloads_dropped` count blocks, `overruns_observed` the board's own gaps.
    """

    start: int = 0
    samples: int = 0
    gap_samples: int = 0
    dropped_samples: int = 0
    recent_gaps: deque[Gap] = field(default_factory=lambda: deque(maxlen=_GAPS_KEPT), repr=False)

    def note_gaps(self, gaps: Sequence[Gap], own: Cause) -> None:
        """Count these; those of cause `own` are the program's."""
        self.recent_gaps.extend(gaps)
        for gap in gaps:
            self.gap_samples += len(gap)
            self.dropped_samples += len(gap) if gap.cause is own else 0
            self.overruns_observed += gap.cause is Cause.BOARD_OVERRUN

    def position(self) -> Position:
        """How far the program is."""
        at = self.start + self.samples + self.gap_samples
        return Position(self.start, at, at, self.samples, self.gap_samples, self.dropped_samples)


@dataclass(slots=True)
class Subscription(Generic[T]):
    """A run that is followed. `stream` yields its blocks; `start` is the first sample index that is to come."""

    stream: T
    summary: SubscriptionSummary
    run: Stream
    beside: RunInProgress | None = None

    def mark(self, label: str, text: str = "", at: str | int | datetime | None = None) -> Mark:
        """Give a moment of the run a name, as `RunInProgress.mark`, which takes some ms. Raises UsageError, RunOver."""
        return self._noting().mark(label, text, at)

    def reading(
        self,
        instrument: str,
        /,
        *,
        units: Mapping[str, str] | None = None,
        t_mono_ns: int | None = None,
        **values: Any,
    ) -> InstrumentReading:
        """Note what an instrument says, as `RunInProgress.reading`. Raises UsageError, RunOver."""
        return self._noting().reading(instrument, units=units, t_mono_ns=t_mono_ns, **values)

    def _noting(self) -> RunInProgress:
        if self.beside is None:
            raise UsageError(
                "marks and readings are noted on the machine that makes the run, and this one is of another machine",
                "type there: dtopipe mark LABEL",
            )
        return self.beside

    @property
    def gaps(self) -> list[Gap]:
        """What is absent so far, with its causes, in order: the newest ten thousand."""
        return list(self.summary.recent_gaps)

    @property
    def start(self) -> int:
        """The first sample index that is to come."""
        return self.summary.start

    @property
    def rate_hz(self) -> float:
        """The rate of the run's sample clock, as read back from the board."""
        return self.run.rate_hz

    @property
    def channels(self) -> tuple[str, ...]:
        """Names, in the order of a block's rows."""
        return tuple(channel.name for channel in self.run.channels)
