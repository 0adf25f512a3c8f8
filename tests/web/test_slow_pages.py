"""Pages that take nothing, and connections that ask for nothing, over loopback: both are let go, and hold little."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra web")
from aiohttp import web

from dtopipe.web import live_run, server
from dtopipe.web.bins import BinHistory, Bins
from dtopipe.web.live_run import LiveRun
from dtopipe.web.server import runner_of
from dtopipe.web.watched import Watched

_PATIENCE_S = 20.0
_CHANNELS, _BINS = 64, 12_000
_ASKING = (
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class _Minute(Watched):
    """A run whose last minute is there, six megabytes of it, and of which nothing more comes."""

    def __init__(self) -> None:
        super().__init__()
        self.history = BinHistory(_CHANNELS, _BINS)
        self.history.add(Bins(0, np.zeros((_CHANNELS, _BINS)), np.ones((_CHANNELS, _BINS))))

    def look(self) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {"type": "state"}


async def _served(handler: Any, client: Callable[[socket.socket], Awaitable[None]]) -> None:
    """A server on loopback, and a client of it that is connected with the smallest of buffers."""
    app = web.Application()
    app.add_routes([web.get("/live", handler)])
    runner = runner_of(app)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    try:
        with closing(socket.socket()) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            own.setblocking(False)
            await asyncio.get_running_loop().sock_connect(own, listening.getsockname())
            async with asyncio.timeout(_PATIENCE_S):
                await client(own)
    finally:
        await runner.cleanup()


async def _rest(own: socket.socket) -> int:
    """How many bytes there still are, to the end of the connection."""
    n_bytes = 0
    try:
        while data := await asyncio.get_running_loop().sock_recv(own, 2**16):
            n_bytes += len(data)
    except ConnectionError:
        pass
    return n_bytes


def test_a_page_that_takes_nothing_is_let_go_and_little_was_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_run, "SEND_PATIENCE_S", 0.3)

    async def check() -> None:
        live = LiveRun(_Minute(), lambda: True)

        async def stalled(own: socket.socket) -> None:
            await asyncio.get_running_loop().sock_sendall(own, _ASKING)
            while not live.n_pages:
                await asyncio.sleep(0.01)
            while live.n_pages:
                await asyncio.sleep(0.01)
            assert await _rest(own) < 2**20

        await _served(live.serve, stalled)
        await live.close()

    asyncio.run(check())


def test_who_connects_and_asks_for_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_PATIENCE_S", 0.2)

    async def silent(own: socket.socket) -> None:
        assert await _rest(own) == 0

    async def nothing(request: web.Request) -> web.Response:
        return web.Response()

    asyncio.run(_served(nothing, silent))
