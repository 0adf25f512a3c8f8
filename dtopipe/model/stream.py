"""What flows: channels, the stream that a board opened, and its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.calibration import Calibration
from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.span import Span

# The kind of a channel that has a formula.
VIRTUAL = "virtual"


class SensorStatus(IntEnum):
    """State of a sensor at one sample, as the driver library numbers it; a value is null where it is not OK.

    ABSENT is ours: the driver gave an error instead of this block, or the channel was not in it. OUT_OF_RANGE too: the
    sensor was fine, but its calibration or formula has no value there; no board and no raw file says so.
    """

    OK = 0
    OPEN = 1
    LOW = 2
    HIGH = 3
    ABSENT = 4
    OUT_OF_RANGE = 5


@dataclass(frozen=True, slots=True)
class Channel:
    """One converter input. Engineering value = `code * scale + offset`, in `unit`.

    With a `calibration` that is its input, in the calibration's `input_unit`, and `unit` is that of the calibrated
    value. `range`: lowest and highest input, where the board has one. `details`: what the board's driver knows besides,
    JSON-able, stored with the data. A virtual channel has a `formula` over others, and `constants` in it, and no codes.
    """

    name: str
    unit: str = ""
    kind: str = "voltage"
    scale: float = 1.0
    offset: float = 0.0
    range: tuple[float, float] | None = None
    physical_channel: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    formula: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_raw(self) -> bool:
        """True where the values are the codes as they are, as integers."""
        return self.kind == "raw" and self.calibration is None

    @property
    def input_scaling(self) -> tuple[float, float]:
        """The scale and offset from code to input; the input of a raw channel is its code."""
        return (1.0, 0.0) if self.kind == "raw" else (self.scale, self.offset)

    @property
    def input_unit(self) -> str:
        """The unit of `code * scale + offset`, and of `range`."""
        return self.unit if self.calibration is None else self.calibration.input_unit

    def meaning(self) -> Mapping[str, Any] | None:
        """How its values are made, for the metadata of outputs; None where nobody has said."""
        if self.calibration is not None:
            return self.calibration.facts()
        if self.formula:
            return {"formula": self.formula, **({"with": dict(self.constants)} if self.constants else {})}
        found: Mapping[str, Any] | None = self.details.get("calibration")
        return found


@dataclass(frozen=True, slots=True)
class Stream:
    """One run's data as the board delivers it; known before the first sample.

    `dtype`: numpy name of a code (`int16`, `int32`, `float64`). `started_at`: ISO 8601, UTC.
    `polled`: it has readings, each with times of its own; `rate_hz` is then how often the board is asked.
    `virtual`: channels that are worked out from others, and stand behind them in tables.
    `every`, `reduce`: of an output whose rows each stand for so many samples, and how they were made of these.
    """

    run_id: str
    task: str
    device: str
    channels: tuple[Channel, ...]
    dtype: str
    rate_hz: float
    samples_per_block: int
    started_at: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    polled: bool = False
    virtual: tuple[Channel, ...] = ()
    every: int = 1
    reduce: str = ""

    @property
    def clock(self) -> SampleClock:
        """The clock that all times of this stream come from."""
        return SampleClock(self.rate_hz)

    def selected(self, indices: Sequence[int]) -> Stream:
        """The same stream with only the channels at `indices`, in that order."""
        return replace(self, channels=tuple(self.channels[i] for i in indices))


@dataclass(frozen=True, slots=True)
class Origin:
    """The 16-bit codes that a block's values were made of: by them texts and the like are found quicker.

    `channels`: as those codes are to be taken, None where a value is made of several. `codes`: (n_channels, n) int16.
    """

    channels: tuple[Channel | None, ...]
    codes: NDArray[np.int16]

    def trimmed(self, low: int, high: int) -> Origin:
        """Of these samples."""
        return Origin(self.channels, self.codes[:, low:high])


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of all channels over one span.

    `codes`: (n_channels, n_samples), C order, the stream's dtype; engineering values where that is float64.
    `sensor_status`: (n_channels, n_samples) int8 of `SensorStatus`, or None where every sample is OK.
    `anchor`: of the acquirer's epoch; the clock's start for every time in the block.
    Arrays may be views into shared memory, valid until the block is released.
    `error`: type and message of what the driver gave instead of samples; its codes are no measurement then.
    `latency_ns`: of a reading, a block of one sample whose anchor is its own request: until it was there.
    `made_of`: of values, where that is known.
    `step`, `covers`: of a block of a view, whose rows are less than its samples: sample indices from a row to the next,
    and samples per channel that all of its rows stand for.
    """

    block_index: int
    first_sample_index: int
    codes: NDArray[Any]
    anchor: Anchor
    sensor_status: NDArray[np.int8] | None = None
    error: tuple[str, str] | None = None
    latency_ns: int = 0
    made_of: Origin | None = None
    step: int = 1
    covers: int | None = None

    @property
    def n_samples(self) -> int:
        """Samples per channel; of a view its rows."""
        return int(self.codes.shape[1])

    @property
    def span(self) -> Span:
        """The sample indices of this block."""
        length = self.n_samples if self.covers is None else self.covers
        return Span(self.first_sample_index, self.first_sample_index + length)

    def sample_index(self) -> NDArray[np.int64]:
        """The index of each row: (n_samples,) int64."""
        first = self.first_sample_index
        return np.arange(first, first + self.n_samples * self.step, self.step)

    def t_mono_ns(self, clock: SampleClock) -> NDArray[np.int64]:
        """Each row's time on `perf_counter_ns`: (n_samples,) int64."""
        offsets = clock.offsets_ns(self.first_sample_index - self.anchor.sample_index, self.n_samples, self.step)
        return offsets + self.anchor.t_mono_ns

    def t_utc_ns_at(self, sample_index: int, clock: SampleClock) -> int:
        """The time of this sample, as it follows from the block's anchor."""
        return self.anchor.t_utc_ns + clock.offset_ns(sample_index - self.anchor.sample_index)

    def trimmed(self, start: int, stop: int | None = None) -> Block:
        """The part of this block with `start <= index < stop`; of a view the rows with such an index."""
        first, step = self.first_sample_index, self.step
        low = max(0, -((first - start) // step))
        high = self.n_samples if stop is None else max(low, min(self.n_samples, -((first - stop) // step)))
        if low == 0 and high == self.n_samples:
            return self
        status = None if self.sensor_status is None else self.sensor_status[:, low:high]
        return replace(
            self,
            first_sample_index=first + low * step,
            codes=self.codes[:, low:high],
            sensor_status=status,
            made_of=None if self.made_of is None else self.made_of.trimmed(low, high),
            covers=None if self.covers is None else min(self.covers, high * step) - low * step,
        )

    def selected(self, indices: Sequence[int]) -> Block:
        """The same block with only the channels at `indices`, in that order."""
        chosen = list(indices)
        status = None if self.sensor_status is None else self.sensor_status[chosen]
        return replace(self, codes=self.codes[chosen], sensor_status=status, made_of=None)


def joined_status(blocks: Sequence[Block]) -> NDArray[np.int8] | None:
    """(n_channels, n_samples) int8 of all these blocks, one behind the other; None where none has one."""
    if all(block.sensor_status is None for block in blocks):
        return None
    known = [
        np.zeros(block.codes.shape, np.int8) if block.sensor_status is None else block.sensor_status for block in blocks
    ]
    return np.concatenate(known, axis=1)
