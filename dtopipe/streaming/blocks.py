"""What a board gives, as blocks for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.board_events import Opened, Overrun, Taken
from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.daq import DaqBlock
from dtopipe.model.derived import ChannelValues
from dtopipe.model.errors import BufferOverrun
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Channel

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(t_utc_ns: int) -> datetime:
    """A time of the wall clock, to the microsecond."""
    return _EPOCH + timedelta(microseconds=t_utc_ns // 1000)


class BlockMaker:
    """Makes the blocks of one board's channels; times come from the sample clock."""

    def __init__(self, task: str, device: str, channels: tuple[Channel, ...], rate_hz: float) -> None:
        self._task = task
        self._device = device
        self._channels = channels
        self._rate_hz = rate_hz
        self._clock = SampleClock(rate_hz)
        self._values = ChannelValues(channels)
        self._names = tuple(channel.name for channel in channels)
        self._units = {channel.name: channel.unit or None for channel in channels}

    def block(
        self, number: int, first: int, codes: NDArray[Any], status: NDArray[np.int8] | None, anchor: Anchor, **more: Any
    ) -> DaqBlock:
        """The block of these codes, which stay what they are as long as it lives; `first`: its first sample's index."""
        return self._block(
            number,
            first,
            self._values(codes, status),
            anchor,
            raw_codes=None if codes.dtype.kind == "f" else codes,
            is_linearised=True,
            calibration=self._channels,
            sensor_status={}
            if status is None
            else {name: row for name, row in zip(self._names, status, strict=True) if row.any()},
            **more,
        )

    def nothing(self, number: int, first: int, anchor: Anchor, **more: Any) -> DaqBlock:
        """A block of no samples."""
        return self._block(number, first, np.empty((len(self._names), 0)), anchor, **more)

    def utc_ns(self, index: int, anchor: Anchor) -> int:
        """When this sample was taken."""
        return anchor.t_utc_ns + self._clock.offset_ns(index - anchor.sample_index)

    def _block(
        self,
        number: int,
        first: int,
        data: NDArray[np.float64],
        anchor: Anchor,
        *,
        started_ns: int,
        read_started_ns: int,
        **more: Any,
    ) -> DaqBlock:
        offset_ns = self._clock.offset_ns(first - anchor.sample_index)
        t_mono_ns, t_utc_ns = anchor.t_mono_ns + offset_ns, anchor.t_utc_ns + offset_ns
        n = data.shape[1]
        started, finished = moment(read_started_ns), datetime.now(UTC)
        return DaqBlock(
            device=self._device,
            channels=self._names,
            data=data,
            task=self._task,
            block_index=number,
            first_sample_index=first,
            samples_per_channel=n,
            sample_rate_hz=self._rate_hz,
            block_period_ns=round(1e9 / self._rate_hz),
            task_started_at=moment(started_ns),
            t0=moment(t_utc_ns),
            t_mono_ns=t_mono_ns,
            t_utc=moment(t_utc_ns),
            t_utc_ns=t_utc_ns,
            t_midpoint_mono_ns=t_mono_ns + self._clock.offset_ns(n) // 2,
            read_started_at=started,
            read_finished_at=finished,
            elapsed_s=(finished - started).total_seconds(),
            units=self._units,
            **more,
        )


class Blocks:
    """Counts and times a recording's blocks, from the instant `anchor` at which its sample 0 was taken."""

    def __init__(self, task: str, opened: Opened, anchor: Anchor) -> None:
        self._anchor = anchor
        self._make = BlockMaker(task, opened.device, opened.channels, opened.rate_hz)
        self._gaps: list[Gap] = []
        self._block_index = 0
        self.at = anchor.sample_index

    def block(self, taken: Taken, read_started_ns: int) -> DaqBlock:
        """The next block; `taken.codes` must be the caller's own. `read_started_ns`: UTC."""
        if taken.first_sample_index > self.at:
            self._lose(Overrun(Span(self.at, taken.first_sample_index)))
        self.at = taken.first_sample_index + taken.codes.shape[1]
        block = self._make.block(
            self._block_index,
            taken.first_sample_index,
            taken.codes,
            taken.sensor_status,
            self._anchor,
            started_ns=self._anchor.t_utc_ns,
            read_started_ns=read_started_ns,
            gaps_before=tuple(self._gaps),
        )
        self._block_index += 1
        self._gaps = []
        return block

    def overrun(self, overrun: Overrun) -> DaqBlock:
        """A block of no samples with the error."""
        self._lose(overrun)
        span = overrun.span
        error = BufferOverrun(f"the board lost samples {span.start} to {span.stop} ({overrun.cause.value})")
        self.at = span.stop
        return self._make.nothing(
            self._block_index,
            span.start,
            self._anchor,
            started_ns=self._anchor.t_utc_ns,
            read_started_ns=self._make.utc_ns(span.start, self._anchor),
            error=error,
        )

    def _lose(self, overrun: Overrun) -> None:
        self._gaps.append(Gap(overrun.span, overrun.cause, self._make.utc_ns(overrun.span.start, self._anchor)))
