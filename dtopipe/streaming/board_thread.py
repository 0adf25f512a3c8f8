"""The one thread that uses a board."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from anyio import to_thread

T = TypeVar("T")


class BoardThread:
    """Makes one call after the other. It is a daemon: a program that ends without closing its board ends."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def begin(self, call: Callable[[], T]) -> Future[T]:
        """Have it called when its turn comes."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        return future

    async def call(self, call: Callable[[], T]) -> T:
        """Have it called and wait for it; raises what it raises."""
        return await to_thread.run_sync(self.begin(call).result)

    def end(self) -> None:
        """No call follows."""
        self._calls.put(None)

    def _run(self) -> None:
        while item := self._calls.get():
            future, call = item
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
