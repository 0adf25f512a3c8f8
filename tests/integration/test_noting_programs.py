"""Programs beside a run mark its moments, and give it the readings of slow instruments."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, counter_codes, counter_topology

import dtopipe
from dtopipe import sync
from dtopipe.host.run_marks import marks_of
from dtopipe.host.run_readings import readings_of
from dtopipe.model.errors import RunOver, UsageError

_ODD: dict[str, Any] = {"mass of it": 1.0}
_BALANCE = """
import sys
import dtopipe
with dtopipe.run_in_progress(run_dir=sys.argv[2]) as run:
    print("here", flush=True)
    for n in range(int(sys.argv[3])):
        run.reading(sys.argv[1], mass=n / 4, units={"mass": "g"})
"""


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as base:
        return base.execute(query).fetchall()


def _start(lab: Any, *sinks: str, **more: Any) -> Any:
    topology = counter_topology(2, 20, rate_hz=2000.0, **more) | {"sinks": {name: EVERY_SINK[name] for name in sinks}}
    running = lab.start(topology)
    running.wait_for_samples(sinks[0], 200)
    return running


def test_a_program_marks_by_name_by_the_run_and_by_what_it_follows(lab: Any) -> None:
    running = _start(lab, "raw", "base")
    runs = lab.folder / "runs"
    now = datetime.now(UTC)
    with sync.run_in_progress("lab", run_dir=runs) as run, sync.subscribe("lab", run_dir=runs) as recording:
        marks = [
            dtopipe.mark("lab", "one", run_dir=runs),
            dtopipe.mark(None, "two", "a text", at="-50ms", run_dir=runs),
            run.mark("three", at=17),
            recording.mark("four", at=now - timedelta(milliseconds=1)),
        ]
        assert not run.is_over
        with pytest.raises(UsageError, match="is not there yet"):
            run.mark("later", at=10**9)
        with pytest.raises(UsageError, match="needs a label"):
            recording.mark(" ")
        running.interrupt()
        assert running.finish().code == 0
        with pytest.raises(RunOver):
            run.mark("too late")
        is_over: bool = run.is_over
    assert is_over
    assert sorted(marks_of(lab.run_folder), key=lambda mark: mark.number) == marks
    assert [mark.number for mark in marks] == [1, 2, 3, 4]
    assert marks[2].sample_index == 17
    assert abs(marks[3].t_utc_ns - now.timestamp() * 1e9 + 1e6) < 1e6
    with pytest.raises(RunOver, match="is over"):
        dtopipe.mark("lab", "x", run_dir=runs)


@pytest.mark.anyio
async def test_a_subscription_without_sync_marks_too(lab: Any) -> None:
    running = _start(lab, "raw")
    async with dtopipe.subscribe("lab", run_dir=lab.folder / "runs") as recording:
        first = await recording.stream.receive()
        mark = recording.mark("seen", at=first.first_sample_index)
    assert mark.sample_index == first.first_sample_index
    assert mark.t_mono_ns == first.t_mono_ns
    running.interrupt()
    assert running.finish().code == 0


def test_readings_of_several_processes_are_all_there_once_also_when_the_sink_is_killed(lab: Any) -> None:
    running = _start(lab, "raw", "base", "columns")
    names, each = ("balance 1", "balance 2", "pH"), 40
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", _BALANCE, name, str(lab.folder / "runs"), str(each)], stdout=subprocess.PIPE
        )
        for name in names
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == b"here\n"
    running.kill("base")
    running.wait_until("ready", "base", times=2)
    for program in programs:
        assert program.wait(timeout=60) == 0
        assert program.stdout is not None
        program.stdout.close()
    running.kill("base")
    running.wait_until("ready", "base", times=3)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    folder = lab.run_folder
    lines = list(readings_of(folder))
    assert [reading.number for reading in lines] == list(range(1, len(names) * each + 1))
    told = [(line.number, line.instrument, line.values["mass"], line.t_mono_ns, line.sample_index) for line in lines]
    query = "SELECT reading_number, device, mass, t_mono_ns, sample_index FROM readings ORDER BY reading_number"
    assert _rows(folder / "base.db", query) == told
    for name in names:
        assert [mass for _, instrument, mass, *_ in told if instrument == name] == [n / 4 for n in range(each)]
    assert _rows(folder / "base.db", "SELECT DISTINCT mass_unit, task FROM readings") == [("g", "lab")]
    # Each stands beside the sample that was taken then.
    apart = _rows(
        folder / "base.db",
        "SELECT r.t_mono_ns - s.t_mono_ns FROM readings r JOIN samples s USING (run, sample_index)",
    )
    assert len(apart) == len(told)
    assert all(0 <= ns < 500_000 for (ns,) in apart)
    # A conversion and a repair bring them too.
    assert lab.dtopipe("convert", str(folder), "--to", "sqlite", "--path", "again.db").code == 0
    assert _rows(lab.folder / "again.db", query) == told
    (folder / "base.db").unlink()
    assert lab.dtopipe("repair", str(folder)).code == 0
    assert _rows(folder / "base.db", query) == told
    assert lab.dtopipe("verify", str(folder)).code == 0


def test_the_readings_of_a_polled_board_and_those_beside_it_are_told_apart(lab: Any) -> None:
    # A machine that has much to do is late by a tenth of a second, and the tick before that is lost.
    topology = counter_topology(2, 1, rate_hz=5.0, kind="voltage")
    topology["task"] = {"mode": "polled", "rate_hz": 5, "channels": topology["task"]["channels"]}
    running = lab.start(topology | {"sinks": {"base": EVERY_SINK["base"], "table": EVERY_SINK["table"]}})
    running.wait_for_samples("base", 5)
    with dtopipe.run_in_progress(run_dir=lab.folder / "runs") as run:
        for mass in (1.5, 2.5, None):
            run.reading("balance", mass=mass, units={"mass": "g"})
        run.mark("between two polls")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    base = lab.run_folder / "base.db"
    assert _rows(base, "SELECT mass FROM readings WHERE device = 'balance'") == [(1.5,), (2.5,), (None,)]
    n_polled = ended.json["sinks"]["base"]["samples"]
    assert _rows(base, "SELECT count(*) FROM readings WHERE device != 'balance'") == [(n_polled,)]
    assert lab.dtopipe("verify", str(lab.run_folder)).code == 0
    (lab.run_folder / "table.csv").unlink()
    assert lab.dtopipe("repair", str(lab.run_folder)).code == 0
    assert lab.dtopipe("verify", str(lab.run_folder)).code == 0


def test_what_is_no_reading_is_refused_in_words_and_changes_nothing(lab: Any) -> None:
    running = _start(lab, "base")
    with dtopipe.run_in_progress(run_dir=lab.folder / "runs") as run:
        run.reading("balance", mass=np.float32(0.5))
        wrongs: list[Callable[[], Any]] = [
            lambda: run.reading("", mass=1.0),
            lambda: run.reading("balance"),
            lambda: run.reading("balance", mass="12 g"),
            lambda: run.reading("balance", mass=True),
            lambda: run.reading("balance", Mass=1.0),
            lambda: run.reading("balance", mass_unit=1.0),
            lambda: run.reading("balance", t_utc=1.0),
            lambda: run.reading("balance", device=1.0),
            lambda: run.reading("balance", mass=1.0, units={"volume": "l"}),
            lambda: run.reading("balance", **_ODD),
            lambda: run.reading("bal\nance", mass=1.0),
        ]
        for wrong in wrongs:
            with pytest.raises(UsageError) as refused:
                wrong()
            assert refused.value.remedy
        run.reading("balance", mass=float("nan"))
    running.interrupt()
    assert running.finish().code == 0
    assert [dict(reading.values) for reading in readings_of(lab.run_folder)] == [{"mass": 0.5}, {"mass": None}]


def test_threads_share_a_run_and_thousands_of_marks_do_no_harm(lab: Any) -> None:
    running = _start(lab, "raw", "base")
    with dtopipe.run_in_progress(run_dir=lab.folder / "runs") as run:

        def mark_many(thread: int) -> None:
            for number in range(250):
                run.mark(f"{thread}.{number}", "x" * 100)

        threads = [threading.Thread(target=mark_many, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    marks = marks_of(lab.run_folder)
    assert len(marks) == 1000 == len({mark.label for mark in marks})
    assert _rows(lab.run_folder / "base.db", "SELECT count(*) FROM marks") == [(1000,)]
    status = json.loads((lab.run_folder / "run.json").read_text())
    assert status["verdict"]["state"] == "GOOD"


def test_two_balances_and_four_channels_join_on_t_mono_ns_as_the_guide_says(lab: Any) -> None:
    guide = (Path(dtopipe.__file__).parent / "guide" / "python.md").read_text(encoding="utf-8")
    (query,) = re.findall(r'base\.execute\("""(.*?)"""\)', guide, re.DOTALL)
    readme = Path(__file__).parents[2] / "README.md"
    if readme.is_file():
        (shown,) = re.findall(r"```text\n(SELECT .*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
        assert shown.split() == query.split()
    topology = counter_topology(4, 20, rate_hz=1000.0)
    for channel, name in zip(topology["task"]["channels"], ("flux", "tc1", "tc2", "tc3"), strict=True):
        channel["name"] = name
    running = lab.start(topology | {"sinks": {"base": EVERY_SINK["base"]}})
    running.wait_for_samples("base", 300)
    with dtopipe.run_in_progress(run_dir=lab.folder / "runs") as run:
        for n in range(10):
            run.reading("balance-a", mass=n, units={"mass": "g"})
            run.reading("balance-b", mass=100 + n, temperature=21.5)
    running.interrupt()
    assert running.finish().code == 0
    rows = _rows(lab.run_folder / "base.db", query)
    # The other balance had not said anything before the first reading.
    assert [(row[-2], row[-1]) for row in rows] == [(n, 99.0 + n) for n in range(1, 10)]
    known = {reading.t_mono_ns: reading.sample_index for reading in readings_of(lab.run_folder)}
    for t_mono_ns, *values, _, _ in rows:
        index = known[t_mono_ns]
        assert values == counter_codes(4, index, index + 1)[:, 0].tolist()
