"""Whole runs as people on Windows make them, typed one after the other: `py scripts/windows_scenes.py [SCENE ...]`.

It runs on Windows itself, and under wine by `scripts/test_windows.py`. Standard library, and what dtopipe needs.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

# A Python that takes nothing from the folder of its script is told of it.
sys.path.insert(0, str(Path(__file__).parent))

from counter_outputs import codes_are_exact, gaps_of
from typed_commands import LIMIT_S, Begun, begun, ended_at_once, is_passed, says_anything, typed, until

import dtopipe

_TOPOLOGY = """
name: {name}
{duration}
board: {{type: simulated, waveform: counter}}
task:
  rate_hz: 1000
  samples_per_block: 50
  # A board that is patient: what these scenes are about is not how busy the machine is.
  driver_buffers: 600
  channels:
    - {{name: a, kind: raw}}
    - {{name: b, kind: raw}}
sinks:
  archive: {{type: hbuf, path: archive.dt-raw}}
  table: {{type: csv, path: table.csv}}
  lines: {{type: jsonl, path: lines.jsonl}}
  database: {{type: sqlite, path: run.db}}
  columns: {{type: parquet, path: run.parquet}}
"""
_OUTPUTS = ("archive.dt-raw", "table.csv", "lines.jsonl", "run.db", "run.parquet")


def _begun(name: str) -> Begun:
    return begun(name, _TOPOLOGY.format(name=name, duration=""))


def _all_are_exact(folder: Path, end: int) -> None:
    """Every output has each sample of the run once, but those that the board lost."""
    for path in _OUTPUTS:
        held = codes_are_exact(folder / path, gaps_of(folder))
        assert held == end, f"{path} ends with {held}, the run with {end}"


def a_first_run_by_the_starter() -> None:
    """`init`, `check`, the quickstart of the checkout, `verify`, `convert`."""
    typed("init", "first.yaml")
    typed("check", "first.yaml")
    quickstart = Path(__file__).parents[1] / "topologies" / "quickstart.yaml"
    record = json.loads(typed("up", str(quickstart), "--duration", "3s", "--json"))
    assert record["verdict"]["state"] == "GOOD", record["verdict"]
    assert record["acquired"]["samples"] == 3000
    assert json.loads(typed("verify", "quickstart/latest", "--json"))["verdict"]["state"].startswith("GOOD")
    typed("convert", "quickstart/latest", "--to", "csv", "--path", "converted.csv")
    with Path("converted.csv").open(encoding="utf-8") as file:
        assert sum(1 for _ in file) == 3001


def a_sink_that_is_killed_is_started_again() -> None:
    """`up --detach`, a killed sink, `mark`, `status`, `stop`."""
    run = _begun("killed-sink")
    assert psutil.Process(run.pid).is_running()
    before = run.wait_for("table", 100)
    os.kill(before["pid"], signal.SIGTERM)
    until("another one writes it", lambda: run.sink("table")["pid"] not in (None, before["pid"]))
    run.wait_for_more("table")
    typed("mark", "a mark", run.name)
    assert json.loads(typed("status", run.name, "--json"))["sinks"]["table"]["restarts"] == 1
    typed("stop", run.name)
    record = run.wait_for_verdict("GOOD")
    assert record["sinks"]["table"]["restarts"] == 1
    _all_are_exact(run.folder, record["acquired"]["samples"])
    typed("verify", str(run.folder))


def an_acquirer_that_is_killed_costs_a_gap_that_is_named() -> None:
    """What the board gave meanwhile is absent in every output, and nothing else is."""
    run = _begun("killed-acquirer")
    run.wait_for("table", 100)
    before = run.status()["board"]["pid"]
    os.kill(before, signal.SIGTERM)
    until("another one reads the board", lambda: run.status().get("board", {}).get("pid") not in (None, before))
    for name in ("table", "columns"):
        run.wait_for_more(name)
    typed("stop", run.name, codes=(3,))
    record = run.wait_for_verdict("INCOMPLETE")
    gaps = gaps_of(run.folder)
    assert [cause for _, _, cause in gaps] == ["acquirer_restart"], gaps
    _all_are_exact(run.folder, record["acquired"]["end_sample_index"])
    typed("verify", str(run.folder), codes=(3,))


def a_sink_comes_and_goes() -> None:
    """`attach` with all that there is, `detach`, `attach` of another one, which stays."""
    run = _begun("attached")
    run.wait_for("table", 300)
    typed("attach", run.name, "--sink", "csv", "--name", "look", "--from", "earliest")
    run.wait_for("look", 500)
    typed("attach", run.name, "--sink", "jsonl", "--name", "from-now", "--path", "from-now.jsonl")
    typed("detach", "look", run.name)
    run.wait_for_more("from-now")
    typed("stop", run.name)
    record = run.wait_for_verdict("GOOD")
    end, sinks = record["acquired"]["samples"], record["sinks"]
    _all_are_exact(run.folder, end)
    assert 500 <= codes_are_exact(run.folder / "look.csv") == sinks["look"]["stop"] < end
    start = sinks["from-now"]["start"]
    assert start > 0
    assert codes_are_exact(Path("from-now.jsonl"), start=start) == end
    typed("verify", str(run.folder), "--outside")


def a_program_follows_until_the_run_is_stopped_at_once() -> None:
    """`dtopipe.sync.subscribe`, `stop --now`; what a slow sink lacks then, `repair` brings."""
    topology = _TOPOLOGY.replace("path: table.csv", "path: table.csv, delay_per_block: 200ms")
    run = begun("followed", topology.format(name="followed", duration=""))
    run.wait_for("lines", 500)
    end, stopping = 0, None
    try:
        with dtopipe.sync.subscribe(run.name, start="earliest", policy="block") as recording:
            for block in recording.stream:
                assert block.first_sample_index == end, f"{block.first_sample_index} came where {end} was to come"
                assert not block.gaps_before
                end += block.data.shape[1]
                for c, codes in enumerate(block.data.tolist()):
                    wanted = [((i * (2 * c + 1) + 257 * c) % 65536) - 32768 for i in range(end - len(codes), end)]
                    assert codes == wanted, f"channel {c}, samples up to {end}"
                if end >= 1500 and stopping is None:
                    stopping = subprocess.Popen(
                        [sys.executable, "-P", "-m", "dtopipe", "stop", run.name, "--now"],
                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    )  # fmt: skip
        assert stopping is not None, f"the stream ended with sample {end}"
        assert stopping.wait(LIMIT_S) == 4, "a slow sink was waited for"
    finally:
        if stopping is not None:
            stopping.kill()
    record = run.wait_for_verdict("DEGRADED")
    assert record["acquired"]["samples"] == end
    assert record["sinks"]["table"]["state"] == "cut_off"
    typed("repair", str(run.folder))
    run.wait_for_verdict("GOOD (repaired)")
    _all_are_exact(run.folder, end)


def a_file_that_another_program_holds_is_waited_for() -> None:
    """As a spreadsheet does it: nobody else may open it."""
    winapi: Any = importlib.import_module("_winapi")
    run = _begun("held-file")
    before = run.wait_for("table", 100)
    psutil.Process(before["pid"]).suspend()
    os.kill(before["pid"], signal.SIGTERM)

    def held() -> Any:
        with contextlib.suppress(OSError):
            return winapi.CreateFile(str(run.folder / "table.csv"), 0x80000000, 0, 0, 3, 0, 0)
        return None

    handle = held() or until("it can be held", held)
    try:
        until("it is said that it is away", lambda: run.sink("table")["state"] == "away")
        assert "another program has it open" in typed("status", run.name, "--json")
    finally:
        winapi.CloseHandle(handle)
    run.wait_for_more("table")
    typed("stop", run.name)
    record = run.wait_for_verdict("GOOD")
    _all_are_exact(run.folder, record["acquired"]["samples"])


def a_run_whose_supervisor_is_killed_is_completed() -> None:
    """Its processes end by themselves; `repair` judges it, and nothing that was committed is lost."""
    run = _begun("killed-supervisor")
    until("all outputs have samples", lambda: (s := run.committed()) and min(s.values()) > 100)
    workers = psutil.Process(run.pid).children(recursive=True)
    committed = run.sink("table")["committed"]
    psutil.Process(run.pid).kill()
    assert not psutil.wait_procs(workers, timeout=LIMIT_S)[1], "a process outlives its supervisor"
    _is_made_whole(run, committed)


def a_run_whose_every_process_is_killed_is_completed() -> None:
    """None of them sees another's end: what was committed is on the disk. `repair`, `verify`, `convert`."""
    run = _begun("killed-at-once")
    until("all outputs have samples", lambda: (s := run.committed()) and min(s.values()) > 300)
    committed = max(run.committed().values())
    ended_at_once(run)
    end = _is_made_whole(run, committed)
    typed("convert", str(run.folder), "--to", "parquet", "--path", "converted.parquet")
    typed("convert", str(run.folder), "--to", "csv", "--path", "long.csv", "--layout", "long")
    assert codes_are_exact(Path("converted.parquet")) == end
    with Path("long.csv").open(encoding="utf-8") as file:
        assert sum(1 for _ in file) == 2 * end + 1


