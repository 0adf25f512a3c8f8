"""The driver library's fake backend with what it lacks: a clock, and samples that are their own oracle."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Any

from dtopipe.boards.code_tables import CodeSource, code_source
from dtopipe.boards.driver_library.codes import Converter
from dtopipe.boards.pace import StartedClock
from dtopipe.boards.simulated_options import SimulatedOptions
from dtopipe.boards.timeline import BlockTimeline
from dtopipe.host.clock import mono_ns
from dtopipe.model.clock import SampleClock
from dtopipe.model.plan import TaskPlan
from dtopipe.model.span import Span

# What its boards measure; for other inputs it is a multi-sensor board.
_PLAIN_KINDS = ("voltage", "raw", "thermocouple")
_FAKE_DEVICE = "DT9805(00)"
# Of the fake backend's queues, the one of buffers that wait to be filled.
_READY_QUEUE = 0
# A pump that is late looks so often whether a buffer has come back.
_LOOK_EVERY_S = 0.0005


class FakeDriver:
    """A fake board with one converter; a polled one is read as it is asked."""

    simulated = True

    def __init__(self, task: TaskPlan, options: SimulatedOptions, device: str | None) -> None:
        from dtollib.testing import make_dt9805_capabilities, make_fake_backend, make_fake_dt9805

        board = make_fake_dt9805(name=device or _FAKE_DEVICE)
        plain = make_dt9805_capabilities()
        board.subsystems[0].capabilities = replace(
            plain,
            supports_multisensor=any(channel.kind not in _PLAIN_KINDS for channel in task.channels),
            num_channels=max(plain.num_channels, *(number + 1 for number in _physical(task))),
        )
        self.backend: Any = make_fake_backend(boards=[board])
        self.end_sample_index = options.max_samples
        self._task = task
        self._options = options
        self._pump: Pump | None = None

    def prepare(self, converter: Converter, rate_hz: float) -> None:
        """Compute what repeats."""
        task = self._task
        self._rate_hz = rate_hz
        waveforms = [
            self._options.signal.over(channel).waveform_of(number, rate_hz)
            for number, channel in enumerate(task.channels)
        ]
        self._source: CodeSource = code_source(waveforms, 1 if task.polled else task.samples_per_block)
        self._converter = converter

    def start(self, hdass: int, at: int) -> int:
        """Start the subsystem and, unless it is polled, the converter that fills its buffers."""
        self.backend.start(hdass)
        clock = StartedClock(SampleClock(self._rate_hz), at, mono_ns())
        if not self._task.polled:
            timeline = BlockTimeline(at, self._task.samples_per_block, self._options.overruns, self.end_sample_index)
            self._pump = Pump(self.backend, hdass, clock, timeline, self._source, self._converter)
            self._pump.start()
        return clock.t_started_ns

    def stamp_ns(self) -> int:
        """When the simulated converter had it, not when a thread of ours that may be late got round to it."""
        return mono_ns() if self._pump is None else self._pump.t_event_ns

    def stop(self, hdass: int) -> bool:
        """Stop the converter; the buffer that is being filled is complete as it is, and then the end is told of."""
        if self._pump is not None:
            self._pump.stop()
        return self._pump is not None

    def abort(self, hdass: int) -> None:
        """Stop whatever goes on."""
        if self._pump is not None:
            self._pump.stop()
            self._pump.join()
        self.backend.abort(hdass)

    def poll(self, hdass: int, index: int) -> None:
        """Put the codes of sample `index` before the inputs."""
        codes = self._converter.as_read(self._source.block(index, 1))
        for physical, code in zip(_physical(self._task), codes.tolist(), strict=True):
            self.backend.scalar_values[hdass, physical] = code
        self.backend.operations.clear()


class Pump:
    """Completes buffers at the real rate until it is stopped, or at the timeline's end; a thread of its own.

    A block for which no buffer is ready is lost, and an overrun event says so, as hardware would.
    """

    def __init__(
        self,
        backend: Any,
        hdass: int,
        clock: StartedClock,
        timeline: BlockTimeline,
        source: CodeSource,
        converter: Converter,
    ) -> None:
        self.t_event_ns = clock.t_started_ns
        self._backend = backend
        self._hdass = hdass
        self._clock = clock
        self._timeline = timeline
        self._source = source
        self._converter = converter
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake driver", daemon=True)

    def start(self) -> None:
        """Fill buffers from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Complete what is being filled, and end soon. Harmless twice."""
        self._stopping.set()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    def _run(self) -> None:
        from dtollib import SdkEventKind

        try:
            end = SdkEventKind.QUEUE_STOPPED if self._fill() else SdkEventKind.QUEUE_DONE
        except Exception:
            logging.exception("the fake driver failed")
            end = SdkEventKind.QUEUE_STOPPED
        self._backend.fire_event(self._hdass, end)

    def _fill(self) -> bool:
        """It fills buffers up to the end; true if it was stopped before."""
        from dtollib import SdkEventKind

        at = self._clock.at
        while (piece := self._timeline.piece_at(at)) is not None:
            if piece.cause is not None:
                self._backend.fire_event(self._hdass, SdkEventKind.OVERRUN_ERROR)
            stopped = not self._waited_for(piece.span.stop)
            reached = self._clock.reached(mono_ns()) if stopped else piece.span.stop
            span = Span(at, min(max(at, reached), piece.span.stop))
            self.t_event_ns = self._at_ns(span.stop)
            if span and piece.cause is None:
                self._complete(span)
            if stopped:
                return True
            at = span.stop
        return False

    def _complete(self, span: Span) -> None:
        from dtollib import SdkEventKind

        fill = self._converter.as_read(self._source.block(span.start, len(span)))
        self._make_up_for_lateness()
        if self._backend.fire_buffer_done(self._hdass, fill=fill) is None:
            self._backend.fire_event(self._hdass, SdkEventKind.OVERRUN_ERROR)
        # It notes every call, for ever.
        self._backend.operations.clear()

    def _make_up_for_lateness(self) -> None:
        """Give the reader as much time as this thread is late: a converter never has two buffers at once."""
        patience_ns = 2 * mono_ns() - self.t_event_ns
        while self._backend.get_queue_size(self._hdass, _READY_QUEUE) == 0 and mono_ns() < patience_ns:
            time.sleep(_LOOK_EVERY_S)

    def _waited_for(self, index: int) -> bool:
        """True once the clock has reached this index, false if it is stopped before."""
        due_ns = self._clock.due_ns(index)
        while (left_ns := due_ns - mono_ns()) > 0:
            if self._stopping.wait(left_ns / 1e9):
                return mono_ns() >= due_ns
        return True

    def _at_ns(self, index: int) -> int:
        return self._clock.t_started_ns + self._clock.clock.offset_ns(index - self._clock.at)


def _physical(task: TaskPlan) -> list[int]:
    """The input of each channel."""
    return [number if ch.physical_channel is None else ch.physical_channel for number, ch in enumerate(task.channels)]
