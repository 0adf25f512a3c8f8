"""The page in a real browser: what a person sees of a run, and what a screen reader finds."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from laboratory import Lab, counter_topology
from system import ctrl_c, kill

import dtopipe

pytest.importorskip("aiohttp", reason="the page needs the extra web")
playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: the extra test")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core: the extra test")

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_S = 30.0


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Headless Chromium of this machine."""
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    # What it leaves is told from what runs leave by the mark that theirs inherit.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DTOPIPE_")}
    with playwright.sync_playwright() as library:
        chromium = library.chromium.launch(executable_path=program, args=["--no-sandbox"], env=environment)
        with contextlib.closing(chromium):
            yield chromium


def _wait(page: Any, script: str) -> None:
    # Playwright's own waiting makes code of text in the page, which the page forbids.
    deadline = time.monotonic() + _PATIENCE_S
    while not page.evaluate(script):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {_PATIENCE_S:g} s: {script}\n{page.locator('body').inner_text()}")
        page.wait_for_timeout(50)


def _light(page: Any, word: str) -> None:
    _wait(page, f"document.getElementById('light').textContent === {word!r}")


def _assert_readable(page: Any) -> None:
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_person_sees_the_run_marks_it_and_sees_a_lost_and_a_failed_output_and_the_verdict(
    lab: Lab, browser: Any, tmp_path: Path
) -> None:
    markup = "<img src=x onerror=document.title='hacked'>"
    topology = counter_topology(3, 50, rate_hz=2000.0)
    topology["task"]["channels"][1]["name"] = markup
    topology["metadata"] = {"sample": "A7"}
    topology["limits"] = {"ch0": {"high": 30_000}}
    topology["sinks"] = {
        "raw": {"type": "hbuf", "path": "raw.dt-raw"},
        "table": {"type": "csv", "path": "sub/table.csv", "restart": {"max": 0}},
    }
    port = free_port()
    running = lab.start(topology, "--web", str(port))
    running.wait_for_samples("raw", 200)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    _reached(lab, page, f"http://127.0.0.1:{port}/")

    # It is recording, nothing is lost, nobody is slow; traces move; names are text.
    _light(page, "RECORDING")
    assert page.locator("#recording .word").text_content() == "yes"
    assert page.locator("#lost .word").text_content() == "no"
    assert page.locator("#slow .word").text_content() == "nobody"
    _wait(page, "document.querySelectorAll('.trace canvas').length === 3")
    assert page.locator(".trace h3").nth(1).text_content() == markup
    value, span = page.locator(".trace .value").first.text_content(), page.locator("#span").text_content()
    _wait(page, f"document.querySelector('.trace .value').textContent !== {value!r}")
    _wait(page, f"document.getElementById('span').textContent !== {span!r}")
    assert page.locator("#pipeline tbody tr").count() == 2
    _assert_readable(page)

    # By keyboard: pause, zoom, mark.
    page.keyboard.press("Space")
    still = page.locator("#span").text_content()
    page.keyboard.press("+")
    _wait(page, f"document.getElementById('span').textContent !== {still!r}")
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"
    page.keyboard.press("0")
    page.locator("#spectrum summary").click()
    _wait(page, "document.getElementById('spectrum-text').textContent.includes('Largest: ')")
    assert "counts" not in page.locator("#spectrum-plot").get_attribute("aria-label")
    _assert_readable(page)
    page.locator("#spectrum summary").click()
    page.locator("body").click(position={"x": 2, "y": 2})
    page.keyboard.press("m")
    page.keyboard.type("<b>valve</b>")
    page.keyboard.press("Enter")
    _wait(page, "!document.getElementById('mark-dialog').open")
    lab.wait_for(lambda: any(event["event"] == "mark" for event in running.events()), "mark")
    _wait(page, "document.getElementById('events').textContent.includes('mark: <b>valve</b>')")

    # What is lost is seen at once; so is an output that failed.
    status = running.status()
    assert status is not None
    kill(status["board"]["pid"])
    _light(page, "SAMPLES LOST")
    assert page.locator("#lost .word").text_content() == "yes"
    kill(status["sinks"]["table"]["pid"])
    _wait(page, "document.getElementById('pipeline').textContent.includes('gave up after')")

    # A telephone.
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    _assert_readable(page)

    # The verdict stays.
    running.interrupt()
    ended = running.finish()
    _light(page, ended.json["verdict"]["state"])
    verdict, to_do = page.locator("#sentence").text_content().split("\n")
    assert verdict == ended.json["verdict"]["text"]
    assert to_do == f"Complete it with: dtopipe repair lab/{running.folder.name}"
    assert page.locator("#mark").is_disabled()
    _assert_readable(page)
    _all_of_it_is_seen_from_its_outputs(page, running.folder)
    assert not errors
    _the_list_is_readable(lab, page)
    page.close()
    lab.wait_for(lambda: not _is_there(port), "end of the page")


