"""What a program gets from a board: blocks, readings and samples, shaped as the driver library's own.

Fields, order of arguments and meaning are those of dtollib 0.1, so that its programs and its sinks' users find what
they know; a time of a block is that of its first sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import SpecError
from dtopipe.model.sample_arrays import checked_array, measured, unmasked
from dtopipe.model.span import Gap
from dtopipe.model.stream import Channel, SensorStatus


def _frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping if isinstance(mapping, MappingProxyType) else MappingProxyType(dict(mapping))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written through; the caller's own array stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view


def _state(value: Any) -> dict[str, Any]:
    """What goes into a pickle: read-only mappings cannot, nor what belongs to this process."""
    found = {each.name: None if each.metadata else getattr(value, each.name) for each in fields(value)}
    return {name: dict(item) if isinstance(item, MappingProxyType) else item for name, item in found.items()}


def _reduce(value: Any) -> tuple[Any, ...]:
    """For `pickle`. Up to Python 3.11.3 a frozen dataclass with slots has its own `__getstate__`, whatever we say."""
    return _restored, (type(value), _state(value))


def _restored(kind: type[Any], state: dict[str, Any]) -> Any:
    value: Any = object.__new__(kind)
    for name, item in state.items():
        object.__setattr__(value, name, item)
    value.__post_init__()
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class DaqReading:
    """One value of each channel, read on demand.

    `values`: by channel's name, NaN where `sensor_status` says that there is none. `t_mono_ns`: at the start of the
    poll; `requested_at`, `received_at`: its start and end; `t_utc`: its middle. `error`: why there are no values.
    """

    device: str
    task: str | None = None
    values: Mapping[str, float | int | bool] = field(default_factory=dict)
    units: Mapping[str, str | None] = field(default_factory=dict)
    requested_at: datetime
    received_at: datetime
    t_utc: datetime
    t_mono_ns: int
    t_midpoint_mono_ns: int | None = None
    latency_s: float
    sensor_status: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None

    __reduce__ = _reduce

    def __post_init__(self) -> None:
        """Freeze the mappings."""
        for name in ("values", "units", "sensor_status", "metadata"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; times in ISO 8601."""
        return {
            "device": self.device,
            "task": self.task,
            "values": dict(self.values),
            "units": dict(self.units),
            "requested_at": self.requested_at.isoformat(),
            "received_at": self.received_at.isoformat(),
            "t_utc": self.t_utc.isoformat(),
            "t_mono_ns": self.t_mono_ns,
            "t_midpoint_mono_ns": self.t_midpoint_mono_ns,
            "latency_s": self.latency_s,
            "sensor_status": {name: str(status) for name, status in self.sensor_status.items()},
            "metadata": dict(self.metadata),
            "error": None if self.error is None else str(self.error),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DaqBlock:
    """Samples of all channels over one span.

    `data`: (n_channels, samples_per_channel) float64 in each channel's unit, rows as in `channels`, NaN where the
    sensor is not OK; what a masked array masks is no measurement. `raw_codes`: the board's codes of the same shape,
    where it has any. `first_sample_index`: of the run. `t_mono_ns` (`perf_counter_ns`), `t0`, `t_utc`: of the first
    sample. `sensor_status`: by channel's name, (samples_per_channel,) int8 of SensorStatus; a channel that is
    absent is OK throughout. `error`: the block stands for samples that are not there. Arrays and mappings cannot be
    written to.

    Ours: `t_utc_ns`, the first sample's time to the nanosecond; `calibration`, how codes become values, one `Channel`
    a row; `gaps_before`, what is absent just before this block. Raises SpecError if shapes do not fit.
    """

    device: str
    channels: tuple[str, ...]
    data: NDArray[np.float64]
    task: str | None = None
    raw_codes: NDArray[Any] | None = None
    cjc_data: NDArray[np.float64] | None = None
    block_index: int
    first_sample_index: int
    samples_per_channel: int
    sample_rate_hz: float | None = None
    block_period_ns: int | None = None
    task_started_at: datetime
    t0: datetime
    t_mono_ns: int
    t_utc: datetime
    t_midpoint_mono_ns: int | None = None
    read_started_at: datetime
    read_finished_at: datetime
    elapsed_s: float
    units: Mapping[str, str | None] = field(default_factory=dict)
    is_linearised: bool = False
    sensor_status: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    error: BaseException | None = None
    t_utc_ns: int | None = None
    calibration: tuple[Channel, ...] | None = None
    gaps_before: tuple[Gap, ...] = ()
    # Where `raw_codes` is a view of memory that is used again: tells whether it still is this block's.
    is_there: Callable[[], bool] | None = field(default=None, repr=False, compare=False, metadata={"is_local": True})

    __reduce__ = _reduce

    def __post_init__(self) -> None:
        """Check the shapes, freeze arrays and mappings."""
        object.__setattr__(self, "channels", tuple(self.channels))
        for name in ("data", "raw_codes", "cjc_data"):
            array = getattr(self, name)
            if array is None:
                continue
            array = checked_array(f"DaqBlock.{name}", array, len(self.channels), self.samples_per_channel)
            if name == "raw_codes":
                array = unmasked("DaqBlock.raw_codes", array)
            object.__setattr__(self, name, _read_only(array))
        for channel, mask in self.sensor_status.items():
            if mask.shape != (self.samples_per_channel,):
                raise SpecError(
                    f"DaqBlock.sensor_status[{channel!r}] shape {mask.shape} does not match"
                    f" (samples_per_channel={self.samples_per_channel},)"
                )
        for name in ("block_index", "first_sample_index"):
            if getattr(self, name) < 0:
                raise SpecError(f"DaqBlock.{name} must be >= 0, got {getattr(self, name)}")
        masks = {channel: _read_only(mask) for channel, mask in self.sensor_status.items()}
        object.__setattr__(self, "sensor_status", MappingProxyType(masks))
        object.__setattr__(self, "units", _frozen(self.units))

    @property
    def n_channels(self) -> int:
        """How many channels."""
        return len(self.channels)

    def still_valid(self) -> bool:
        """True as long as `raw_codes` is what it was: always, but for a view into the ring of a run.

        What was read from a view was right if this is true afterwards. `data` is the block's own.
        """
        return self.is_there is None or self.is_there()


@dataclass(frozen=True, slots=True, kw_only=True)
class DaqSample:
    """One channel's value at one sample, times of its own."""

    device: str
    channel: str
    value: float
    sample_index: int
    block_index: int
    t_mono_ns: int
    t_utc: datetime
    task: str | None = None
    unit: str | None = None
    sensor_status: SensorStatus = SensorStatus.OK
    is_linearised: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    __reduce__ = _reduce

    def __post_init__(self) -> None:
        """Freeze the mapping."""
        object.__setattr__(self, "metadata", _frozen(self.metadata))


def block_to_long_rows(block: DaqBlock) -> Iterator[DaqSample]:
    """Every sample of a block, one channel's behind the other's."""
    offsets_ns = sample_offsets_ns(block).tolist()
    values = measured(block.data)
    for row, channel in enumerate(block.channels):
        mask = block.sensor_status.get(channel)
        for number, offset_ns in enumerate(offsets_ns):
            yield DaqSample(
                device=block.device,
                task=block.task,
                channel=channel,
                value=float(values[row, number]),
                unit=block.units.get(channel),
                sample_index=block.first_sample_index + number,
                block_index=block.block_index,
                t_mono_ns=block.t_mono_ns + offset_ns,
                t_utc=block.t_utc + timedelta(microseconds=offset_ns / 1000),
                sensor_status=SensorStatus.OK if mask is None else SensorStatus(int(mask[number])),
                is_linearised=block.is_linearised,
            )


def rate_hz_of(block: Any) -> float:
    """Samples per second of a block, ours or the driver library's.

    Its rate, else its period; a block without a clock had its samples evenly over the time of its read.
    """
    if block.sample_rate_hz:
        return float(block.sample_rate_hz)
    if block.block_period_ns:
        return 1e9 / int(block.block_period_ns)
    window_s = (block.read_finished_at - block.read_started_at).total_seconds()
    samples = max(1, int(block.samples_per_channel))
    return samples / window_s if window_s > 0 else 1e9


def sample_offsets_ns(block: Any) -> NDArray[np.int64]:
    """Nanoseconds from a block's first sample to each of its samples, (samples_per_channel,) int64."""
    return SampleClock(rate_hz_of(block)).offsets_ns(0, int(block.samples_per_channel))
