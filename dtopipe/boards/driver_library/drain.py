"""The driver's buffers, taken out and handed back at once by a thread that does only that."""

from __future__ import annotations

import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import Any

import numpy as np

from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.boards.driver_library.codes import Converter
from dtopipe.boards.driver_library.driver import Driver
from dtopipe.boards.driver_library.index import SampleIndex
from dtopipe.boards.driver_library.options import BOARD
from dtopipe.model.clock import SampleClock
from dtopipe.model.errors import BoardError
from dtopipe.model.span import Span

# Marks of ours among the driver's messages, whose numbers are positive.
_STOP, _STOPPED, _LEAVE = -1, -2, -3
# How long the thread may take to leave besides the buffer that a driver may still be filling.
_LEAVE_S = 10.0


class BufferDrain:
    """It holds up to `capacity` blocks that were not read yet; a buffer that completes while it is full overruns."""

    def __init__(
        self, driver: Driver, hdass: int, converter: Converter, n_channels: int, block_s: float, capacity: int
    ) -> None:
        self._driver = driver
        self._hdass = hdass
        self._converter = converter
        self._n_channels = n_channels
        self._block_s = block_s
        self._capacity = capacity
        self._messages: SimpleQueue[tuple[int, int]] = SimpleQueue()
        # Blocks are kept as the driver had them until they are read.
        self._items: deque[tuple[int, Any] | Overrun | Ended | BoardError] = deque()
        self._n_blocks = 0
        self._changed = threading.Condition()
        self._first = threading.Event()
        self._asked_to_stop = False
        self._thread: threading.Thread | None = None

    def notify(self, message: int, wparam: int, lparam: int) -> int:
        """What the driver calls, in a thread of its own; it must not be kept waiting."""
        self._messages.put((message, self._driver.stamp_ns()))
        return 0

    def start(self, clock: SampleClock, at: int) -> None:
        """Start the driver, whose first sample gets index `at`."""
        self._index = SampleIndex(clock, at, self._driver.start(self._hdass, at))
        self._thread = threading.Thread(target=self._run, name="driver buffers", daemon=True)
        self._thread.start()

    def t_first_ns(self, timeout_s: float) -> int:
        """When the first sample was taken: better known once there is a buffer, which it waits for a while."""
        self._first.wait(timeout_s)
        return self._index.t_first_ns

    def next(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """The next block, overrun or end, or None if there is none within `timeout_s`. Raises BoardError."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return None
            item = self._items[0]
            if isinstance(item, BoardError):
                raise item
            if isinstance(item, Ended):
                return item
            self._items.popleft()
            if isinstance(item, Overrun):
                return item
            self._n_blocks -= 1
        first, flat = item
        return Taken(first, self._converter.signed(flat, self._n_channels))

    def stop(self) -> None:
        """Stop the driver; what it has is still to be had, then `Ended`. Does not wait. Harmless twice."""
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self._messages.put((_STOP, 0))

    def close(self) -> None:
        """End the thread; what was not read is gone. Harmless twice."""
        self._messages.put((_LEAVE, 0))
        if self._thread is not None:
            self._thread.join(_LEAVE_S + 2 * self._block_s)
            self._thread = None

    def _run(self) -> None:
        try:
            while self._goes_on(*self._messages.get()):
                pass
        except Exception as error:
            self._put(BoardError(BOARD, f"the driver failed: {error}", "see the log; is the board still plugged in?"))
        finally:
            self._first.set()

    def _goes_on(self, message: int, t_ns: int) -> bool:
        """Do what the message asks for; false at the end."""
        from dtollib.capi import constants

        if message == constants.OLDA_WM_BUFFER_DONE:
            self._empty(t_ns)
            self._first.set()
        elif message in (constants.OLDA_WM_OVERRUN_ERROR, constants.OLDA_WM_BUFFER_REUSED):
            self._index.overrun()
            self._first.set()
        elif message == constants.OLDA_WM_TRIGGER_ERROR:
            self._put(BoardError(BOARD, "the driver says: trigger error", "is the clock or trigger input connected?"))
            return False
        elif message in (constants.OLDA_WM_QUEUE_DONE, constants.OLDA_WM_QUEUE_STOPPED, constants.OLDA_WM_IO_COMPLETE):
            self._finish(t_ns)
            return False
        elif message == _STOP:
            if not self._driver.stop(self._hdass):
                self._messages.put((_STOPPED, self._driver.stamp_ns()))
        elif message == _STOPPED:
            self._finish(t_ns)
            return False
        return message != _LEAVE

    def _empty(self, t_done_ns: int) -> bool:
        """One buffer: out, back, and only then into our queue. False if there is none."""
        backend = self._driver.backend
        buffer = backend.get_buffer(self._hdass)
        if buffer is None:
            return False
        valid = backend.get_buffer_valid_samples(buffer)
        flat = np.array(backend.read_buffer_payload(buffer)[:valid])
        backend.put_buffer(self._hdass, buffer)
        lost, span = self._index.complete(valid // self._n_channels, t_done_ns)
        with self._changed:
            self._lose(lost)
            if not span:
                return True
            if self._n_blocks >= self._capacity:
                self._lose(span)
            else:
                self._n_blocks += 1
                self._items.append((span.start, flat))
            self._changed.notify()
        return True

    def _finish(self, t_end_ns: int) -> None:
        """What is left in the driver, then the end; an end that nobody asked for is an error."""
        while self._empty(t_end_ns):
            pass
        with self._changed:
            self._lose(self._index.end(t_end_ns))
        if self._asked_to_stop or self._index.next == self._driver.end_sample_index:
            self._put(Ended(self._index.next))
        else:
            what = "the driver stopped by itself: all its buffers were full"
            self._put(BoardError(BOARD, what, "give it more: driver_buffers in task:"))

    def _lose(self, span: Span) -> None:
        """A hole; those in a row are one. Called with the lock."""
        if not span:
            return
        last = self._items[-1] if self._items else None
        if isinstance(last, Overrun) and last.span.stop == span.start:
            self._items.pop()
            span = Span(last.span.start, span.stop)
        self._items.append(Overrun(span))

    def _put(self, item: Ended | BoardError) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify()
