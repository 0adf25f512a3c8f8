"""What a program asks of a board: the words of the driver library's own task description.

Names, defaults and what goes with what are those of dtollib 0.1; here they describe a task on any board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dtopipe.model.errors import SpecError
from dtopipe.model.plan import ChannelPlan, TaskPlan

# With two, one is filled while the other is emptied, and nobody may be late.
_LEAST_BUFFERS = 3


class DataFlow(StrEnum):
    """How samples come: one reading at a time, without end, or up to a count."""

    SINGLE_VALUE = "single_value"
    CONTINUOUS = "continuous"
    FINITE = "finite"


class OverflowPolicy(StrEnum):
    """What a recording does while its consumer is behind."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


class ErrorPolicy(StrEnum):
    """What a recording does with the board's errors: raise them, return them as `block.error`, or only count them."""

    RAISE = "raise"
    RETURN = "return"
    SKIP = "skip"


class WrapMode(StrEnum):
    """How the driver goes through its buffers; a finite task goes through them once."""

    NONE = "none"
    SINGLE = "single"
    MULTIPLE = "multiple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The sample clock. `rate_hz`: per channel. `samples_per_channel`: where a finite task ends."""

    rate_hz: float
    samples_per_channel: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no clock can do."""
        if not 0.0 < self.rate_hz < float("inf"):
            raise SpecError(f"Timing.rate_hz must be positive, got {self.rate_hz}")
        if self.samples_per_channel is not None and self.samples_per_channel <= 0:
            raise SpecError(f"Timing.samples_per_channel must be positive, got {self.samples_per_channel}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferPlan:
    """The board's buffers: how many, at least 3, and how many samples per channel each holds."""

    buffers: int = 4
    samples_per_buffer: int = 1000
    wrap_mode: WrapMode = WrapMode.MULTIPLE

    def __post_init__(self) -> None:
        """Refuse a plan that loses samples at the first delay."""
        if self.buffers < _LEAST_BUFFERS:
            raise SpecError(f"BufferPlan.buffers must be >= {_LEAST_BUFFERS}, got {self.buffers}")
        if self.samples_per_buffer <= 0:
            raise SpecError(f"BufferPlan.samples_per_buffer must be positive, got {self.samples_per_buffer}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalogInputVoltage:
    """A voltage input. `min_val`, `max_val`: its range in volts, before the `gain`; `unit`: default V."""

    physical_channel: int
    name: str | None = None
    unit: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    min_val: float = -10.0
    max_val: float = 10.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a range that is none."""
        if not self.min_val < self.max_val:
            raise SpecError(
                f"AnalogInputVoltage: min_val={self.min_val} must be strictly less than max_val={self.max_val}"
            )
        if not 0.0 < self.gain < float("inf"):
            raise SpecError(f"AnalogInputVoltage.gain must be positive, got {self.gain}")
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    @property
    def display_name(self) -> str:
        """`name`, or `ch` and the number."""
        return self.name if self.name is not None else f"ch{self.physical_channel}"

    def plan(self) -> ChannelPlan:
        """The channel as boards are asked for it."""
        return ChannelPlan(
            name=self.display_name,
            kind="voltage",
            physical_channel=self.physical_channel,
            range=(self.min_val / self.gain, self.max_val / self.gain),
            unit=self.unit,
            options={**self.metadata, **({} if self.gain == 1.0 else {"gain": self.gain})},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One board's channels and how they are sampled.

    Continuous and finite tasks need `timing` and `buffers`, a finite one `timing.samples_per_channel` too; single
    values are read when they are asked for, and have none of them. `board`: the device's name, where there are many.
    """

    name: str
    channels: Sequence[AnalogInputVoltage]
    board: str | None = None
    data_flow: DataFlow = DataFlow.SINGLE_VALUE
    timing: Timing | None = None
    buffers: BufferPlan | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        object.__setattr__(self, "data_flow", DataFlow(self.data_flow))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        if not self.name:
            raise SpecError("TaskSpec.name must be a non-empty string")
        if not self.channels:
            raise SpecError(f"TaskSpec(name={self.name!r}).channels is empty; at least one channel is required")
        names = [channel.display_name for channel in self.channels]
        for name in names:
            if names.count(name) > 1:
                raise SpecError(f"TaskSpec(name={self.name!r}): two channels are named {name!r}")
        for key in ("timing", "buffers"):
            given = getattr(self, key) is not None
            if self.data_flow is DataFlow.SINGLE_VALUE and given:
                raise SpecError(f"TaskSpec.{key} is forbidden when data_flow=SINGLE_VALUE")
            if self.data_flow is not DataFlow.SINGLE_VALUE and not given:
                raise SpecError(f"TaskSpec.{key} is required when data_flow={self.data_flow.value}")
        if self.data_flow is DataFlow.FINITE and self.end_sample_index is None:
            raise SpecError("TaskSpec.timing.samples_per_channel is required when data_flow=FINITE")

    @property
    def end_sample_index(self) -> int | None:
        """Where a finite task ends."""
        finite = self.data_flow is DataFlow.FINITE and self.timing is not None
        return self.timing.samples_per_channel if finite and self.timing is not None else None

    def plan(self) -> TaskPlan:
        """The task of a clocked board. Raises SpecError for single values, which have no clock."""
        if self.timing is None or self.buffers is None:
            raise SpecError(f"TaskSpec(name={self.name!r}) has no timing: data_flow={self.data_flow.value}")
        return TaskPlan(
            name=self.name,
            rate_hz=self.timing.rate_hz,
            samples_per_block=self.buffers.samples_per_buffer,
            channels=tuple(channel.plan() for channel in self.channels),
            driver_buffers=self.buffers.buffers,
        )
