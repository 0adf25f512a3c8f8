"""What pages ask of runs that are over: their overview, a span to draw, to keep as a file, or as a spectrum."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

from aiohttp import web

from dtopipe.model.errors import UsageError
from dtopipe.model.shown import json_text
from dtopipe.model.span import Span
from dtopipe.web.download import FORMATS, chunks_of, file_name
from dtopipe.web.frames import columns_frame
from dtopipe.web.guard import HEADERS
from dtopipe.web.making import OverviewMaking
from dtopipe.web.past_run import OverviewAbsent, PastRun
from dtopipe.web.runs import Runs
from dtopipe.web.spectrum import NoSpectrum

_Result = TypeVar("_Result")
# A screen has no more pixels in a row.
MOST_COLUMNS = 4000
_MOST_INDEX = 2**62
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_NUMBERS = re.compile(r"[0-9]{1,5}(,[0-9]{1,5})*", re.ASCII)
# Runs of which something is in memory.
_MOST_KNOWN = 8
_MOST_DOWNLOADS = 4
# What is looked up in a moment does not wait for what reads samples, and neither keeps pages of runs in progress.
_LOOKERS, _READERS = 2, 2


class PastRequests:
    """Handlers of everything below `/api/runs/NAME/START/past`."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._known: dict[str, PastRun] = {}
        self._making = OverviewMaking()
        self._lookers = ThreadPoolExecutor(_LOOKERS, "past-looks")
        self._readers = ThreadPoolExecutor(_READERS, "past-reads")
        self._n_downloads = 0

    async def close(self) -> None:
        """End what is being made, and wait for nobody else."""
        await self._making.close()
        for pool in (self._lookers, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)

    async def description(self, request: web.Request) -> web.StreamResponse:
        """What a page must know; where there is no overview yet, it is made from now on."""
        past = await self._past(request)
        told = await self._looked(past.description, request.query.get("output", ""))
        key = past.folder, told["output"]
        if told["is_ready"]:
            self._making.forget(*key)
        else:
            making = self._making.wanted(*key)
            told |= {"part": making.part, "trouble": making.trouble}
        return web.Response(text=json_text(told), content_type="application/json")

    async def columns(self, request: web.Request) -> web.StreamResponse:
        """The lowest and highest values of a span, in binary (`columns_frame`); 409 while there is no overview."""
        past, sink = await self._past(request), request.query.get("output", "")
        span, channels = _span_asked(request), _channels_asked(request)
        most, exact = _number_asked(request, "columns", MOST_COLUMNS), request.query.get("exact") == "1"
        if not most:
            raise UsageError("no columns are nothing to draw")

        def made() -> bytes:
            if exact and request.transport is None:
                # Who zooms on does not wait for what is not wanted any more.
                return b""
            found = past.columns(sink, channels, span, most, exact=exact)
            return columns_frame(found, past.gaps(sink, span, found.step))

        try:
            frame = await (self._read(made) if exact else self._looked(made))
        except OverviewAbsent as error:
            raise web.HTTPConflict(text=f"{error.headline}\n") from error
        return web.Response(body=frame, content_type="application/octet-stream")

    async def spectrum(self, request: web.Request) -> web.StreamResponse:
        """The spectrum of one channel over a span."""
        past, channels = await self._past(request), _channels_asked(request)
        if len(channels) != 1:
            raise UsageError("a spectrum is of one channel")
        sink, span = request.query.get("output", ""), _span_asked(request)
        return await spectrum_answer(self._read(past.spectrum, sink, channels[0], span))

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A span as a file; what goes wrong half way cuts the connection, so that no browser takes it for whole."""
        past, kind, span = await self._past(request), request.query.get("format", ""), _span_asked(request)
        if kind not in FORMATS:
            raise UsageError(f"there are downloads as {' and '.join(FORMATS)}")
        if self._n_downloads >= _MOST_DOWNLOADS:
            raise web.HTTPServiceUnavailable(text="as many downloads go on as may: try again later\n")
        self._n_downloads += 1
        try:
            channels = _channels_asked(request)
            run, sink, names = await self._looked(past.loaded, request.query.get("output", ""), channels)
            chunks = chunks_of(kind, run, sink, names, (span.start, span.stop))
            name = file_name(run, sink, (span.start, span.stop), kind)
            return await self._send(request, chunks, _as_file(name, kind))
        finally:
            self._n_downloads -= 1

    async def _send(self, request: web.Request, chunks: Iterator[bytes], headers: dict[str, str]) -> web.StreamResponse:
        try:
            # What is wrong from the beginning is said in words.
            chunk = await self._read(next, chunks, b"")
            response = web.StreamResponse(headers=headers | HEADERS)
            await response.prepare(request)
            try:
                while chunk:
                    await response.write(chunk)
                    chunk = await self._read(next, chunks, b"")
            except Exception:  # a plug-in's reader may raise anything, and the browser may have gone
                if request.transport is not None:
                    request.transport.abort()
                return response
            await response.write_eof()
            return response
        finally:
            await asyncio.shield(self._read(_ended, chunks))

    async def _past(self, request: web.Request) -> PastRun:
        key = f"{request.match_info['name']}/{request.match_info['start']}"
        folder = await self._looked(self._runs.folder, key)
        if folder is None:
            raise web.HTTPNotFound(text="there is no such run here\n")
        known = self._known.pop(key, None)
        if known is None or known.folder != folder:
            known = PastRun(folder)
        # The one that was asked for last stands last.
        self._known[key] = known
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known

    async def _looked(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._lookers, function, *arguments)

    async def _read(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)


async def spectrum_answer(made: Awaitable[dict[str, Any]]) -> web.Response:
    """The spectrum, or why there is none: which is an answer as well, and no mistake of the page."""
    try:
        told = await made
    except NoSpectrum as error:
        told = {"error": error.headline, "remedy": error.remedy}
    return web.Response(text=json_text(told), content_type="application/json")


def _ended(chunks: Iterator[bytes]) -> None:
    """Let go of the files that are read, where a reader is not just at it."""
    with contextlib.suppress(ValueError, RuntimeError):
        chunks.close()  # type: ignore[attr-defined]


def _as_file(name: str, kind: str) -> dict[str, str]:
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return {
        "Content-Type": FORMATS[kind],
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
    }


def _span_asked(request: web.Request) -> Span:
    span = Span(_number_asked(request, "from", _MOST_INDEX), _number_asked(request, "to", _MOST_INDEX))
    if not span:
        raise UsageError("the span ends before it begins")
    return span


def _channels_asked(request: web.Request) -> list[int]:
    text = request.query.get("channels", "")
    if not _NUMBERS.fullmatch(text):
        raise UsageError("channels are given by their numbers, such as 0,2,5")
    return list(dict.fromkeys(map(int, text.split(","))))


def _number_asked(request: web.Request, key: str, most: int) -> int:
    text = request.query.get(key, "")
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise UsageError(f"{key} is a whole number up to {most:,}")
    return int(text)
