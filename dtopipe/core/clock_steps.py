"""The computer's wall clock against its steady one: set, or passed over by a sleep, while a run goes on."""

from __future__ import annotations

from dataclasses import dataclass

# What two readings may differ by, and a clock that is slewed may gain, without a word.
_TOLERANCE_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The wall clock was moved by so much; less than 0: back."""

    by_ns: int

    @property
    def text(self) -> str:
        """Such as `the wall clock was set forward by 3600.000 s`."""
        way = "forward" if self.by_ns > 0 else "back"
        return f"the wall clock was set {way} by {abs(self.by_ns) / 1e9:.3f} s"


@dataclass(frozen=True, slots=True)
class Slept:
    """The machine slept for so long."""

    for_ns: int

    @property
    def text(self) -> str:
        """Such as `the machine slept for 61.2 s`."""
        return f"the machine slept for {self.for_ns / 1e9:.1f} s"


class ClockSteps:
    """Compares each reading of the clocks with what was told last."""

    def __init__(self, utc_offset_ns: int, asleep_ns: int) -> None:
        """`utc_offset_ns`: UTC less the steady clock; `asleep_ns`: how long the machine has slept, by the system."""
        self._offset_ns, self._asleep_ns = utc_offset_ns, asleep_ns
        self.total_ns = 0

    def read(self, utc_offset_ns: int, asleep_ns: int) -> tuple[ClockStepped | Slept, ...]:
        """The same two now; what happened since."""
        moved_ns, slept_ns = utc_offset_ns - self._offset_ns, asleep_ns - self._asleep_ns
        found: list[ClockStepped | Slept] = []
        if slept_ns >= _TOLERANCE_NS:
            found.append(Slept(slept_ns))
        else:
            slept_ns = 0
        if abs(moved_ns - slept_ns) >= _TOLERANCE_NS:
            found.append(ClockStepped(moved_ns - slept_ns))
        if found:
            self._offset_ns, self._asleep_ns = utc_offset_ns, self._asleep_ns + slept_ns
            self.total_ns += moved_ns
        return tuple(found)
