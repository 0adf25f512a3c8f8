"""Whole runs as people on Windows make them, typed one after the other: `py scripts/windows_scenes.py`.

It runs on Windows itself, and under wine by `scripts/test_windows.py`. Standard library, and what dtopipe needs.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

_LIMIT_S = 120.0
_CHANNELS = 2
_TOPOLOGY = """
name: {name}
{duration}
board: {{type: simulated, waveform: counter}}
task:
  rate_hz: 1000
  samples_per_block: 50
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


def typed(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    """What `dtopipe WORDS` says on its output. Raises AssertionError where it ends with another code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dtopipe", *words],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    said, complained = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert done.returncode in codes, f"dtopipe {' '.join(words)} ended with {done.returncode}\n{said}{complained}"
    return said


def until(what: str, condition: Callable[[], Any]) -> Any:
    """What the condition gives once that is true. Raises AssertionError."""
    deadline = time.monotonic() + _LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain it was waited that {what}"
        time.sleep(0.1)
    return found


def begun(name: str) -> tuple[str, Path, int]:
    """Begins a run in the background; its topology's name, its folder, its supervisor's process."""
    Path(f"{name}.yaml").write_text(_TOPOLOGY.format(name=name, duration=""), encoding="utf-8")
    told = json.loads(typed("up", f"{name}.yaml", "--detach", "--json"))
    return name, Path(told["folder"]), told["pid"]


def status(name: str) -> dict[str, Any]:
    """What `dtopipe status` says of it."""
    found: dict[str, Any] = json.loads(typed("status", name, "--json"))
    return found


def sink(name: str, which: str) -> dict[str, Any]:
    """What the status says of one sink."""
    found: dict[str, Any] = status(name)["sinks"][which]
    return found


def codes_are_exact(table: Path) -> int:
    """Every code of a counter's table equals the formula, and none is missing or there twice; how many rows."""
    n_rows = 0
    with table.open(encoding="utf-8", newline="") as file:
        for n_rows, row in enumerate(csv.DictReader(file), 1):
            i = n_rows - 1
            assert int(row["sample_index"]) == i, f"row {n_rows} is sample {row['sample_index']}"
            for c, channel in enumerate("ab"):
                assert float(row[channel]) == ((i * (2 * c + 1) + 257 * c) % 65536) - 32768
    return n_rows


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
    """`up --detach`, a killed sink, `mark`, `stop`."""
    name, folder, pid = begun("killed-sink")
    assert psutil.Process(pid).is_running()
    before = until("the table has samples", lambda: sink(name, "table")["committed"] > 100 and sink(name, "table"))
    os.kill(before["pid"], signal.SIGTERM)
    until("another one writes it", lambda: sink(name, "table")["pid"] not in (None, before["pid"]))
    seen = sink(name, "table")["committed"]
    until("it goes on", lambda: sink(name, "table")["committed"] > seen + 100)
    typed("mark", "a mark", name)
    typed("stop", name)
    record = until("the run has its verdict", lambda: _verdict_of(folder))
    assert record["verdict"]["state"] == "GOOD", record["verdict"]
    assert record["sinks"]["table"]["restarts"] == 1
    assert codes_are_exact(folder / "table.csv") == record["acquired"]["samples"]
    typed("verify", str(folder))


def a_file_that_another_program_holds_is_waited_for() -> None:
    """As a spreadsheet does it: nobody else may open it."""
    winapi: Any = importlib.import_module("_winapi")
    name, folder, _ = begun("held-file")
    before = until("the table has samples", lambda: sink(name, "table")["committed"] > 100 and sink(name, "table"))
    psutil.Process(before["pid"]).suspend()
    os.kill(before["pid"], signal.SIGTERM)

    def held() -> Any:
        try:
            return winapi.CreateFile(str(folder / "table.csv"), 0x80000000, 0, 0, 3, 0, 0)
        except OSError:
            return None

    handle = held() or until("it can be held", held)
    try:
        until("it is said that it is away", lambda: sink(name, "table")["state"] == "away")
        assert "another program has it open" in json.dumps(status(name))
    finally:
        winapi.CloseHandle(handle)
    seen = sink(name, "table")["committed"]
    until("it goes on", lambda: sink(name, "table")["committed"] > seen + 100)
    typed("stop", name)
    record = until("the run has its verdict", lambda: _verdict_of(folder))
    assert record["verdict"]["state"] == "GOOD", record["verdict"]
    assert codes_are_exact(folder / "table.csv") == record["acquired"]["samples"]


def a_run_whose_supervisor_is_killed_is_completed() -> None:
    """Its processes end by themselves; `repair` judges it, and nothing that was committed is lost."""
    name, folder, pid = begun("killed-supervisor")
    until("all outputs have samples", lambda: all(s["committed"] > 100 for s in status(name)["sinks"].values()))
    workers = psutil.Process(pid).children(recursive=True)
    committed = sink(name, "table")["committed"]
    os.kill(pid, signal.SIGTERM)
    assert not psutil.wait_procs(workers, timeout=_LIMIT_S)[1], "a process outlives its supervisor"
    typed("repair", str(folder))
    record = _verdict_of(folder)
    assert record is not None
    assert record["verdict"]["state"] == "GOOD (repaired)", record["verdict"]
    assert codes_are_exact(folder / "table.csv") == record["acquired"]["samples"] >= committed
    typed("verify", str(folder))


def a_topology_with_names_that_windows_has_not_is_refused() -> None:
    """Colon, device, NUL: each is named, none is made."""
    for path in ("out:put.csv", "CON", "nul.csv", "a?.csv"):
        text = _TOPOLOGY.format(name="names", duration="duration: 1s").replace("table.csv", f"'{path}'")
        Path("names.yaml").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dtopipe", "check", "names.yaml"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 2, f"{path!r} was taken: {done.stdout!r}{done.stderr!r}"
        assert b"sinks.table.path" in done.stderr, done.stderr


def _verdict_of(folder: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except OSError:
        # It is being replaced.
        return None
    return record if record.get("verdict") else None


SCENES = (
    a_first_run_by_the_starter,
    a_topology_with_names_that_windows_has_not_is_refused,
    a_sink_that_is_killed_is_started_again,
    a_file_that_another_program_holds_is_waited_for,
    a_run_whose_supervisor_is_killed_is_completed,
)


def main(wanted: list[str]) -> int:
    """Each scene in a folder that is taken away; 0 if none failed."""
    failed = 0
    for scene in SCENES:
        if wanted and scene.__name__ not in wanted:
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.chdir(folder)
            os.environ["DTOPIPE_RUNTIME_DIR"] = str(Path(folder) / "runtime")
            try:
                scene()
                how = "passed"
            except Exception:
                traceback.print_exc()
                failed, how = failed + 1, "FAILED"
            finally:
                _end_what_is_left()
                os.chdir(Path(folder).parent)
        print(f"{how}: {scene.__name__.replace('_', ' ')} ({time.monotonic() - began:.0f} s)", flush=True)
    return 1 if failed else 0


def _end_what_is_left() -> None:
    for run in json.loads(typed("runs", "--json", codes=(0, 1)) or "[]"):
        if isinstance(run, dict) and run.get("folder") and (run.get("state") or "").lower() == "running":
            typed("stop", run["folder"], "--now", codes=(0, 1, 2))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
