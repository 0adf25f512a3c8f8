"""Commands under `on:`, with real programs: told of what happened, one at a time, and never waited for by the run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from parts import Events
from system import KILLED

from dtopipe.core.limit_words import CROSSED
from dtopipe.host.clock import RunTimes
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.plan import BoardPlan, CommandPlan, RingPlan, RunPlan
from dtopipe.supervisor.on_events import OVERRUN, OnEvents
from dtopipe.supervisor.progress import Progress

# It writes what it is told, and ends once a file is there.
WRITES = """
import pathlib, sys, time
told = sys.stdin.read()
with open("told.jsonl", "a") as file:
    file.write(told)
while not pathlib.Path("go").exists():
    time.sleep(0.005)
"""
Make = Callable[..., OnEvents]


@pytest.fixture
def on_events(tmp_path: Path) -> Iterator[Make]:
    """The commands of a run whose folder is there; `programs`: by what they are for, texts are Python's."""

    def make(*, limit_s: float = 30.0, **programs: str | CommandPlan) -> OnEvents:
        on = {
            kind: CommandPlan((sys.executable, "-c", each), Path(sys.executable), tmp_path)
            if isinstance(each, str)
            else each
            for kind, each in programs.items()
        }
        progress = Progress("run-1", RunTimes())
        plan = RunPlan("heat", tmp_path, tmp_path / "t.yaml", BoardPlan("simulated", {}, None), RingPlan(), (), on=on)
        folder = RunFolder.create(tmp_path / "runs", "heat", progress.started)
        made = OnEvents(plan, progress, folder, events, limit_s=limit_s)
        all_made.append(made)
        return made

    events = Events()
    all_made: list[OnEvents] = []
    yield make
    (tmp_path / "go").touch()
    for each in all_made:
        each.conclude(None, is_cut_short=lambda: False)


def wait_for(on_events: OnEvents, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        on_events.look()
        time.sleep(0.005)


def told(folder: Path) -> list[dict[str, Any]]:
    path = folder / "told.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ended(on_events: OnEvents, kind: str) -> Callable[[], bool]:
    def is_so() -> bool:
        facts = on_events.snapshot()[kind]
        return not facts["is_running"] and not facts["waiting"]

    return is_so


def last_event(on_events: OnEvents) -> dict[str, Any]:
    events = on_events._events
    assert isinstance(events, Events)
    return events.lines[-1]


def test_a_command_is_told_what_happened_as_one_document(tmp_path: Path, on_events: Make) -> None:
    (tmp_path / "go").touch()
    on = on_events(limit=WRITES, start=WRITES)
    on.heard(CROSSED, {"channel": "tc1", "limit": "high", "value": 900.0, "text": "tc1 above 900 degC since 12:03:04Z"})
    on.heard("draining", {"by": "nobody"})
    wait_for(on, ended(on, "limit"))
    (document,) = told(tmp_path)
    wanted = {
        "event": "limit", "text": "heat: tc1 above 900 degC since 12:03:04Z", "channel": "tc1", "value": 900.0,
        "times": 1, "run": "heat", "run_id": "run-1", "simulated": False,
    }  # fmt: skip
    assert {key: document[key] for key in wanted} == wanted
    assert Path(document["folder"]).is_dir()
    assert document["t_utc"].endswith("Z")
    assert on.snapshot()["start"]["runs"] == 0


def test_a_burst_of_events_is_counted_while_a_command_runs(tmp_path: Path, on_events: Make) -> None:
    on = on_events(overrun=WRITES, limit=WRITES)
    on.heard(OVERRUN, {"samples": 1})
    wait_for(on, lambda: len(told(tmp_path)) == 1)
    for number in range(1000):
        on.heard(OVERRUN, {"samples": number})
        # Each limit is another event; a hundred of them do not wait.
        on.heard(CROSSED, {"channel": f"tc{number % 100}", "limit": "high", "text": "it"})
        on.look()
    wait_for(on, lambda: len(told(tmp_path)) == 2)
    assert on.snapshot()["overrun"] == {
        "command": [sys.executable, "-c", WRITES], "runs": 1, "failures": 0, "waiting": 1, "is_running": True,
    }  # fmt: skip
    assert on.snapshot()["limit"]["waiting"] == 32
    (tmp_path / "go").touch()
    wait_for(on, lambda: ended(on, "overrun")() and ended(on, "limit")())
    assert on.snapshot()["overrun"]["runs"] == 2
    overruns = [each for each in told(tmp_path) if each["event"] == "overrun"]
    assert [(each["samples"], each["times"]) for each in overruns] == [(1, 1), (999, 1000)]
    limits = [each for each in told(tmp_path) if each["event"] == "limit"]
    assert len(limits) == 33
    assert sum(each["times"] + each.get("not_told", 0) for each in limits) == 1000


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ("import psutil; psutil.Process().kill()", KILLED),
    ],
)
def test_a_command_that_fails_is_a_warning(on_events: Make, text: str, how: str) -> None:
    on = on_events(silent=text)
    on.heard("silent", {"why": "no sample since then"})
    wait_for(on, lambda: on.snapshot()["silent"]["failures"] == 1)
    event = last_event(on)
    assert (event["event"], event["on"], event["how"], event["log"]) == (
        "command_failed",
        "silent",
        how,
        "logs/on.silent.log",
    )
    assert on.snapshot()["silent"]["trouble"] == how


def test_a_program_that_is_gone_is_a_warning(tmp_path: Path, on_events: Make) -> None:
    on = on_events(start=CommandPlan(("gone",), tmp_path / "gone", tmp_path))
    on.heard("running", {})
    wait_for(on, lambda: on.snapshot()["start"]["failures"] == 1)
    assert "could not be started: No such file" in last_event(on)["how"]


def test_a_command_that_hangs_is_killed_with_what_it_has_started(tmp_path: Path, on_events: Make) -> None:
    hangs = CommandPlan(("sh", "-c", "sleep 600 & echo $! > pid; wait"), Path("/bin/sh"), tmp_path)
    on = on_events(limit=hangs, limit_s=1.0)
    on.heard(CROSSED, {"text": "it"})
    wait_for(on, lambda: on.snapshot()["limit"]["failures"] == 1)
    assert last_event(on)["how"] == "did not end within 1 s, and was killed"
    pid = int((tmp_path / "pid").read_text())
    wait_for(on, lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_what_is_said_is_in_its_log(tmp_path: Path, on_events: Make) -> None:
    said = "print('said', len(sys.stdin.read()) > 9, flush=True)"
    on = on_events(start=f"import sys; {said}; print('complained', file=sys.stderr)")
    on.heard("running", {})
    wait_for(on, ended(on, "start"))
    (log,) = tmp_path.glob("runs/heat/*/logs/on.start.log")
    assert log.read_text().splitlines() == ["said True", "complained"]


def test_at_the_end_what_waits_is_told_and_what_hangs_is_left(tmp_path: Path, on_events: Make) -> None:
    on = on_events(verdict=WRITES, start="pass")
    on.heard("running", {})
    on.heard("finished", {"verdict": "GOOD", "text": "all is well"})
    looks = iter(range(100))
    events = Events()
    words = on.conclude(events, is_cut_short=lambda: bool(told(tmp_path)) and next(looks) > 3)
    assert words == [f"on verdict: {sys.executable} still runs, and is left to itself"]
    assert [line["event"] for line in events.lines] == ["command_left"]
    (document,) = told(tmp_path)
    assert document["text"] == "heat: GOOD; all is well"
    (tmp_path / "go").touch()
    assert on.conclude(None, is_cut_short=lambda: False) == []
