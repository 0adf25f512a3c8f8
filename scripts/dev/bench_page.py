"""A run with its page under stress: what the page costs, and that the run notices nothing of what is done to it.

    python scripts/dev/bench_page.py
    python scripts/dev/bench_page.py --channels 64 --rate 10000 --seconds 20 --clients 0
    python scripts/dev/bench_page.py --no-browser --json

One run on the simulated board (`up --web`), with a journal, a Parquet table, and a view under DROP. In turns: nobody
looks; one program takes every frame; headless Chromium draws, and counts what it draws; clients come and go, politely,
without a word, stalled (connected, and never reading), flooding (frames, pings, requests) and idle (connected, and
never asking); the page's process is stopped, and killed. Cores are CPU seconds a second: of the page's server, of all
of the run's own processes, and of Chromium, which renders by software where there is no graphics card. 1 if the run
lost or dropped anything, or the page did not come back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml

from dtopipe.host.open_files import ensure_open_files

PATIENCE_S = 60.0
# More than the pages that are served at a time.
AT_ONCE = 100
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# More than frames.
BLOCKS_PER_S = 50
KINDS = ("polite", "without a word", "stalled", "flooding", "pinging", "idle", "asking")
# Counts how often the first trace is drawn, and how many frames came; before any script of the page runs.
COUNTING = """
window.counted = {drawn: 0, came: 0};
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...at) {
  if (this.canvas === document.querySelector('.trace canvas')) window.counted.drawn++;
  return clear.apply(this, at);
};
const Plain = WebSocket;
window.WebSocket = class extends Plain {
  constructor(...told) {
    super(...told);
    this.addEventListener('message', (event) => { if (typeof event.data !== 'string') window.counted.came++; });
  }
};
"""


@dataclass(frozen=True, slots=True)
class Beside:
    """A run, the folder that it runs in, its page's port, and the process of `up`."""

    folder: Path
    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}"

    def page(self) -> psutil.Process | None:
        """The page's server; None while there is none."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "--beside" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    return child
        return None

    def lost(self) -> int:
        """How many samples a channel the board has lost so far."""
        lines = [line for path in self.folder.glob("runs/page/2*/gaps.jsonl") for line in path.read_text().splitlines()]
        return sum(gap["stop"] - gap["start"] for gap in map(json.loads, lines) if gap["sink"] is None)

    def own(self) -> list[psutil.Process]:
        """The run's processes, without the page."""
        page = self.page()
        parent = psutil.Process(self.process.pid)
        return [each for each in (parent, *parent.children(recursive=True)) if page is None or each.pid != page.pid]


