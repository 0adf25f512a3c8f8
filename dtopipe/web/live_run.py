"""Feeds every page that looks at one run: no page waits for another, and none that is slow is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType, web

from dtopipe.model.errors import DtopipeError
from dtopipe.model.shown import json_text
from dtopipe.web.frames import bins_frame
from dtopipe.web.watched import Watched, as_page_sees

_log = logging.getLogger(__name__)

FRAMES_PER_S = 30.0
_LOOK_EVERY_S, _VALUES_EVERY_S = 0.5, 0.2
# A page that takes nothing for so long is let go; it connects again when it can.
SEND_PATIENCE_S = 10.0
_LEAST_REST_S = 0.005
# What may be on its way to a page. The system's own bound is some megabytes: minutes of a page that takes nothing.
SEND_BUFFER_BYTES = 2**17
# A page that is opened gets what there is in pieces.
_MOST_BINS = 2_000
# Who reloads the page finds the ring still open.
_REST_AFTER_S = 5.0
_HEARTBEAT_S = 20.0


class LiveRun:
    """Looks at the run while somebody looks at it, and rests otherwise."""

    def __init__(self, watched: Watched, has_room: Callable[[], bool]) -> None:
        """`has_room`: whether one more page may look at a run of this server."""
        self.watched = watched
        self._has_room = has_room
        self._pages: set[web.WebSocketResponse] = set()
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._state, self._values, self._description = "", "", ""
        self._frame: tuple[int, int, bytes] = (-1, -1, b"")
        self._last_left_s = time.monotonic()

    @property
    def n_pages(self) -> int:
        """How many pages look at it."""
        return len(self._pages)

    @property
    def unwatched_s(self) -> float:
        """For how long nobody has looked."""
        return 0.0 if self._pages else time.monotonic() - self._last_left_s

    def wake(self) -> None:
        """Look at the run from now on."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_on())

    async def close(self) -> None:
        """Say goodbye to every page, and let go of the run."""
        await self._leave_pages(WSCloseCode.GOING_AWAY)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One page's WebSocket, to its end."""
        if not self._has_room():
            raise web.HTTPServiceUnavailable(text="as many pages look at runs as may\n")
        page = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=1024, compress=False)
        # Counted before anything is waited for.
        self._pages.add(page)
        try:
            await page.prepare(request)
            _bound(request)
            self.wake()
            feeding = asyncio.create_task(self._feed(page, request))
            try:
                await _hear(page)
            finally:
                feeding.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await feeding
        finally:
            self._pages.discard(page)
            self._last_left_s = time.monotonic()
        return page

    async def _feed(self, page: web.WebSocketResponse, request: web.Request) -> None:
        """Everything that is new, as fast as the page takes it; what it is too slow for is passed over."""
        at, said = 0, {"description": "", "state": "", "values": ""}
        try:
            while not page.closed:
                news = self._news
                now = {"description": self._description, "state": self._state, "values": self._values}
                for kind in [kind for kind, text in now.items() if text != said[kind]]:
                    await _sent(page.send_str(now[kind]))
                said = now
                at = await self._send_bins(page, at)
                await asyncio.wait([news], timeout=1.0)
        except (TimeoutError, ConnectionError, RuntimeError):
            # It takes nothing, or has gone: a handshake of goodbye would wait for it as well.
            if request.transport is not None:
                request.transport.abort()

    async def _send_bins(self, page: web.WebSocketResponse, at: int) -> int:
        while True:
            first, stop, frame = self._bins_from(at)
            if stop <= max(at, first):
                return at
            await _sent(page.send_bytes(frame))
            at = stop

    def _bins_from(self, at: int) -> tuple[int, int, bytes]:
        """First bin, the one behind the last, and their frame; pages that are as far get the same one."""
        history = self.watched.history
        if history is None:
            return 0, 0, b""
        with self.watched.lock:
            first = max(at, history.start)
            stop = min(history.stop, first + _MOST_BINS)
            if self._frame[:2] != (first, stop) and first < stop:
                first, low, high = history.part(first, _MOST_BINS)
                self._frame = (first, stop, bins_frame(first, low, high, self.watched.end_sample_index))
        return self._frame if first < stop else (first, first, b"")

    async def _look_on(self) -> None:
        """Samples thirty times a second, the rest twice a second, until nobody looks for a while."""
        looking = asyncio.create_task(self._look())
        said_s, due_s, is_unsaid = 0.0, time.monotonic(), False
        try:
            while self.unwatched_s < _REST_AFTER_S and not looking.done():
                began_s = time.monotonic()
                is_new = False
                try:
                    is_new = await asyncio.to_thread(self.watched.turn)
                except (DtopipeError, OSError) as error:
                    _log.warning("%s", error)
                    await asyncio.to_thread(self.watched.rest)
                # Where nothing follows, the last one is said all the same.
                is_unsaid = is_unsaid or is_new
                is_told = is_unsaid and began_s - said_s > _VALUES_EVERY_S
                if is_told:
                    said_s, is_unsaid = began_s, False
                    self._values = json_text(as_page_sees(self.watched.values))
                if is_new or is_told:
                    self._tell()
                # By the clock, however late the last turn began; what a slow one took is not made up for.
                due_s = max(due_s + 1 / FRAMES_PER_S, time.monotonic())
                await asyncio.sleep(max(_LEAST_REST_S, due_s - time.monotonic()))
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
            await asyncio.to_thread(self.watched.close)

    async def _look(self) -> None:
        try:
            while True:
                await asyncio.to_thread(self.watched.look)
                description = self.watched.description()
                if description is not None:
                    self._description = json_text(description)
                self._state = json_text(self.watched.state())
                self._tell()
                await asyncio.sleep(_LOOK_EVERY_S)
        except Exception:
            # What was said last would stand there for good: a page without a server says so, and comes again.
            _log.exception("the run cannot be looked at")
            await self._leave_pages(WSCloseCode.INTERNAL_ERROR)

    async def _leave_pages(self, code: WSCloseCode) -> None:
        for page in list(self._pages):
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await page.close(code=code)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.get_running_loop().create_future()
        news.set_result(None)


def _bound(request: web.Request) -> None:
    """A page that is slow gets what is new, and one that takes nothing holds no memory of this machine."""
    own = None if request.transport is None else request.transport.get_extra_info("socket")
    if own is not None:
        with contextlib.suppress(OSError):
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


async def _hear(page: web.WebSocketResponse) -> None:
    """A page has nothing to say: whoever speaks is none of ours."""
    async for message in page:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            await page.close(code=WSCloseCode.POLICY_VIOLATION)
            return


async def _sent(sending: object) -> None:
    async with asyncio.timeout(SEND_PATIENCE_S):
        await sending  # type: ignore[misc]
