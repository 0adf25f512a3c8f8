"""One HTML file of a run: what stands on it, that it hides no spike, and that no name of a record is more than text."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from run_folders import ANCHOR, LONG_SINKS, SINKS, edit_record, items_of, readings, record_run, stream_of

from dtopipe.cli.main import main
from dtopipe.host.run_marks import mark_line
from dtopipe.model.calibration import Calibration
from dtopipe.model.clock import utc_ns
from dtopipe.model.marks import Mark
from dtopipe.model.span import Span
from dtopipe.model.stream import Block, Channel
from dtopipe.model.stretch import SinkStretch, Stretch
from dtopipe.report.envelope import Envelope
from dtopipe.report.svg import ticks
from dtopipe.sinks.contract import OutputRows

_EMPTY = ("meta", "path", "line", "rect", "circle", "polyline")


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the texts in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def dtopipe(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def page_of(folder: Path, *options: str) -> Page:
    ended = dtopipe("report", folder, "--stdout", *options)
    assert ended.exit_code == 0, ended.output
    page = Page(ended.stdout)
    assert page.open == []
    return page


def facts_of(folder: Path) -> dict[str, Any]:
    ended = dtopipe("report", folder, "--json")
    assert ended.exit_code == 0, ended.output
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def bytes_in(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return record_run(
        tmp_path / "runs" / "lab" / "20261123T090000Z", {name: SINKS[name] for name in ("archive", "view")}
    )


def test_a_report_stands_in_the_current_folder_and_replaces_nothing_but_a_report(run: Path, tmp_path: Path) -> None:
    before = bytes_in(run)
    ended = dtopipe("report", "lab/latest")
    assert ended.exit_code == 0, ended.output
    file = tmp_path / "lab-20261123T090000Z.html"
    assert f"wrote {file.name}: INCOMPLETE" in ended.output
    again = dtopipe("report", "lab/latest")
    assert again.exit_code == 2
    assert "exists already" in again.output
    assert dtopipe("report", "lab/latest", "--overwrite").exit_code == 0
    file.write_text("my own notes")
    kept = dtopipe("report", "lab/latest", "--overwrite")
    assert kept.exit_code == 2
    assert "is no report" in kept.output
    assert file.read_text() == "my own notes"
    record = dtopipe("report", "lab/latest", "--path", run / "run.json", "--overwrite")
    assert record.exit_code == 2
    assert dtopipe("report", "lab/latest", "--path", tmp_path / "no" / "r.html").exit_code == 2
    assert dtopipe("report", "lab/latest", "--path", "r.html", "--stdout").exit_code == 2
    assert bytes_in(run) == before


def test_stdout_has_the_page_and_changes_no_byte(run: Path, tmp_path: Path) -> None:
    before = bytes_in(tmp_path)
    page = page_of(run)
    assert bytes_in(tmp_path) == before
    assert "INCOMPLETE" in page.text
    for words in ("What to do next", "dtopipe verify", "flux [V]", "board_overrun", "archive.dt-raw", "run-1"):
        assert words in page.text, words


def test_nothing_is_fetched_and_nothing_runs(run: Path) -> None:
    page = page_of(run)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use", "foreignobject"}
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")], name
        assert not (attributes.get("href") or "#").strip("#").startswith(("http", "javascript", "/"))
    (policy,) = [each["content"] for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_a_screen_reader_finds_headings_tables_and_what_pictures_show(run: Path) -> None:
    page = page_of(run)
    assert page.of("html")[0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = page.of("svg")
    assert len(pictures) >= 3
    for picture in pictures:
        assert picture["role"] == "img"
        assert all(name in ids for name in (picture["aria-labelledby"] or "").split())
    for heading in page.of("th"):
        assert heading["scope"] in ("row", "col")
    assert len(page.of("caption")) == len(page.of("table"))
    for link in page.of("a"):
        assert (link["href"] or "").removeprefix("#") in ids


def test_no_spike_is_hidden_however_long_the_run(tmp_path: Path) -> None:
    stream = stream_of(("flux",), rate_hz=1000.0)
    codes = np.zeros((1, 200_000), np.int16)
    codes[0, 123_457] = 32_000
    codes[0, 77_001] = -32_000
    blocks: list[Any] = [Block(n, at, codes[:, at : at + 1000], ANCHOR) for n, at in enumerate(range(0, 200_000, 1000))]
    run = record_run(tmp_path / "run", {"archive": SINKS["archive"]}, blocks, stream)
    (trace,) = facts_of(run)["traces"]
    channel = stream.channels[0]
    assert max(trace["highest"]) == pytest.approx(32_000 * channel.scale + channel.offset)
    assert min(trace["lowest"]) == pytest.approx(-32_000 * channel.scale + channel.offset)
    assert len(trace["lowest"]) <= 900
    at = trace["highest"].index(max(trace["highest"]))
    assert trace["sample_index"][at] <= 123_457 < trace["sample_index"][at] + trace["samples_a_part"]


def test_an_envelope_takes_rows_in_any_batches_and_order() -> None:
    generator = np.random.default_rng(3)
    index = generator.permutation(5000).astype(np.int64)
    values = generator.normal(size=5000)
    values[generator.integers(0, 5000, 300)] = np.nan
    values[17] = np.inf
    once, pieces = (Envelope(Span(0, 5000), 1, 90) for _ in range(2))
    once.add(OutputRows(index, index, index, [values]), [0])
    for at in range(0, 5000, 777):
        part = slice(at, at + 777)
        pieces.add(OutputRows(index[part], index[part], index[part], [values[part]]), [0])
    assert np.array_equal(once.lowest, pieces.lowest, equal_nan=True)
    finite = np.where(np.isfinite(values), values, np.nan)
    for number in range(once.n_parts):
        inside = finite[(index >= number * once.step) & (index < (number + 1) * once.step)]
        assert (once.lowest[0, number], once.highest[0, number]) == (np.nanmin(inside), np.nanmax(inside))
    # What came behind the end that was known when it began has no place.
    once.add(OutputRows(np.array([10**9]), np.array([0]), np.array([0]), [np.array([1e9])]), [0])
    assert np.nanmax(once.highest) < 1e9


@pytest.mark.parametrize("name", [name for name in LONG_SINKS if name != "sheet"])
def test_every_kind_of_output_gives_the_same_picture(name: str, tmp_path: Path) -> None:
    wide = facts_of(record_run(tmp_path / "wide", {name: SINKS[name]}))["traces"]
    long = facts_of(record_run(tmp_path / "long", {name: LONG_SINKS[name]}))["traces"]
    assert [trace["channel"] for trace in wide] == ["flux", "tc1"]
    assert [trace["lowest"] for trace in long] == [trace["lowest"] for trace in wide]
    # The hole is one in the picture.
    assert None in wide[0]["lowest"][300 // wide[0]["samples_a_part"] :]


def test_a_channel_comes_from_the_output_that_has_it_and_from_a_view_if_no_other_does(tmp_path: Path) -> None:
    sinks: dict[str, dict[str, Any]] = {
        "some": {"type": "csv", "path": "some.csv", "channels": ["flux"]},
        "trend": {"type": "csv", "path": "trend.csv", "every": "10ms", "reduce": "minmax"},
    }
    traces = {trace["channel"]: trace for trace in facts_of(record_run(tmp_path / "run", sinks))["traces"]}
    assert traces["flux"]["output"] == "some"
    assert (traces["tc1_max"]["output"], traces["tc1_max"]["samples_a_row"]) == ("trend", 30)


def test_an_output_that_is_damaged_is_said_and_another_one_is_drawn(run: Path) -> None:
    data = (run / "archive.dt-raw").read_bytes()
    (run / "archive.dt-raw").write_bytes(data[: len(data) // 2])
    found = facts_of(run)
    assert {trace["output"] for trace in found["traces"]} == {"view"}
    assert any(trouble.startswith("archive cannot be read") for trouble in found["troubles"])
    (run / "view.csv").unlink()
    page = page_of(run)
    assert "Not on this page: view cannot be read" in page.text
    assert "flux [V]" in page.text


def test_files_of_the_run_that_are_damaged_or_gone_are_no_good_news(run: Path) -> None:
    (run / "gaps.jsonl").write_text("garbage\n")
    (run / "events.jsonl").unlink(missing_ok=True)
    text = page_of(run).text
    assert "gaps.jsonl is damaged in line 1" in text
    assert "events.jsonl is not there" in text
    assert "No gap is on record. Not all of gaps.jsonl could be read." in text
    assert "Nothing happened that does not happen in every run. Not all of events.jsonl could be read." in text


def test_readings_stand_at_their_own_times(tmp_path: Path) -> None:
    stream = stream_of(polled=True, dtype="float64")
    run = record_run(tmp_path / "run", {"view": SINKS["view"]}, [readings(stream, 0, 40)], stream)
    (flux, _) = facts_of(run)["traces"]
    assert flux["t_s"][:3] == pytest.approx([0, 0.001000003, 0.002000006])
    assert "readings a second" in page_of(run).text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(verdict={"state": "GOOD", "text": "all is there"}), ["GOOD", "Nothing has to be done"]),
        (
            lambda r: r.update(
                verdict={"state": "GOOD (repaired)", "text": "whole now"},
                first_verdict={"state": "DEGRADED", "text": "view: gave up"},
            ),
            ["GOOD (repaired)", "At first it was DEGRADED: view: gave up"],
        ),
        (
            lambda r: r.update(verdict={"state": "ABORTED", "text": "the board burnt", "repair": "helps"}),
            ["ABORTED", "the board burnt", "complete it with: dtopipe repair"],
        ),
        (lambda r: r.update(verdict=None), ["INTERRUPTED", "complete it with: dtopipe repair"]),
        (
            lambda r: r.update(verdict=None, stream=None, sinks={}, topology={"name": "lab"}),
            ["INTERRUPTED", "No output has values", "This run has no outputs"],
        ),
    ],
    ids=["good", "repaired", "aborted", "interrupted", "killed before its board was open"],
)
def test_each_verdict_says_what_to_do(run: Path, change: Callable[[dict[str, Any]], Any], words: list[str]) -> None:
    edit_record(run, change)
    page = page_of(run)
    for each in words:
        assert each in page.text, each


def test_marks_limits_restarts_clocks_and_calibrations_are_on_it(tmp_path: Path) -> None:
    calibration = Calibration(
        {"linear": {"scale": 2.0, "offset": 0.0}}, "bar", id="cert-9", date="2020-01-01", valid_until="2021-01-01"
    )
    channels = (Channel("p1", "bar", scale=10 / 65536, range=(-5.0, 5.0), calibration=calibration),)
    stream = stream_of(("p1",))
    stream = type(stream)(**{**{key: getattr(stream, key) for key in stream.__slots__}, "channels": channels})
    run = record_run(tmp_path / "run", {"view": SINKS["view"]}, items_of(stream), stream)
    seen = {"channel": "p1", "limit": "high", "value": 8.0, "unit": "bar", "crossings": 2, "outside_s": 0.1}
    at = "2026-11-23T09:00:00.100000000Z"
    edit_record(run, lambda r: r.update(limits={"seen": [{**seen, "extreme": 9.5, "first_at": at}]}))
    mark = Mark(1, "ignition", 400, ANCHOR.t_mono_ns, ANCHOR.t_utc_ns, "by hand", "ada@lab", ANCHOR.t_utc_ns)
    events = [
        {"t_utc": "2026-11-23T09:00:00.0Z", "event": "started", "process": "view", "pid": 1},
        {"t_utc": "2026-11-23T09:00:01.0Z", "event": "died", "process": "view", "how": "by signal 9"},
        {"t_utc": "2026-11-23T09:00:02.0Z", "event": "started", "process": "view", "pid": 2},
        {"t_utc": "2026-11-23T09:00:05.0Z", "event": "done", "process": "view", "committed": 1000},
        mark_line(mark, at),
        "torn",
    ]
    (run / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    pairs = [{"sample_index": 3000 * n, "t_mono_ns": 1_000_000_100 * n, "t_utc": at} for n in range(4)]
    (run / "clock.jsonl").write_text("".join(f"{json.dumps(pair)}\n" for pair in [*pairs, pairs[0]]))
    page, found = page_of(run), facts_of(run)
    for words in (
        "ignition", "ada@lab", "p1 above 8 bar 2 times", "cert-9", "OUT OF DATE when the run began", "by signal 9",
        "Samples a second, as they came", "How much later samples came",
    ):  # fmt: skip
        assert words in page.text, words
    (life,) = found["processes"]
    assert (life["starts"], [each["works"] for each in life["stretches"]]) == (2, [True, False, True])
    assert found["clock_pairs"]["sample_index"] == [0, 3000, 6000, 9000]
    classes = [attributes.get("class") for _, attributes in page.elements]
    assert {"mark", "limit", "gap", "trace", "line"} <= set(classes)


EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;\u202e"


def test_markup_in_every_name_stays_a_text(tmp_path: Path) -> None:
    """A run folder may come from anybody, and a page of it goes to everybody."""
    file = "a&b<i>.csv" if os.name != "nt" else "a&b.csv"
    evil_channel = Channel(EVIL[:60], EVIL[:20], scale=1.0, range=(-5.0, 5.0), details={"x": EVIL})
    stream = stream_of(("x",))
    told = {key: getattr(stream, key) for key in stream.__slots__}
    stream = type(stream)(
        **{**told, "channels": (evil_channel,), "device": EVIL, "task": EVIL, "metadata": {EVIL: EVIL}}
    )
    run = record_run(tmp_path / "r<b>&un", {"a&'b": {"type": "csv", "path": file}}, items_of(stream), stream)

    def change(record: dict[str, Any]) -> None:
        record["verdict"] = {"state": "DEGRADED", "text": EVIL}
        record["first_verdict"] = {"state": "ABORTED", "text": EVIL}
        record["ended_by"] = {"by": "stop", "text": EVIL}
        record["metadata"] = {EVIL: {EVIL: [EVIL]}}
        record["metadata_changes"] = [{"key": EVIL, EVIL: EVIL}]
        record["versions"], record["host"] = {EVIL: EVIL}, {EVIL: EVIL}
        record["clock"][EVIL] = EVIL
        record["channels"] = {EVIL: EVIL}
        record["topology"][EVIL] = {EVIL: EVIL}
        record["sinks"]["a&'b"]["failure"] = EVIL
        record["sinks"]["a&'b"]["state"] = EVIL
        record["limits"] = {"seen": [{"channel": EVIL[:60], "limit": "high", "value": 1.0, "unit": EVIL, "crossings": 0,
                                      "outside_s": 0.0, "extreme": None}]}  # fmt: skip

    edit_record(run, change)
    events = [{"t_utc": "2026-11-23T09:00:00.0Z", "event": EVIL, "process": EVIL, EVIL: [EVIL]}]
    marks = [
        mark_line(Mark(1, "<svg onload=a>", 4, 1, 1, EVIL.replace("\u202e", ""), EVIL[:50]), "2026-11-23T09:00:00.0Z")
    ]
    (run / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in [*events, *marks]))
    page = page_of(run)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "img", "b", "i"}
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    assert "\u202e" not in page.text
    assert page.text.count("<script>alert(1)</script>") > 10
    assert "<svg onload=a>" in page.text


def test_a_password_in_a_record_is_not_on_it(run: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["topology"]["sinks"]["pg"] = {"type": "postgres", "dsn": "postgresql://me:hunter2@db/x"}
        record["topology"]["board"] = {"type": "mine", "token": "hunter3"}

    edit_record(run, change)
    for text in (page_of(run).text, json.dumps(facts_of(run))):
        assert "hunter" not in text
        assert "${" in text


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-1e-9, 1e-9), (1000.0001, 1000.0002), (-1e300, 1e300), (0, 86_400), (5, 5 + 1e-9)]
)
def test_numbers_at_an_axis_are_told_apart(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert len({text for _, text in found}) == len(found)
    assert all(float(text) == pytest.approx(value, rel=1e-6, abs=(high - low) / 100) for value, text in found)


@pytest.mark.parametrize(
    "values", [[0.0] * 4, [np.nan] * 4, [1e308, -1e308, 0, 1], [5e-324, 0, 0, 0], [np.inf, 1, 2, 3]]
)
def test_values_of_any_size_are_drawn(values: list[float], tmp_path: Path) -> None:
    stream = stream_of(("x",), dtype="float64", rate_hz=10.0)
    run = record_run(tmp_path / "run", {"view": SINKS["view"]}, [Block(0, 0, np.array([values]), ANCHOR)], stream)
    page = page_of(run)
    assert not re.search(r"\b(nan|inf)\b", " ".join(each.get("d") or "" for each in page.of("path")))


def _with_progress(run: Path) -> None:
    """The same run, as if it had been looked at over time: one sink was killed, came back, and was behind."""
    edit_record(run, lambda r: r.update(started_at="2026-11-23T09:00:00+00:00"))
    begin_ns = utc_ns("2026-11-23T09:00:00Z")
    course = [
        Stretch(begin_ns + n * 10**9, 1.0, 3000 * n, 3000 * n, 0, 4.0 - n / 4, {
            "archive": SinkStretch(3000 * n - 1500, 0, 0.5),
            **({"view": SinkStretch(1000 * n, 10 * n, 2.0 * n)} if n < 6 else {}),
            "<b>third": SinkStretch(0, 0, 0.0),
        }).to_json()
        for n in range(1, 10)
    ]  # fmt: skip
    edit_record(run, lambda r: r.update(progress=course))
    mark = Mark(1, "ignition", 400, 1, begin_ns + 2 * 10**9, "", "", begin_ns)
    told = {"process": "view", "channel": "flux"}
    events = [
        *({"t_utc": f"2026-11-23T09:00:0{at}.0Z", "event": event, **told}
          for at, event in ((0, "started"), (4, "died"), (5, "started"), (6, "limit_crossed"), (7, "limit_crossed"))),
        mark_line(mark, "2026-11-23T09:00:02.0Z"),
    ]  # fmt: skip
    (run / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    gap = {"sink": None, "start": 9000, "stop": 12000, "cause": "board_overrun", "t_utc": "2026-11-23T09:00:03.0Z"}
    (run / "gaps.jsonl").write_text(f"{json.dumps(gap)}\n")


def test_rates_and_lag_are_drawn_over_time_with_what_happened_then(run: Path) -> None:
    assert "Rates and lag over time" not in page_of(run).text
    _with_progress(run)
    page, found = page_of(run), facts_of(run)
    for words in ("Lag of each sink [s]", "Room in the ring [s]", "view died", "view again", "ignition", "<b>third"):
        assert words in page.text, words
    # A limit that is crossed again and again has words once on each picture of the three.
    assert page.texts.count("limit of flux") == 3
    assert "view: at most 10 s, 2026-11-23T09:00:05Z; archive: at most 0.5 s" in page.text
    classes = [attributes.get("class") for _, attributes in page.elements]
    assert {"series-0", "series-1", "series-2", "trouble", "limit", "mark", "gap"} <= set(classes)
    assert [len(each["sinks"]) for each in found["progress"]] == [3] * 5 + [2] * 4


def test_strange_progress_is_drawn_as_far_as_it_goes(run: Path) -> None:
    strange = {"for_s": 1e9, "end_sample_index": 2**61, "samples": 2**61, "overrun_samples": 0, "headroom_s": -9e8}
    sinks = {f"s{n}": {"samples": 2**61 - n, "dropped": 0, "lag_s": -9e8 if n % 2 else 9e8} for n in range(9)}
    course = [{"t_utc": f"20{y}-01-01T00:00:00Z", **strange, "sinks": sinks} for y in (10, 99, 50)]
    edit_record(run, lambda r: r.update(progress=[*course, 5]))
    page = page_of(run)
    assert not re.search(r"\b(nan|inf)\b", " ".join(each.get("d") or "" for each in page.of("path")))
    assert "3 more were less behind" in page.text


def test_a_browser_shows_and_prints_it_and_everybody_can_read_it(run: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: the extra test")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core: the extra test")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    _with_progress(run)
    file = tmp_path / "page.html"
    assert dtopipe("report", run, "--path", file).exit_code == 0
    with playwright.sync_playwright() as library:
        # Root's browsers have no sandbox.
        chromium = library.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        with contextlib.closing(chromium):
            page = chromium.new_page(viewport={"width": 1100, "height": 900})
            page.goto(file.as_uri())
            for media, width in (("screen", 1100), ("screen", 390), ("print", 700)):
                page.emulate_media(media=media)
                page.set_viewport_size({"width": width, "height": 900})
                found = axe.Axe().run(page)
                assert found.violations_count == 0, found.generate_report()
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            printed = page.pdf()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2
