"""The files of the page. Each is known by its name; none is looked for by what a request says."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from dtopipe.web.runs import Shown, run_key

_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# A page of another machine's run; its key is no folder's.
ENDPOINT_KEY = "remote/run"


class Pages:
    """Answers with HTML, scripts and styles, which are read once."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        paths = [path for path in (*_STATIC.iterdir(), *(_STATIC / "uplot").iterdir()) if path.suffix in _TYPES]
        self._files = {path.name: (path.read_text(encoding="utf-8"), _TYPES[path.suffix]) for path in paths}

    async def first(self, request: web.Request) -> web.StreamResponse:
        """The run that is served, or the list of all."""
        if self._shown.endpoint:
            raise web.HTTPFound(f"/runs/{ENDPOINT_KEY}")
        raise web.HTTPFound("/runs" if self._shown.folder is None else f"/runs/{quote(run_key(self._shown.folder))}")

    async def list(self, request: web.Request) -> web.StreamResponse:
        """The list of runs."""
        return self._file("runs.html")

    async def run(self, request: web.Request) -> web.StreamResponse:
        """One run; whether there is one of that name, the page finds out."""
        return self._file("run.html")

    async def static(self, request: web.Request) -> web.StreamResponse:
        """A script or a style."""
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.StreamResponse:
        if name not in self._files:
            raise web.HTTPNotFound(text="there is no such page\n")
        text, kind = self._files[name]
        return web.Response(text=text, content_type=kind, charset="utf-8")