def main() -> int:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--rate", type=float, default=50_000.0, help="samples a second and channel")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each state is measured")
    parser.add_argument("--clients", type=int, default=1000, help="how many come and go")
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), options)
    if options.json:
        print(json.dumps(found, indent=2))
    wrong = found["wrong"]
    print("\n".join(wrong) or "the run noticed nothing", file=sys.stderr)
    return 1 if wrong else 0


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every state in turn, and what the run came to."""
    found: dict[str, Any] = {"channels": options.channels, "rate_hz": options.rate}
    wrong: list[str] = []
    with run(folder, options) as beside:
        live = f"{beside.url}{path_of(beside)}/live"
        found["nobody looks"] = tell("nobody looks", costs(beside, options.seconds))
        taken = asyncio.run(taking(live, beside, options.seconds))
        found["a program"] = tell("a program takes it", taken)
        if not options.no_browser and (chromium := next(filter(None, map(shutil.which, BROWSERS)), None)):
            found["chromium"] = tell("Chromium draws it", drawing(chromium, beside, options.seconds))
        if options.clients:
            found["clients"] = tell("clients come and go", asyncio.run(crowd(live, beside, options.clients)))
            found["idle ones"] = tell("1100 say no word", asyncio.run(idle_ones(live, beside, 1100)))
            found["after them"] = tell("a program after them", asyncio.run(taking(live, beside, options.seconds)))
            if found["after them"]["frames_per_s"] <= 0:
                wrong.append("nobody was served after the clients")
        wrong += stopped_and_killed(beside)
        beside.process.send_signal(signal.SIGINT)
        record = json.loads(beside.process.communicate(timeout=PATIENCE_S)[0])
    acquired = record["acquired"]
    found["run"] = {
        "verdict": record["verdict"]["state"], "acquired": acquired, "sinks": {
            name: {key: sink[key] for key in ("samples", "gaps", "dropped", "restarts")}
            for name, sink in record["sinks"].items()
        },
    }  # fmt: skip
    tell("the run", found["run"])
    if record["verdict"]["state"] != "GOOD" or acquired["overrun_samples"]:
        wrong.append(f"the run: {record['verdict']['text']}")
    wrong += [f"{name} lacks samples" for name, sink in record["sinks"].items() if sink["gaps"] or sink["dropped"]]
    return {**found, "wrong": wrong}


@contextlib.contextmanager
def run(folder: Path, options: argparse.Namespace) -> Iterator[Beside]:
    """A run with its page, once that answers."""
    path = folder / "page.yaml"
    path.write_text(yaml.safe_dump(topology(options.channels, options.rate)), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "dtopipe", "up", str(path), "--web", str(port), "--json"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=quiet, text=True)
    beside = Beside(folder, port, process)
    try:
        until(lambda: answers(port) and beside.page() and path_of(beside), "the page")
        yield beside
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=PATIENCE_S)


def topology(channels: int, rate_hz: float) -> dict[str, Any]:
    """The run: a journal, a table behind it, and a view under DROP."""
    return {
        "name": "page",
        "board": {"type": "simulated", "frequency_hz": 3},
        "task": {
            "rate_hz": rate_hz,
            # A board has room for a second, as it has by default with its longer blocks.
            "samples_per_block": max(1, round(rate_hz / BLOCKS_PER_S)),
            "driver_buffers": BLOCKS_PER_S,
            "channels": [{"name": f"ch{c}", "range": [-10, 10], "unit": "V"} for c in range(channels)],
        },
        "sinks": {
            "archive": {"type": "hbuf", "path": "archive.dt-raw"},
            "table": {"type": "parquet", "path": "table.parquet", "every": "100ms", "reduce": "minmax"},
            "view": {"type": "csv", "path": "view.csv", "every": "100ms", "reduce": "mean", "policy": "drop"},
        },
    }


def costs(beside: Beside, seconds: float, chromium: int = 0) -> dict[str, Any]:
    """Cores of the page, of the run's processes and of a browser over so long, and the page's memory behind it."""
    before, began_s = _spent(beside, chromium), time.perf_counter()
    time.sleep(seconds)
    return _cost(beside, before, time.perf_counter() - began_s, chromium)


def _spent(beside: Beside, chromium: int) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
    page = beside.page()
    others = [psutil.Process(chromium), *psutil.Process(chromium).children(recursive=True)] if chromium else []
    return _cpu_s([page] if page else []), _cpu_s(beside.own()), _cpu_s(others)


def _cpu_s(processes: list[psutil.Process]) -> dict[int, float]:
    found = {}
    for each in processes:
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            found[each.pid] = times.user + times.system
    return found


def _cost(beside: Beside, before: Any, elapsed_s: float, chromium: int = 0) -> dict[str, Any]:
    page, own, others = (
        sum(cpu - old.get(pid, cpu) for pid, cpu in new.items()) / elapsed_s
        for old, new in zip(before, _spent(beside, chromium), strict=True)
    )
    server = beside.page()
    cores = {"lost_so_far": beside.lost(), "page_cores": round(page, 3), "run_cores": round(own, 3)}
    return {
        **cores, **({"chromium_cores": round(others, 3)} if chromium else {}),
        "page_rss_mb": round(server.memory_info().rss / 1e6, 1) if server else None,
        "page_files": server.num_fds() if server and hasattr(server, "num_fds") else None,
    }  # fmt: skip


async def taking(live: str, beside: Beside, seconds: float) -> dict[str, Any]:
    """What it costs to send everything to one program, and how many frames a second it gets."""
    async with aiohttp.ClientSession() as session, session.ws_connect(live) as page:
        await _frames(page, 2.0)
        before, began_s = _spent(beside, 0), time.perf_counter()
        n_frames, n_bytes = await _frames(page, seconds)
        elapsed_s = time.perf_counter() - began_s
        rates = {"frames_per_s": round(n_frames / elapsed_s, 1), "kb_per_s": round(n_bytes / elapsed_s / 1e3, 1)}
        return {**rates, **_cost(beside, before, elapsed_s)}


async def _frames(page: Any, seconds: float) -> tuple[int, int]:
    n_frames = n_bytes = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for message in page:
                if message.type is aiohttp.WSMsgType.BINARY:
                    n_frames, n_bytes = n_frames + 1, n_bytes + len(message.data)
    return n_frames, n_bytes


def drawing(chromium: str, beside: Beside, seconds: float) -> dict[str, Any]:
    """What a browser draws in a second, what that costs the page, and what it costs the browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as library:
        program = library.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with contextlib.closing(program):
            page = program.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(COUNTING)
            page.goto(beside.url)
            until(lambda: page.evaluate("window.counted.drawn") > 10, "a picture")
            page.wait_for_timeout(3000)
            root = next(each.pid for each in psutil.Process().children(recursive=True) if "chrom" in each.name())
            before, spent, began_s = page.evaluate("({...window.counted})"), _spent(beside, root), time.perf_counter()
            page.wait_for_timeout(1000 * seconds)
            after, elapsed_s = page.evaluate("({...window.counted})"), time.perf_counter() - began_s
            found = {f"{key}_per_s": round((after[key] - before[key]) / elapsed_s, 1) for key in ("drawn", "came")}
            traces = page.locator(".trace").count()
            return {**found, "traces": traces, **_cost(beside, spent, elapsed_s, root)}