def _is_made_whole(run: Begun, committed: int) -> int:
    """How many samples it has, at least those that were committed, in every output."""
    typed("repair", str(run.folder))
    end: int = run.wait_for_verdict("GOOD (repaired)")["acquired"]["samples"]
    assert end >= committed, f"{committed} samples were committed, and {end} are there"
    _all_are_exact(run.folder, end)
    typed("verify", str(run.folder))
    return end


def a_topology_with_names_that_windows_has_not_is_refused() -> None:
    """Colon, device, NUL: each is named, none is made."""
    for path in ("out:put.csv", "CON", "nul.csv", "a?.csv"):
        text = _TOPOLOGY.format(name="names", duration="duration: 1s").replace("table.csv", f"'{path}'")
        Path("names.yaml").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dtopipe", "check", "names.yaml"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 2, f"{path!r} was taken: {done.stdout!r}{done.stderr!r}"
        assert b"sinks.table.path" in done.stderr, done.stderr


SCENES = (
    a_first_run_by_the_starter,
    a_topology_with_names_that_windows_has_not_is_refused,
    a_sink_that_is_killed_is_started_again,
    an_acquirer_that_is_killed_costs_a_gap_that_is_named,
    a_sink_comes_and_goes,
    a_program_follows_until_the_run_is_stopped_at_once,
    a_file_that_another_program_holds_is_waited_for,
    a_run_whose_supervisor_is_killed_is_completed,
    a_run_whose_every_process_is_killed_is_completed,
)


def main(wanted: list[str]) -> int:
    """Each scene in a folder that is taken away; 0 if none failed."""
    says_anything()
    scenes = [scene for scene in SCENES if not wanted or scene.__name__ in wanted]
    passed = [is_passed(scene.__name__.replace("_", " "), scene) for scene in scenes]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
