"""The way from the board's thread to the program's event loop: bounded, and the board never waits for a loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import anyio
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint

from dtopipe.model.task_spec import OverflowPolicy

T = TypeVar("T")


class Counts(Protocol):
    """Where the hand-over counts."""

    payloads_emitted: int
    payloads_dropped: int


@dataclass(frozen=True, slots=True)
class HandOverStatus:
    """A snapshot. `waiting`: items that nobody has taken yet, at most `capacity`."""

    waiting: int
    capacity: int
    closed: bool


class HandOver(ObjectReceiveStream[T], Generic[T]):
    """A queue with one thread at its entrance and coroutines at its exit; made in the event loop.

    With BLOCK the thread waits while `capacity` items wait; with DROP_OLDEST and DROP_NEWEST it never does.
    """

    def __init__(self, capacity: int, overflow: OverflowPolicy, counts: Counts) -> None:
        self._capacity = capacity
        self._overflow = overflow
        self._counts = counts
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._waiting: list[anyio.Event] = []
        self._call_soon = _call_soon()
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None

    # The thread's end.

    def put(self, item: T) -> bool:
        """Hand one over, as the policy says; False once nobody will take it."""
        with self._changed:
            if self._overflow is OverflowPolicy.BLOCK:
                self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            if len(self._items) >= self._capacity:
                self._counts.payloads_dropped += 1
                if self._overflow is OverflowPolicy.DROP_NEWEST:
                    return True
                self._items.popleft()
            self._items.append(item)
            self._wake()
        return True

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; `error`, if any, is raised behind the last item."""
        with self._changed:
            self._ended = True
            self._error = error
            self._wake()

    # The program's end.

    async def receive(self) -> T:
        """The next item. Raises EndOfStream at the end, or what ended the recording."""
        await checkpoint()
        while True:
            with self._changed:
                if self._items:
                    item = self._items.popleft()
                    self._counts.payloads_emitted += 1
                    self._changed.notify_all()
                    return item
                error = self.unseen_error()
                if error is not None:
                    raise error
                if self._ended or self._closed:
                    raise anyio.EndOfStream
                event = anyio.Event()
                self._waiting.append(event)
            await event.wait()

    async def aclose(self) -> None:
        """Take no more. Harmless twice."""
        self.close()

    def close(self) -> None:
        """Take no more: what waits is let go, and so is whoever waits."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
            self._wake()

    def unseen_error(self) -> BaseException | None:
        """What ended the recording, once."""
        error, self._error = self._error, None
        return error

    def status(self) -> HandOverStatus:
        """How full it is."""
        return HandOverStatus(len(self._items), self._capacity, self._closed)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self._call_soon(event.set)


def _call_soon() -> Callable[[Callable[[], None]], object]:
    """How another thread has something called in the running event loop, without waiting for it."""
    if "trio" in sys.modules:
        import trio

        if trio.lowlevel.in_trio_run():
            soon: Callable[[Callable[[], None]], object] = trio.lowlevel.current_trio_token().run_sync_soon
            return soon
    return _unless_closed(asyncio.get_running_loop())


def _unless_closed(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], object]:
    def call(function: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(function)

    return call
