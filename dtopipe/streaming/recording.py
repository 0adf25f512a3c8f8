"""What a program holds while it records."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from dtopipe.streaming.hand_over import HandOver

T = TypeVar("T")


@dataclass(slots=True)
class AcquisitionSummary:
    """What happened so far; changes in place while the recording goes on.

    `payloads_emitted`: handed to the consumer. `payloads_dropped`: by the overflow policy, or ticks of a poll that
    nobody had time for. `overruns_observed`: times that the board lost samples. `finished_at`: set on the way out.
    """

    started_at: datetime
    finished_at: datetime | None = None
    payloads_emitted: int = 0
    payloads_dropped: int = 0
    errors_observed: int = 0
    overruns_observed: int = 0
    underruns_observed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Recording(Generic[T]):
    """A recording in progress. `rate_hz`: as read back from the board."""

    stream: HandOver[T]
    summary: AcquisitionSummary
    rate_hz: float | None