def _all_of_it_is_seen_from_its_outputs(page: Any, folder: Path) -> None:
    """Once the run is over: the whole of it, any span, what is absent, a file of it."""
    page.set_viewport_size({"width": 1280, "height": 900})
    _wait(page, "!document.getElementById('save').hidden")
    _wait(page, "document.querySelector('.trace .value').textContent.includes(' … ')")
    assert page.locator("#output option").all_text_contents()[0] == "raw"
    run = dtopipe.load(folder)
    samples = run.samples(["ch0"], sink="raw")
    low, high = samples.values[0].min(), samples.values[0].max()
    assert page.locator(".trace .value").first.text_content() == f"{low:.0f} … {high:.0f} "
    label = page.locator(".trace .plot").first.get_attribute("aria-label")
    assert label.startswith("Trace of ch0, 0 s to ")
    assert "1 spans absent" in label
    _assert_readable(page)
    whole = page.locator("#span").text_content()
    page.locator("body").click(position={"x": 2, "y": 2})
    for _ in range(4):
        page.keyboard.press("+")
    _wait(page, f"document.getElementById('span').textContent !== {whole!r}")
    page.locator("#pick summary").click()
    page.locator("#channels input").nth(2).uncheck()
    with page.expect_download() as download:
        page.locator("#save-csv").click()
    name, text = download.value.suggested_filename, download.value.path().read_text()
    start, stop = (int(part) for part in name.removesuffix(".csv").rpartition("samples-")[2].split("-"))
    inside = samples.sample_index[(samples.sample_index >= start) & (samples.sample_index < stop)]
    rows = list(csv.reader(text.splitlines()))
    assert rows[0][3:] == list(run.channels[:2])
    assert [int(row[0]) for row in rows[1:]] == inside.tolist()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    _assert_readable(page)


def _the_list_is_readable(lab: Lab, page: Any) -> None:
    port = free_port()
    served = lab.run("web", "--listen", str(port)).process
    _reached(lab, page, f"http://127.0.0.1:{port}/")
    _wait(page, "document.querySelectorAll('#runs tr').length === 1")
    _assert_readable(page)
    page.locator("#words").fill("no such run")
    _wait(page, "document.querySelectorAll('#runs tr').length === 0")
    page.locator("#words").fill("lab sample=A8")
    _wait(page, "document.querySelectorAll('#runs tr').length === 0")
    page.locator("#words").fill("lab sample=A7")
    _wait(page, "document.querySelectorAll('#runs tr').length === 1")
    assert page.evaluate("location.search") == "?words=lab+sample%3DA7"
    page.locator("#runs a").click()
    _wait(page, "document.getElementById('verdict').classList.contains('bad')")
    ctrl_c(served)
    assert served.wait(timeout=20) == 0


def _reached(lab: Lab, page: Any, url: str) -> None:
    lab.wait_for(lambda: _is_there(int(url.rsplit(":", 1)[1].strip("/"))), "page")
    page.goto(url)


def _is_there(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
