"""Makes the pictures of the page anew, of real runs: `python scripts/screenshots.py [FOLDER]`.

Without FOLDER that is `dtopipe/guide/page.png`, a run as it should be; with one also pictures of runs that lag, lose
samples, have a failed output, a board that stands, or are over. Needs Chromium and the extras `test` and `web`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, Page, sync_playwright

PICTURE = Path(__file__).parents[1] / "dtopipe" / "guide" / "page.png"
PATIENCE_S = 60.0
# The folder in which these runs lie, for a while and on this machine, is not what a picture is to tell.
WITHOUT_PLACE = r"""
document.addEventListener('DOMContentLoaded', () => {
  const facts = document.getElementById('facts');
  const hide = () => {
    const shown = facts.textContent.replace(/\S*[/\\](runs[/\\])/, '$1');
    if (shown !== facts.textContent) facts.textContent = shown;
  };
  if (facts) new MutationObserver(hide).observe(facts, { childList: true, characterData: true, subtree: true });
});
"""


def topology(**board: Any) -> dict[str, Any]:
    """A heat-flux bench, as README has one."""
    return {
        "name": "heat-flux",
        "duration": "10min",
        "board": {"type": "simulated", "amplitude": 0.8, "frequency_hz": 0.4, **board},
        "task": {
            "rate_hz": 20_000,
            "samples_per_block": 1000,
            "channels": [
                {"name": "flux", "range": [-10, 10], "unit": "V"},
                {"name": "tc1", "range": [-0.01, 0.05], "calibration": {"thermocouple": "K", "cjc": 25},
                 "frequency_hz": 0.15, "phase": 1.5},
                {"name": "bridge", "range": [-1, 1], "unit": "V", "frequency_hz": 1.1, "amplitude": 0.5},
            ],
        },
        "sinks": {
            "archive": {"type": "hbuf", "path": "archive.dt-raw"},
            "table": {"type": "sqlite", "path": "run.db", "restart": {"max": 0}},
            "view": {"type": "csv", "path": "view.csv", "policy": "drop"},
        },
        "limits": {"tc1": {"high": 1000}},
    }  # fmt: skip


@contextlib.contextmanager
def run(document: dict[str, Any]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A run with its page: the URL and the process of `up`."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        path = Path(folder) / "topology.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "dtopipe", "up", str(path), "--web", str(port)]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([*command, "--run-dir", f"{folder}/runs"], stdout=quiet, stderr=quiet)
        try:
            until(lambda: answers(port))
            yield f"http://127.0.0.1:{port}/", process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=PATIENCE_S)


def answers(port: int) -> bool:
    """True once the page is served."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def until(holds: Callable[[], Any]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came")
        time.sleep(0.1)


def has_window(page: Page) -> bool:
    """True once the traces fill their window."""
    return float((page.locator("#span").text_content() or "0").partition(" s")[0]) > 0


def normal(browser: Browser, picture: Path) -> None:
    """A run as it should be, with a mark."""
    with run(topology()) as (url, _), contextlib.closing(opened(browser, url)) as page:
        until(lambda: page.evaluate("performance.now()") > 5000)
        page.keyboard.press("m")
        page.keyboard.type("ignition")
        page.keyboard.press("Enter")
        until(lambda: has_window(page) and not page.locator("#said").text_content())
        page.screenshot(path=picture)


def others(browser: Browser, folder: Path) -> None:
    """What nobody hopes to see."""
    lost = topology(overruns=[{"at": 100_000, "samples": 20_000}])
    with run(lost) as (url, process), contextlib.closing(opened(browser, url)) as page:
        until(lambda: page.locator("#light").text_content() == "SAMPLES LOST")
        until(lambda: has_window(page))
        page.screenshot(path=folder / "lost.png", full_page=True)
        process.send_signal(signal.SIGINT)
        until(lambda: page.locator("#light").text_content() == "INCOMPLETE")
        page.screenshot(path=folder / "finished.png", full_page=True)
    with run(topology()) as (url, process), contextlib.closing(opened(browser, url)) as page:
        until(lambda: page.locator("#light").text_content() == "RECORDING")
        pids = workers(process.pid)
        os.kill(pids["table"], signal.SIGSTOP)
        until(lambda: page.locator("#slow .word").text_content() == "table")
        page.screenshot(path=folder / "lagging.png", full_page=True)
        os.kill(pids["table"], signal.SIGKILL)
        until(lambda: page.locator("#light").text_content() == "OUTPUT FAILED")
        page.screenshot(path=folder / "failed.png", full_page=True)
        os.kill(pids["acquirer"], signal.SIGSTOP)
        until(lambda: page.locator("#verdict.bad #light").text_content() != "OUTPUT FAILED")
        page.screenshot(path=folder / "silent.png", full_page=True)
        os.kill(pids["acquirer"], signal.SIGCONT)


def workers(supervisor: int) -> dict[str, int]:
    """The processes of the run, by name."""
    import psutil

    from dtopipe.host.run_folder import RunFolder, runs_in_progress
    from dtopipe.transport.run_link import ask_run
    from dtopipe.wire.commands import AskStatus, StatusSnapshot

    folders: list[RunFolder] = [each for each in runs_in_progress() if psutil.pid_exists(supervisor)]
    for folder in folders:
        answer = ask_run(folder, AskStatus(), StatusSnapshot)
        entry = folder.entry()
        facts = None if entry is None else entry.read()
        if answer is not None and facts is not None and facts.pid == supervisor:
            sinks = {name: sink["pid"] for name, sink in answer.snapshot["sinks"].items()}
            return {**sinks, "acquirer": answer.snapshot["board"]["pid"]}
    raise LookupError("no such run")


def opened(browser: Browser, url: str) -> Page:
    """The page, once it draws."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.add_init_script(WITHOUT_PLACE)
    page.goto(url)
    until(lambda: page.locator(".trace canvas").count())
    return page


def main(arguments: list[str]) -> None:
    """Make them."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("there is no Chromium on this machine")
    with sync_playwright() as library:
        browser = library.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if arguments:
            folder = Path(arguments[0])
            folder.mkdir(parents=True, exist_ok=True)
            normal(browser, folder / "normal.png")
            others(browser, folder)
        else:
            normal(browser, PICTURE)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
