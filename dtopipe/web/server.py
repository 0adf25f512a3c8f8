"""The server: its parts, its life, and one list of its routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from dtopipe.host.http_address import Address
from dtopipe.host.run_lock import run_lock_is_held
from dtopipe.model.errors import DtopipeError
from dtopipe.web.guard import Guard
from dtopipe.web.live_run import LiveRun
from dtopipe.web.pages import ENDPOINT_KEY, Pages
from dtopipe.web.past_requests import PastRequests
from dtopipe.web.run_requests import RunRequests
from dtopipe.web.runs import Runs, Shown
from dtopipe.web.watched import Watched, WatchedEndpoint, WatchedFolder

# Of all runs together; each costs a few sockets' buffers.
MOST_PAGES = 64
_MOST_BODY_BYTES = 16_384
# Who connects and asks for nothing keeps a file of this process open; the library would wait for an hour.
IDLE_PATIENCE_S = 15.0
_TURN_S = 0.5
# Who reloads the page, or comes back from the next tab, finds it; who has forgotten it leaves no process behind.
_STAYS_S, _STAYS_AT_MOST_S = 5.0, 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """`is_beside`: it belongs to an `up`, and goes some time after that run, once nobody looks any more."""

    address: Address
    token: str
    shown: Shown
    is_beside: bool = False


class Server:
    """What all requests share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.runs = Runs(settings.shown)
        self.past = PastRequests(self.runs)
        self._live: dict[str, LiveRun] = {}
        self.was_looked_at = False

    @property
    def n_pages(self) -> int:
        """How many pages are open."""
        return sum(live.n_pages for live in self._live.values())

    def live_run(self, key: str) -> LiveRun | None:
        """The run of this key, for whoever looks at it live; None if there is none."""
        if key in self._live:
            return self._live[key]
        watched = self._watched(key)
        if watched is None:
            return None
        # Of runs that nobody looks at nothing is kept.
        self._live = {known: live for known, live in self._live.items() if live.unwatched_s < _STAYS_S}
        self._live[key] = LiveRun(watched, lambda: self.n_pages < MOST_PAGES)
        self.was_looked_at = True
        return self._live[key]

    async def close(self) -> None:
        """Let go of every run."""
        await self.past.close()
        await asyncio.gather(*(live.close() for live in self._live.values()))

    def _watched(self, key: str) -> Watched | None:
        shown = self.settings.shown
        if shown.endpoint:
            is_it = key == ENDPOINT_KEY
            return WatchedEndpoint(shown.endpoint, shown.server_key, insecure=shown.insecure) if is_it else None
        folder = self.runs.folder(key)
        return None if folder is None else WatchedFolder(folder)


def application(server: Server) -> web.Application:
    """Everything that is answered. What else is to be served gets its route here."""
    guard = Guard(server.settings.address, server.settings.token)
    app = web.Application(middlewares=[guard.middleware, _errors_as_json], client_max_size=_MOST_BODY_BYTES)
    pages, runs, past = Pages(server.settings.shown), RunRequests(server.runs, server.live_run), server.past
    app.add_routes(
        [
            web.get("/", pages.first),
            web.get("/runs", pages.list),
            web.get("/runs/{name}/{start}", pages.run),
            web.get("/static/{name:[A-Za-z0-9_.-]+}", pages.static),
            web.get("/api/runs", runs.list),
            web.get("/api/runs/{name}/{start}/live", runs.live),
            web.post("/api/runs/{name}/{start}/mark", runs.mark),
            web.get("/api/runs/{name}/{start}/spectrum", runs.spectrum),
            web.get("/api/runs/{name}/{start}/past", past.description),
            web.get("/api/runs/{name}/{start}/past/columns", past.columns),
            web.get("/api/runs/{name}/{start}/past/spectrum", past.spectrum),
            web.get("/api/runs/{name}/{start}/past/download", past.download),
        ]
    )
    return app


@web.middleware
async def _errors_as_json(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
    """What could not be done is said in words; what nobody thought of is in the log, and not on the page."""
    try:
        answer: web.StreamResponse = await handler(request)
        return answer
    except DtopipeError as error:
        return web.json_response({"error": error.headline, "remedy": error.remedy}, status=400)


def runner_of(app: web.Application) -> web.AppRunner:
    """What serves it; nobody is waited for who says nothing."""
    return web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=IDLE_PATIENCE_S)


def serve(settings: Settings, listening: socket.socket, say: Callable[[], None]) -> None:
    """Serve until Ctrl-C, or `is_beside` ends it. `say` is called once pages are answered."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(settings, listening, say))


async def _serve(settings: Settings, listening: socket.socket, say: Callable[[], None]) -> None:
    server = Server(settings)
    runner = runner_of(application(server))
    await runner.setup()
    await web.SockSite(runner, listening).start()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    say()
    try:
        ended = asyncio.create_task(_until_needless(server, settings))
        await asyncio.wait([ended, asyncio.create_task(stopped.wait())], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await server.close()
        await runner.cleanup()


async def _until_needless(server: Server, settings: Settings) -> None:
    """For ever, or beside a run until that is over and nobody looks any more."""
    folder = settings.shown.folder
    over_s: float | None = None
    looked_s = time.monotonic()
    while True:
        await asyncio.sleep(_TURN_S)
        if not settings.is_beside or folder is None:
            continue
        now_s = time.monotonic()
        looked_s = now_s if server.n_pages else looked_s
        if over_s is None:
            if await asyncio.to_thread(_is_over, folder):
                over_s = now_s
                # Nobody ever looked: nobody is waited for.
                if not server.was_looked_at:
                    return
        elif now_s - max(over_s, looked_s) > _STAYS_S or now_s - over_s > _STAYS_AT_MOST_S:
            return


def _is_over(folder: Path) -> bool:
    try:
        return not run_lock_is_held(folder)
    except OSError:
        # Its disk is away: who cannot see does not say that it is over.
        return False
