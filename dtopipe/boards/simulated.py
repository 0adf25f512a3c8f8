"""The simulated board: its own oracle, every code a pure function of channel and sample index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.boards.code_tables import CodeSource, code_source
from dtopipe.boards.contract import Ended, Opened, Overrun, Poll, Taken
from dtopipe.boards.exclusive import ExclusiveDevice
from dtopipe.boards.pace import ClockedPace, Pace, PolledPace, WaitingPace
from dtopipe.boards.simulated_options import BOARD, PaceOption, SimulatedOptions
from dtopipe.boards.timeline import BlockTimeline
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import ChannelPlan, TaskPlan
from dtopipe.model.span import Span
from dtopipe.model.stream import Channel

# What a kind of input is taken for where the topology says no range: lowest and highest value, unit.
_KINDS: Mapping[str, tuple[tuple[float, float], str]] = {
    "voltage": ((-10.0, 10.0), "V"),
    "current": ((-0.02, 0.02), "A"),
    "thermocouple": ((-100.0, 400.0), "degC"),
    "rtd": ((-100.0, 400.0), "degC"),
    "thermistor": ((-40.0, 120.0), "degC"),
}


class SimulatedBoard:
    """A board of 16-bit channels. Never started, it costs nothing; stopped, it hands over the block begun last.

    `pace: realtime` goes on by the clock and overruns; a stop completes the buffer that is being filled, so that the
    end is the sample reached at that instant. `pace: max` waits for its reader and can start at any index.
    Of a polled task each block is one reading; in real time ticks that nobody asked at are overruns.
    """

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        self._raw_options = options
        self._task = task
        self._device: ExclusiveDevice | None = None
        self._pace: Pace | None = None

    def open(self) -> Opened:
        """Take hold of the device. Raises BoardError if another run holds it, or an option is wrong."""
        self._options = options = SimulatedOptions.parse(self._raw_options)
        task = self._task
        if task is None or not task.channels:
            raise BoardError(BOARD, "it has no channels", "give the topology a task: with channels:")
        names = [channel.name for channel in task.channels]
        for fault in options.sensor_faults:
            if fault.channel not in names:
                raise BoardError(
                    BOARD, f"sensor_faults: there is no channel {fault.channel!r}", f"there are {', '.join(names)}"
                )
        waveforms = [
            options.signal.over(channel).waveform_of(number, task.rate_hz)
            for number, channel in enumerate(task.channels)
        ]
        self._ensure_there()
        if options.device is not None:
            self._device = ExclusiveDevice(BOARD, options.device)
            self._device.hold(task.name)
        self._opened_task = task
        self._source: CodeSource = code_source(waveforms, self._block_length(task))
        self._faults = [(names.index(fault.channel), fault.span, fault.status) for fault in options.sensor_faults]
        clocked = options.pace is PaceOption.REALTIME
        return Opened(
            device=options.device or BOARD,
            channels=tuple(_channel(channel) for channel in task.channels),
            dtype="int16",
            rate_hz=float(task.rate_hz),
            samples_per_block=self._block_length(task),
            clocked=clocked,
            resumable=not clocked,
            simulated=True,
            end_sample_index=options.max_samples,
            polled=task.polled,
        )

    def start(self, at: int) -> None:
        """Start the sample clock; the first sample gets index `at`."""
        task, options = self._opened_task, self._options
        timeline = BlockTimeline(at, self._block_length(task), options.overruns, options.max_samples)
        if options.pace is PaceOption.MAX:
            self._pace = WaitingPace(timeline, None, at)
        elif task.polled:
            self._pace = PolledPace(timeline, SampleClock(task.rate_hz), at)
        else:
            self._pace = ClockedPace(timeline, SampleClock(task.rate_hz), task.driver_buffers, at)

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next block, overrun or end, or None if there is none within `timeout_s`."""
        if self._pace is None:
            raise BoardError(BOARD, "it is read before it was started")
        self._ensure_there()
        piece = self._pace.next(timeout_s)
        if piece is None or isinstance(piece, Ended):
            return piece
        span = piece.span
        if piece.cause is not None:
            return Overrun(span, piece.cause)
        t_requested_ns = mono_ns()
        codes, status = self._source.block(span.start, len(span)), self._status(span)
        poll = Poll(t_requested_ns, mono_ns()) if self._opened_task.polled else None
        return Taken(span.start, codes, status, poll)

    def give_back(self) -> None:
        """The buffer of the last `Taken` is free again."""
        if self._pace is not None:
            self._pace.give_back()

    def stop(self) -> None:
        """Stop the sample clock; harmless before `start` and twice."""
        if self._pace is not None:
            self._pace.stop()

    def close(self) -> None:
        """Let go of the device."""
        self._pace = None
        if self._device is not None:
            self._device.let_go()

    def _ensure_there(self) -> None:
        """Raises BoardError while it is away, as a board whose cable is out."""
        away_file = self._options.away_file
        if away_file is not None and away_file.exists():
            raise BoardError(BOARD, f"the board does not answer: {away_file} is there", "delete that file")

    @staticmethod
    def _block_length(task: TaskPlan) -> int:
        return 1 if task.polled else task.samples_per_block

    def _status(self, span: Span) -> NDArray[np.int8] | None:
        found = [(row, fault.intersection(span), status) for row, fault, status in self._faults]
        if not any(part for _, part, _ in found):
            return None
        array = np.zeros((len(self._opened_task.channels), len(span)), np.int8)
        for row, part, status in found:
            array[row, part.start - span.start : part.stop - span.start] = status
        return array


def _channel(plan: ChannelPlan) -> Channel:
    """The channel with the scale of a 16-bit converter over its range; raw codes stay as they are."""
    if plan.kind == "raw":
        unit, limits, scale, offset = "", plan.range, 1.0, 0.0
    else:
        usual_limits, unit = _KINDS.get(plan.kind, ((-10.0, 10.0), ""))
        limits = low, high = plan.range or usual_limits
        scale = (high - low) / 65536
        offset = low + 32768 * scale
    return Channel(
        name=plan.name,
        unit=unit if plan.unit is None else plan.unit,
        kind=plan.kind,
        scale=scale,
        offset=offset,
        range=limits,
        physical_channel=plan.physical_channel,
        details=plan.options,
    )
