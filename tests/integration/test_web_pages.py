"""The page's server beside real runs: what it says, whom it refuses, and that no run notices it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from free_ports import free_port
from laboratory import Lab, counter_codes, counter_topology
from system import ctrl_c

aiohttp = pytest.importorskip("aiohttp", reason="the page needs the extra web")

TOKEN = "t-only-for-this-test"


def _topology(**more: Any) -> dict[str, Any]:
    topology = counter_topology(2, 50, rate_hz=2000.0, **more)
    return topology | {"sinks": {"raw": {"type": "hbuf", "path": "raw.dt-raw"}}}


class Page:
    """A `dtopipe web` of a test."""

    def __init__(self, lab: Lab, *words: str, token: str = "") -> None:
        self.port = free_port()
        if token:
            os.environ["DTOPIPE_WEB_TOKEN"] = token
        try:
            self.process = lab.run("web", *words, "--listen", str(self.port)).process
        finally:
            os.environ.pop("DTOPIPE_WEB_TOKEN", None)
        lab.wait_for(lambda: is_listening(self.port), "page")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, /, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def mark(self, run: str, body: Any, **headers: str) -> tuple[int, str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(f"/api/runs/{run}/mark", data, **{"Content_Type": "application/json"} | headers)

    def end(self) -> None:
        ctrl_c(self.process)
        assert self.process.wait(timeout=20) == 0


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def running(lab: Lab) -> Iterator[Any]:
    """A run that must not have noticed anybody."""
    run = lab.start(_topology())
    run.wait_for_samples("raw", 200)
    yield run
    run.interrupt()
    ended = run.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    assert not any("subscribe" in event["event"] for event in run.events())


def _key(running: Any) -> str:
    return f"lab/{running.folder.name}"


def test_a_page_gets_values_as_they_are_and_leaves_no_mark_but_those_that_are_set(lab: Lab, running: Any) -> None:
    page = Page(lab, "lab")
    key = _key(running)
    described, low, first = asyncio.run(_some_frames(f"{page.url}/api/runs/{key}/live"))
    assert [channel["name"] for channel in described["channels"]] == ["ch0", "ch1"]
    size = described["bin_samples"]
    codes = counter_codes(2, first * size, (first + low.shape[1]) * size)
    np.testing.assert_array_equal(low, codes.reshape(2, -1, size).min(axis=2))
    status = running.status()
    assert status is not None
    assert status["subscribers"] == []
    code, told = page.mark(key, {"label": "<b>ignition</b>", "text": "by hand", "ago_s": 0.05})
    assert code == 200, told
    assert json.loads(told)["label"] == "<b>ignition</b>"
    lab.wait_for(lambda: any(event["event"] == "mark" for event in running.events()), "mark")
    page.end()


async def _some_frames(url: str) -> tuple[Any, Any, int]:
    described: Any = None
    low, first, seen = None, 0, set()
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as page:
        async with asyncio.timeout(30):
            async for message in page:
                if message.type is aiohttp.WSMsgType.TEXT:
                    told = json.loads(message.data)
                    seen.add(told["type"])
                    described = told if told["type"] == "description" else described
                    if told["type"] == "state" and told["judgement"]:
                        assert told["judgement"]["light"]["word"] == "RECORDING"
                elif message.type is aiohttp.WSMsgType.BINARY:
                    _, n_channels, n_bins, _, number, _ = struct.unpack_from("<4sIIIdd", message.data)
                    values = np.frombuffer(message.data, "<f4", offset=32).reshape(2, n_channels, n_bins)
                    low, first = values[0], int(number)
                if low is not None and seen == {"description", "state", "values"}:
                    break
    return described, low, first


def test_who_misuses_the_page_gets_nothing_and_harms_nothing(lab: Lab, running: Any) -> None:
    page = Page(lab, "lab", token=TOKEN)
    key = _key(running)
    live = f"/api/runs/{key}/live"
    # Without the token, and with a wrong one.
    for path in ("/", "/runs", f"/runs/{key}", "/static/run.js", "/api/runs", live, f"/runs/{key}?token=wrong"):
        assert page.ask(path)[0] == 403, path
        assert page.ask(path, Cookie=f"dtopipe-{page.port}=ü{TOKEN}")[0] in (400, 403)
    cookie = f"dtopipe-{page.port}={TOKEN}"
    assert page.ask("/api/runs", Cookie=cookie)[0] == 200
    assert "ch0" in page.ask(f"/api/runs?token={TOKEN}&x=1", Cookie=cookie)[1]
    # From pages of other places, and by names that are led here.
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"},
                    {"Host": f"127.0.0.1.evil.example:{page.port}"}, {"Sec_Fetch_Site": "cross-site"}):  # fmt: skip
        assert page.ask("/api/runs", None, Cookie=cookie, **headers)[0] == 403, headers
        assert page.mark(key, {"label": "x"}, Cookie=cookie, **headers)[0] == 403, headers
    # Paths that lead elsewhere, and names of no run.
    for path in ("/static/..%2f..%2fserver.py", "/static/../server.py", "/runs/..%2f..%2fetc/passwd/x",
                 "/api/runs/..%2f../mark", f"/api/runs/lab/..%2f{running.folder.name}/live", "/static/uplot",
                 "/api/runs/lab/%3Cb%3E/live", "/api/runs/%00/%00/live"):  # fmt: skip
        assert page.ask(path, Cookie=cookie)[0] in (400, 404), path
    # Marks that are none.
    for body in (b"", b"[", b"[]", b"{}", b"[" * 10_000, b'{"label": 3}', b'{"label": "x", "ago_s": 1e400}',
                 b'{"label": "x", "ago_s": -1}', b'{"label": "x", "ago_s": true}', b'{"label": ""}'):  # fmt: skip
        assert page.mark(key, body, Cookie=cookie)[0] == 400, body
    assert page.mark(key, b"x" * 100_000, Cookie=cookie)[0] in (400, 413)
    assert page.mark(key, {"label": "x"}, Cookie=cookie, Content_Type="text/plain")[0] == 415
    assert not any(event["event"] == "mark" for event in running.events())
    asyncio.run(_misuse(f"{page.url}{live}", cookie))
    assert page.ask("/api/runs", Cookie=cookie)[0] == 200
    page.end()


async def _misuse(url: str, cookie: str) -> None:
    """WebSockets with what no page sends; some hundred that come and go; one that takes nothing."""
    good = {"Cookie": cookie}
    async with aiohttp.ClientSession() as session:
        for headers in ({}, good | {"Origin": "http://evil.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(url, headers=headers)
        for said in ("hello", "x" * 500_000):
            async with session.ws_connect(url, headers=good) as page, asyncio.timeout(20):
                await page.send_str(said)
                async for _ in page:
                    pass
                assert page.close_code in (1008, 1009)
        stalled = await session.ws_connect(url, headers=good)
        for _ in range(30):
            pages = await asyncio.gather(*(session.ws_connect(url, headers=good) for _ in range(10)))
            for page in pages:
                # As who is killed: without a word.
                transport = page.get_extra_info("transport") if hasattr(page, "get_extra_info") else None
                if transport is not None:
                    transport.abort()
                else:
                    await page.close()
        await stalled.close()


def test_a_page_that_is_killed_or_stopped_is_nothing_to_the_run(lab: Lab, running: Any) -> None:
    page = Page(lab, "lab")
    asyncio.run(_some_frames(f"{page.url}/api/runs/{_key(running)}/live"))
    page.process.kill()
    page.process.wait(timeout=20)
    before = running.committed("raw")
    running.wait_for_samples("raw", before + 500)
    other = Page(lab)
    assert [row["run"] for row in json.loads(other.ask("/api/runs")[1])["runs"]] == [_key(running)]
    asyncio.run(_some_frames(f"{other.url}/api/runs/{_key(running)}/live"))
    other.end()


def test_up_brings_its_page_which_goes_after_the_run(lab: Lab) -> None:
    port = free_port()
    running = lab.start(_topology(), "--web", str(port), "--duration", "3s")
    lab.wait_for(lambda: is_listening(port), "page")
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert f"page: http://127.0.0.1:{port}/" in ended.stderr
    # Nobody has looked.
    lab.wait_for(lambda: not is_listening(port), "end of the page")


def test_what_cannot_be_served_is_refused_before_a_run_begins(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = lab.up(_topology(), "--web", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "cannot be served at 127.0.0.1" in ended.stderr
    for words, message in ((["--web", "x"], "[HOST:]PORT"), (["--web", "8480", "--preview"], "--preview")):
        ended = lab.up(_topology(), *words)
        assert ended.code == 2
        assert message in ended.stderr
    assert not Path(lab.folder, "runs").exists()
