"""What pages ask of runs: the list, a run live, a mark."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Callable
from typing import Any

from aiohttp import web

from dtopipe.model.errors import UsageError
from dtopipe.model.shown import json_text
from dtopipe.streaming.run_in_progress import run_in_progress
from dtopipe.web.live_run import LiveRun
from dtopipe.web.past_requests import spectrum_answer
from dtopipe.web.runs import Runs

# Who opens the mark's window and goes for coffee meant the moment all the same.
_LONGEST_AGO_S = 600.0
FindLive = Callable[[str], LiveRun | None]


class RunRequests:
    """Handlers of everything below `/api/runs`."""

    def __init__(self, runs: Runs, live_run: FindLive) -> None:
        self._runs = runs
        self._live_run = live_run

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Every run, newest first."""
        rows = await asyncio.to_thread(self._runs.rows)
        return web.Response(text=json_text({"runs": rows}), content_type="application/json")

    async def live(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket of a run."""
        return await self._live(request).serve(request)

    async def mark(self, request: web.Request) -> web.StreamResponse:
        """Give the moment `ago_s` before now a name: `{"label": ..., "text": ..., "ago_s": ...}`."""
        folder = self._runs.folder(_key(request))
        if folder is None:
            raise web.HTTPNotFound(text="there is no such run here, or it cannot be marked from here\n")
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send JSON\n")
        said = _mark_said(await request.text())

        def set_mark() -> Any:
            with run_in_progress(folder) as run:
                return run.mark(said["label"], said["text"], f"-{said['ago_s']:.3f}s")

        mark = await asyncio.to_thread(set_mark)
        return web.Response(text=json_text(mark.to_json()), content_type="application/json")

    async def spectrum(self, request: web.Request) -> web.StreamResponse:
        """The spectrum of the newest samples of one channel of a run that somebody looks at live."""
        number = request.query.get("channel", "")
        watched = self._live(request).watched
        if not number.isascii() or not number.isdecimal() or int(number[:6]) >= len(watched.channels):
            raise UsageError("there is no such channel")
        return await spectrum_answer(asyncio.to_thread(watched.spectrum, int(number)))

    def _live(self, request: web.Request) -> LiveRun:
        found = self._live_run(_key(request))
        if found is None:
            raise web.HTTPNotFound(text="there is no such run here\n")
        return found


def _key(request: web.Request) -> str:
    return f"{request.match_info['name']}/{request.match_info['start']}"


def _mark_said(text: str) -> dict[str, Any]:
    """The label, the text and how long ago. Raises UsageError for what no mark can be."""
    said: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(text)
    if not isinstance(said, dict):
        raise UsageError("a mark is a JSON object with a label")
    label, words, ago_s = said.get("label"), said.get("text", ""), said.get("ago_s", 0)
    is_time = isinstance(ago_s, int | float) and not isinstance(ago_s, bool) and math.isfinite(ago_s)
    if not isinstance(label, str) or not isinstance(words, str) or not is_time or not 0 <= ago_s <= _LONGEST_AGO_S:
        raise UsageError("a mark has a label, a text, and was no longer than ten minutes ago")
    return {"label": label, "text": words, "ago_s": float(ago_s)}
