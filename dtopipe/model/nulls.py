"""Values that are null though the board gave a sample. Nothing of a gap is in an output.

The sensor was not OK, or its calibration has no value there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dtopipe.model.span import Span
from dtopipe.model.stream import Channel, SensorStatus

SEVERAL = "several"
_WORDS = {
    SensorStatus.OPEN: "sensor_open",
    SensorStatus.LOW: "sensor_low",
    SensorStatus.HIGH: "sensor_high",
    SensorStatus.ABSENT: "absent",
    SensorStatus.OUT_OF_RANGE: "out_of_range",
}


@dataclass(frozen=True, slots=True)
class NullRange:
    """Null values of one channel. `channel`: its number in the stream; `status`: OK stands for several.

    `samples` of `span` are null: all of them, unless there were so many ranges that later ones were joined.
    """

    channel: int
    span: Span
    samples: int
    status: SensorStatus

    @property
    def cause(self) -> str:
        """As the long layout's `error_type` says it."""
        return _WORDS.get(self.status, SEVERAL)

    def before(self, index: int) -> NullRange | None:
        """What of it lies before this sample index; None if nothing does."""
        if self.span.stop <= index:
            return self
        if self.span.start >= index:
            return None
        span = Span(self.span.start, index)
        return NullRange(self.channel, span, min(self.samples, len(span)), self.status)

    def joined(self, other: NullRange) -> NullRange:
        """One range of the same channel for both, of which this one comes first."""
        status = self.status if self.status == other.status else SensorStatus.OK
        span = Span(self.span.start, other.span.stop)
        return NullRange(self.channel, span, self.samples + other.samples, status)

    def follows(self, other: NullRange) -> bool:
        """True if both are one range of which nothing else was to be said."""
        is_whole = other.samples == len(other.span) and self.samples == len(self.span)
        return is_whole and self.status == other.status and self.span.start == other.span.stop

    def facts(self, name: str) -> dict[str, Any]:
        """The facts for JSON; `name` is the channel's."""
        return {
            "channel": name,
            "start": self.span.start,
            "stop": self.span.stop,
            "samples": self.samples,
            "cause": self.cause,
        }


def cause_status(cause: str) -> SensorStatus:
    """The status that `NullRange.cause` names. Raises ValueError."""
    if cause == SEVERAL:
        return SensorStatus.OK
    for status, word in _WORDS.items():
        if word == cause:
            return status
    raise ValueError(f"{cause!r} is no state of a sensor")


def nulls_from(facts: Any, channels: Sequence[Channel]) -> tuple[NullRange, ...]:
    """What `facts` has made of them, of these channels. Raises ValueError, KeyError, TypeError."""
    numbers = {channel.name: number for number, channel in enumerate(channels)}
    found = []
    for each in facts:
        span = Span(int(each["start"]), int(each["stop"]))
        if not 0 < int(each["samples"]) <= len(span):
            raise ValueError("a range of null values that cannot be")
        found.append(NullRange(numbers[each["channel"]], span, int(each["samples"]), cause_status(each["cause"])))
    return tuple(found)
