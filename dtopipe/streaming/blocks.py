"""What a board gives, as blocks for programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.boards.base import Opened, Overrun, Taken
from dtopipe.model.clock import Anchor, SampleClock
from dtopipe.model.daq import DaqBlock
from dtopipe.model.errors import BufferOverrun
from dtopipe.model.span import Gap, Span
from dtopipe.sinks.values import EngineeringValues

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(t_utc_ns: int) -> datetime:
    """A time of the wall clock, to the microsecond."""
    return _EPOCH + timedelta(microseconds=t_utc_ns // 1000)


class Blocks:
    """Counts and times a recording's blocks, from the instant `anchor` at which its sample 0 was taken."""

    def __init__(self, task: str, opened: Opened, anchor: Anchor) -> None:
        self._task = task
        self._opened = opened
        self._anchor = anchor
        self._clock = SampleClock(opened.rate_hz)
        self._values = EngineeringValues(opened.channels)
        self._names = tuple(channel.name for channel in opened.channels)
        self._units = {channel.name: channel.unit or None for channel in opened.channels}
        self._gaps: list[Gap] = []
        self._block_index = 0
        self.at = anchor.sample_index

    def block(self, taken: Taken, read_started_ns: int) -> DaqBlock:
        """The next block; `taken.codes` must be the caller's own. `read_started_ns`: UTC."""
        if taken.first_sample_index > self.at:
            self._lose(Overrun(Span(self.at, taken.first_sample_index)))
        self.at = taken.first_sample_index + taken.codes.shape[1]
        status = taken.sensor_status
        block = self._block(
            taken.first_sample_index,
            self._values(taken.codes, status),
            read_started_ns,
            raw_codes=None if taken.codes.dtype.kind == "f" else taken.codes,
            is_linearised=True,
            calibration=self._opened.channels,
            gaps_before=tuple(self._gaps),
            sensor_status={}
            if status is None
            else {name: row for name, row in zip(self._names, status, strict=True) if row.any()},
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
        nothing: NDArray[np.float64] = np.empty((len(self._names), 0))
        return self._block(span.start, nothing, self._utc_ns(span.start), error=error)

    def _block(self, first: int, data: NDArray[np.float64], read_started_ns: int, **more: Any) -> DaqBlock:
        offset_ns = self._clock.offset_ns(first - self._anchor.sample_index)
        t_mono_ns, t_utc_ns = self._anchor.t_mono_ns + offset_ns, self._anchor.t_utc_ns + offset_ns
        n = data.shape[1]
        started, finished = moment(read_started_ns), datetime.now(UTC)
        return DaqBlock(
            device=self._opened.device,
            channels=self._names,
            data=data,
            task=self._task,
            block_index=self._block_index,
            first_sample_index=first,
            samples_per_channel=n,
            sample_rate_hz=self._opened.rate_hz,
            block_period_ns=round(1e9 / self._opened.rate_hz),
            task_started_at=moment(self._anchor.t_utc_ns),
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

    def _lose(self, overrun: Overrun) -> None:
        self._gaps.append(Gap(overrun.span, overrun.cause, self._utc_ns(overrun.span.start)))

    def _utc_ns(self, index: int) -> int:
        return self._anchor.t_utc_ns + self._clock.offset_ns(index - self._anchor.sample_index)
