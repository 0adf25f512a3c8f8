"""The boards of the driver library dtollib, by its raw buffers; its fake backend is an oracle as the simulated board.

Nothing of that library is imported before a board is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from dtopipe.boards.contract import Ended, Opened, Overrun, Taken
from dtopipe.boards.driver_library.codes import Converter
from dtopipe.boards.driver_library.drain import BufferDrain
from dtopipe.boards.driver_library.driver import Driver, RealDriver
from dtopipe.boards.driver_library.fake import FakeDriver
from dtopipe.boards.driver_library.options import BOARD, DriverLibraryOptions
from dtopipe.boards.driver_library.polled import PolledReadings
from dtopipe.boards.driver_library.task import channel, gain_of, require_driver_library, task_spec
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan

_Answer = TypeVar("_Answer")

# A start waits this long at most for the first buffer, which says when its first sample was taken.
_FIRST_BUFFER_S = 2.0


class DriverLibraryBoard:
    """A clocked board, which overruns when nobody reads; of a polled task each block is one reading."""

    def __init__(self, options: Mapping[str, Any], task: TaskPlan | None) -> None:
        self._raw_options = options
        self._task = task
        self._driver: Driver | None = None
        self._session: Any = None
        self._source: BufferDrain | PolledReadings | None = None
        self._notification: Any = None
        self._buffers: list[int] = []

    def open(self) -> Opened:
        """Reserve and configure the input subsystem. Raises BoardError."""
        options = DriverLibraryOptions.parse(self._raw_options)
        task = self._task
        if task is None or not task.channels:
            raise BoardError(BOARD, "it has no channels", "give the topology a task: with channels:")
        if task.polled and options.fake is not None and options.fake.overruns:
            raise BoardError(BOARD, "overruns are of a sample clock, which a polled task has not", "take overruns: out")
        require_driver_library()
        spec = task_spec(task, options)
        driver: Driver = RealDriver() if options.fake is None else FakeDriver(task, options.fake, options.device)
        self._driver = driver
        self._opened_task = task
        self._specs = spec.channels
        return self._asked(lambda: self._open(spec, driver), "be opened")

    def start(self, at: int) -> int | None:
        """Start; the first sample gets index `at`, and was taken at the instant that is returned."""
        return self._asked(lambda: self._start(at), "be started")

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next block, overrun or end, or None if there is none within `timeout_s`. Raises BoardError."""
        source = self._source
        if source is None:
            raise BoardError(BOARD, "it is read before it was started")
        return self._asked(lambda: source.next(timeout_s), "be read")

    def give_back(self) -> None:
        """Nothing: the driver had its buffer back before the block could be read."""

    def stop(self) -> None:
        """Stop; what the driver has is still to be had, then `Ended`. Harmless before `start` and twice."""
        if self._source is not None:
            self._source.stop()

    def close(self) -> None:
        """Let go of the board."""
        if self._source is not None:
            self._source.close()
            self._source = None
        if self._session is not None and self._driver is not None:
            self._release(self._driver, self._session)
            self._session = None

    def _open(self, spec: Any, driver: Driver) -> Opened:
        import anyio
        from dtollib import open_device

        task = self._opened_task
        session = self._session = anyio.run(lambda: open_device(spec, backend=driver.backend, autostart=False))
        if session.capabilities.returns_floats:
            raise BoardError(BOARD, "this board gives values instead of codes", "only boards that give codes are known")
        if not task.polled:
            driver.backend.commit(session.raw_hdass)
        self._converter = converter = Converter(*driver.backend.get_scaling(session.raw_hdass))
        rate_hz = task.rate_hz if task.polled else float(driver.backend.get_clock_frequency(session.raw_hdass))
        if not rate_hz > 0:
            raise BoardError(BOARD, f"its clock cannot run at {task.rate_hz:g} Hz", "choose another task.rate_hz")
        driver.prepare(converter, rate_hz)
        self._clock = SampleClock(rate_hz)
        return Opened(
            device=session.board_name,
            channels=tuple(channel(*each, converter) for each in zip(task.channels, spec.channels, strict=True)),
            dtype=converter.dtype,
            rate_hz=rate_hz,
            samples_per_block=1 if task.polled else task.samples_per_block,
            clocked=True,
            resumable=False,
            simulated=driver.simulated,
            end_sample_index=driver.end_sample_index,
            polled=task.polled,
        )

    def _start(self, at: int) -> int | None:
        driver, task = self._held()
        hdass, n_channels = self._session.raw_hdass, len(task.channels)
        if task.polled:
            inputs = [(spec.physical_channel, gain_of(spec)) for spec in self._specs]
            readings = PolledReadings(driver, hdass, self._converter, inputs)
            readings.start(self._clock, at)
            self._source = readings
            return None
        backend = driver.backend
        block_s = task.samples_per_block / self._clock.rate_hz
        drain = self._source = BufferDrain(driver, hdass, self._converter, n_channels, block_s, task.driver_buffers)
        # The driver library's own order: the buffers are told of only if the window is known before the second config.
        self._notification = backend.register_notification(hdass, drain.notify)
        for _ in range(task.driver_buffers):
            self._buffers.append(backend.alloc_buffer(task.samples_per_block * n_channels, self._converter.width_bytes))
            backend.put_buffer(hdass, self._buffers[-1])
        backend.arm(hdass)
        drain.start(self._clock, at)
        return drain.t_first_ns(min(_FIRST_BUFFER_S, 2 * block_s + 0.1))

    def _held(self) -> tuple[Driver, TaskPlan]:
        if self._session is None or self._driver is None:
            raise BoardError(BOARD, "it is started before it was opened")
        return self._driver, self._opened_task

    def _release(self, driver: Driver, session: Any) -> None:
        """Each step by itself: one that fails must not keep the others from being done."""
        import anyio

        backend = driver.backend
        steps: list[Callable[[], Any]] = []
        with suppress(Exception):
            hdass = session.raw_hdass
            steps.append(lambda: driver.abort(hdass))
            if self._notification is not None:
                steps.append(lambda: backend.unregister_notification(hdass, self._notification))
            steps.append(lambda: backend.flush_buffers(hdass))
            steps += [partial(backend.free_buffer, buffer) for buffer in self._buffers]
        steps.append(partial(anyio.run, session.close))
        for step in steps:
            with suppress(Exception):
                step()
        self._buffers.clear()
        self._notification = None

    @staticmethod
    def _asked(what: Callable[[], _Answer], word: str) -> _Answer:
        """The driver library's errors as ours."""
        from dtollib import DtolError

        try:
            return what()
        except DtolError as error:
            raise BoardError(
                BOARD, f"it cannot {word}: {error}", "see what the driver library's dtol-diag says"
            ) from error
