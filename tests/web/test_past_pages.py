"""What the server answers of a run that is over: to a page, and to who misuses it."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pandas as pd
import pytest
from run_folders import OVERRUN, SINKS, edit_record, items_of, record_run, stream_of

import dtopipe
from dtopipe.host.http_address import Address
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.web.runs import Shown

aiohttp = pytest.importorskip("aiohttp", reason="the page needs the extra web")
aiohttp_test = pytest.importorskip("aiohttp.test_utils", reason="the page needs the extra web")

from dtopipe.web.server import Server, Settings, application  # noqa: E402  (only with the extra)

pytestmark = pytest.mark.anyio
TOKEN = "t-only-for-this-test"
# An overview is made by a process that gives way to every other.
_LOOKS_EVERY_S = 0.02
PAST = "/api/runs/lab/20261123T090000Z/past"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stream = stream_of(("flux", "<b>tc1</b>"))
    folder = tmp_path / "runs" / "lab" / "20261123T090000Z"
    return record_run(folder, {name: SINKS[name] for name in ("archive", "view")}, _items(stream), stream)


def _items(stream: Stream) -> list[Block | Gap]:
    """With a hole, and a sensor that was open from sample 543 to 549."""
    status = np.zeros((2, 50), np.int8)
    status[0, 3:9] = 1
    return [
        replace(item, sensor_status=status) if isinstance(item, Block) and item.first_sample_index == 540 else item
        for item in items_of(stream)
    ]


@asynccontextmanager
async def _served(run_dir: Path, token: str = "") -> AsyncIterator[Any]:
    server = Server(Settings(Address("127.0.0.1", 0), token, Shown(run_dir)))
    async with aiohttp_test.TestClient(aiohttp_test.TestServer(application(server))) as client:
        try:
            yield client
        finally:
            await server.close()


async def _ready(client: Any, sink: str = "") -> dict[str, Any]:
    """Once its overview is there, which a process of its own makes."""
    while True:
        answer = await client.get(f"{PAST}?output={sink}")
        told: dict[str, Any] = await answer.json()
        assert answer.status == 200, told
        assert not told.get("trouble"), told
        if told["is_ready"]:
            return told
        await anyio.sleep(_LOOKS_EVERY_S)


def _columns(body: bytes) -> tuple[dict[str, Any], Any, Any, Any]:
    (length,) = struct.unpack_from("<I", body)
    head = json.loads(body[4 : 4 + length])
    assert (4 + length) % 8 == 0
    size, shape = head["n"] * head["channels"], (head["channels"], head["n"])
    low, high = np.frombuffer(body, "<f8", 2 * size, 4 + length).reshape(2, *shape)
    return head, low, high, np.frombuffer(body, "u1", size, 4 + length + 16 * size).reshape(shape)


async def test_a_page_gets_an_overview_the_samples_a_file_and_a_spectrum(run: Path) -> None:
    wanted = dtopipe.load(run).samples(sink="archive")
    async with _served(run.parent.parent) as client:
        told = await _ready(client)
        assert (told["outputs"], told["start"], told["stop"]) == (["archive", "view"], 0, 1000)
        assert [channel["name"] for channel in told["channels"]] == ["flux", "<b>tc1</b>"]

        query = f"{PAST}/columns?output=archive&from=0&to=1000&channels=1,0&columns=500"
        head, low, _, _ = _columns(await (await client.get(query)).read())
        assert (head["step"], head["exact"], head["gaps"]) == (256, False, [[OVERRUN.start, OVERRUN.stop, False]])
        assert np.nanmin(low[1]) == np.nanmin(wanted.values[0])
        head, low, high, nulls = _columns(await (await client.get(f"{query}&exact=1")).read())
        assert (head["step"], head["exact"]) == (2, True)
        assert np.isnan(low[:, 150:170]).all()
        assert nulls[1].nonzero()[0].tolist() == [271, 272, 273, 274]
        assert np.nanmax(high[0]) == np.nanmax(wanted.values[1])

        answer = await client.get(f"{PAST}/download?format=csv&output=view&from=200&to=400&channels=0")
        assert answer.headers["Content-Disposition"].startswith(
            'attachment; filename="lab_20261123T090000Z_view_samples-200-400.csv"'
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        table = pd.read_csv(io.BytesIO(await answer.read()))
        assert table["sample_index"].tolist() == [*range(200, 300), *range(340, 400)]

        told = await (await client.get(f"{PAST}/spectrum?output=archive&from=0&to=300&channels=1")).json()
        assert (told["samples"], told["unit"]) == (300, "V")
        told = await (await client.get(f"{PAST}/spectrum?output=archive&from=290&to=350&channels=1")).json()
        assert told["error"] == "40 samples of this span are absent, the first behind sample 299"

        # The run is another one by now: what was made of it does not count, and is made anew.
        edit_record(run, lambda record: record["sinks"]["archive"].update(durable=1))
        while (await client.get(query)).status != 409:
            await anyio.sleep(_LOOKS_EVERY_S)
        assert await _ready(client, "archive")
        assert (await client.get(query)).status == 200


async def test_who_misuses_what_is_past_gets_nothing(run: Path) -> None:
    span = "from=0&to=10"
    async with _served(run.parent.parent, TOKEN) as client:
        good = {"Cookie": f"dtopipe-0={TOKEN}"}
        for path in ("", f"/columns?{span}&channels=0&columns=9", f"/download?{span}&channels=0&format=csv",
                     f"/spectrum?{span}&channels=0"):  # fmt: skip
            assert (await client.get(PAST + path)).status == 403, path
            assert (await client.get(PAST + path, headers=good | {"Origin": "http://evil.example"})).status == 403
            assert (await client.get(PAST + path, headers=good | {"Sec-Fetch-Site": "cross-site"})).status == 403
        assert not list(run.glob(".overview*"))
        for path in ("/api/runs/..%2f..%2fetc/passwd/past", "/api/runs/lab/..%2f20261123T090000Z/past",
                     "/api/runs/lab/%3Cb%3E/past/columns", "/api/runs/%00/%00/past"):  # fmt: skip
            assert (await client.get(path, headers=good)).status in (400, 404), path
        for query in (
            "columns?", f"columns?{span}&channels=0", f"columns?{span}&channels=0&columns=0",
            f"columns?{span}&channels=0&columns=4001", f"columns?{span}&channels=7&columns=9&output=archive",
            f"columns?{span}&channels=-1&columns=9", f"columns?{span}&channels=0,,1&columns=9",
            f"columns?{span}&channels=%D9%A1&columns=9", "columns?from=10&to=10&channels=0&columns=9",
            "columns?from=-5&to=10&channels=0&columns=9", "columns?from=0&to=1e9&channels=0&columns=9",
            "columns?from=0&to=99999999999999999999&channels=0&columns=9",
            f"columns?{span}&channels=0&columns=9&output=..%2f",
            f"spectrum?{span}&channels=0,1", f"spectrum?{span}",
            f"download?{span}&channels=0", f"download?{span}&format=csv",
            f"download?{span}&channels=0&format=exe", f"download?{span}&channels=9&format=csv",
        ):  # fmt: skip
            answer = await client.get(f"{PAST}/{query}", headers=good)
            # Of what is asked rightly while there is no overview it is said so.
            assert answer.status == 400, (query, await answer.text())
            assert "error" in await answer.json()
        for query in (f"spectrum?from=0&to={2**61}&channels=0", f"spectrum?{span}&channels=0"):
            told = await (await client.get(f"{PAST}/{query}", headers=good)).json()
            assert "for a spectrum" in told["error"]
        answer = await client.get(f"{PAST}/columns?{span}&channels=0&columns=9", headers=good)
        assert answer.status == 409


async def test_of_a_damaged_output_the_page_says_why_there_is_no_overview(run: Path) -> None:
    (run / "view.csv").write_bytes((run / "view.csv").read_bytes().replace(b"\n500,", b"\nx\0y,"))
    async with _served(run.parent.parent) as client:
        while True:
            told = await (await client.get(f"{PAST}?output=view")).json()
            assert not told["is_ready"]
            if told["trouble"]:
                break
            await anyio.sleep(_LOOKS_EVERY_S)
        assert "view.csv" in told["trouble"]
        # Half a file is not taken for a whole one.
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await (await client.get(f"{PAST}/download?format=csv&output=view&from=0&to=1000&channels=0")).read()
        assert not list(run.glob(".overview*"))