async def crowd(live: str, beside: Beside, clients: int) -> dict[str, Any]:
    """Clients of every kind, so many at once; what became of them, and of the page's memory on the way."""
    before, began_s, told = _spent(beside, 0), time.perf_counter(), {"served": 0, "turned away": 0}
    memory: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for first in range(0, clients, AT_ONCE):
            numbers = range(first, min(clients, first + AT_ONCE))
            ended = await asyncio.gather(*(_client(session, live, KINDS[n % len(KINDS)]) for n in numbers))
            for word in ended:
                told[word] += 1
            server = beside.page()
            memory.append(round(server.memory_info().rss / 1e6, 1) if server else 0.0)
    on_the_way = memory[:: max(1, len(memory) // 5)]
    return {**told, "rss_mb": on_the_way, **_cost(beside, before, time.perf_counter() - began_s)}


async def _client(session: aiohttp.ClientSession, live: str, kind: str) -> str:
    """One of them, from its coming to its going."""
    try:
        async with asyncio.timeout(20):
            if kind in ("idle", "stalled", "without a word"):
                async with _raw(live, asks=kind != "idle"):
                    # It takes nothing meanwhile, and goes as one that is killed.
                    await asyncio.sleep(0.0 if kind == "without a word" else 1.0)
                return "served"
            if kind == "asking":
                async with session.get(live.rsplit("/api/", 1)[0] + "/api/runs") as answer:
                    await answer.read()
                return "served"
            page = await session.ws_connect(live)
            if kind == "polite":
                await page.receive()
            elif kind == "flooding":
                for _ in range(200):
                    await page.send_str("x" * 500)
            elif kind == "pinging":
                for _ in range(2000):
                    await page.ping(b"x" * 100)
            await page.close()
            return "served"
    except (aiohttp.ClientError, OSError, TimeoutError):
        return "turned away"


@contextlib.asynccontextmanager
async def _raw(live: str, *, asks: bool) -> AsyncIterator[None]:
    """A connection that takes nothing; one that `asks` is a page's WebSocket, the other one says no word."""
    host, path = live.removeprefix("http://").split("/", 1)
    name, port = host.split(":")
    loop = asyncio.get_running_loop()
    with socket.socket() as own:
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await loop.sock_connect(own, (name, int(port)))
        if asks:
            words = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            lines = (f"GET /{path} HTTP/1.1", f"Host: {host}", *words, key, "", "")
            await loop.sock_sendall(own, "\r\n".join(lines).encode())
        yield


async def idle_ones(live: str, beside: Beside, clients: int) -> dict[str, Any]:
    """So many at once that say no word and stay: how long it takes until somebody else is served all the same."""
    ensure_open_files(clients + 200)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(clients):
            await stack.enter_async_context(_raw(live, asks=False))
        began_s = time.perf_counter()
        async with aiohttp.ClientSession() as session:
            while time.perf_counter() - began_s < PATIENCE_S:
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with asyncio.timeout(5), session.ws_connect(live) as page:
                        if (await _frames(page, 1.0))[0]:
                            break
        served_s = time.perf_counter() - began_s
        await asyncio.to_thread(until, lambda: (page := beside.page()) and page.num_fds() < clients, "room on the page")
        told = {"served_after_s": round(served_s, 1), "let_go_after_s": round(time.perf_counter() - began_s, 1)}
        return {**told, **_cost(beside, _spent(beside, 0), 1.0)}


def stopped_and_killed(beside: Beside) -> list[str]:
    """The page's process stands for some seconds, and then it is killed: it is back, and what went wrong is told."""
    page = beside.page()
    if page is None:
        return ["the page had gone"]
    page.suspend()
    time.sleep(3)
    page.resume()
    until(lambda: answers(beside.port), "the page after it stood")
    page.kill()
    until(lambda: (new := beside.page()) is not None and new.pid != page.pid, "the page after its death")
    until(lambda: answers(beside.port), "an answer of the page after its death")
    tell("stopped for 3 s, then killed", {"lost_so_far": beside.lost()})
    return []


def path_of(beside: Beside) -> str:
    """The path of the run in the page's own URLs, empty before there is one."""
    found = next(beside.folder.glob("runs/page/2*"), None)
    return f"/api/runs/page/{found.name}" if found else ""


def answers(port: int) -> bool:
    """True while something listens there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def until(holds: Callable[[], Any], what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} never came")
        time.sleep(0.1)


def tell(what: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Print it, and hand it on."""
    print(f"{what}: " + ", ".join(f"{key} {value}" for key, value in facts.items()), file=sys.stderr, flush=True)
    return facts


if __name__ == "__main__":
    os.environ.pop("DTOPIPE_WEB_TOKEN", None)
    sys.exit(main())
