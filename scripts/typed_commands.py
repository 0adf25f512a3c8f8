"""What a person types, and what is seen of a run meanwhile: of the scenes of Windows.

Standard library, and what dtopipe needs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dtopipe.host.run_folder import RunFolder, runs_in_progress
from dtopipe.model.errors import DtopipeError
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot

LIMIT_S = 120.0


def typed(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    """What `dtopipe WORDS` says on its output. Raises AssertionError where it ends with another code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dtopipe", *words],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    said, complained = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert done.returncode in codes, f"dtopipe {' '.join(words)} ended with {done.returncode}\n{said}{complained}"
    return said


def until(what: str, condition: Callable[[], Any]) -> Any:
    """What the condition gives once that is true. Raises AssertionError."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain it was waited that {what}"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Begun:
    """A run in the background; `pid`: of its supervisor."""

    name: str
    folder: Path
    pid: int

    def status(self) -> dict[str, Any]:
        """As `dtopipe status --json` says it, without a Python of its own; empty where nobody answers."""
        with contextlib.suppress(DtopipeError):
            answer = ask_run(RunFolder(self.folder), AskStatus(), StatusSnapshot)
            return {} if answer is None else dict(answer.snapshot)
        return {}

    def sink(self, name: str) -> dict[str, Any]:
        """What the status says of one sink; of one that is not there, or not seen, that it has nothing."""
        nothing = {"committed": -1, "pid": None, "state": None}
        return dict(self.status().get("sinks", {}).get(name, nothing))

    def wait_for(self, sink: str, committed: int) -> dict[str, Any]:
        """What the status says of a sink once that has committed so much."""
        found = until(f"{sink} has {committed} samples", lambda: (s := self.sink(sink))["committed"] >= committed and s)
        return dict(found)

    def wait_for_more(self, sink: str) -> None:
        """Until a sink has committed what was not there before."""
        self.wait_for(sink, self.sink(sink)["committed"] + 100)

    def committed(self) -> dict[str, int]:
        """Of each sink; empty where nobody answers."""
        return {name: sink["committed"] for name, sink in self.status().get("sinks", {}).items()}

    def verdict(self) -> dict[str, Any] | None:
        """The run record, once it has a verdict."""
        try:
            record: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except OSError:
            # It is being replaced.
            return None
        return record if record.get("verdict") else None

    def wait_for_verdict(self, state: str) -> dict[str, Any]:
        """The run record, whose verdict is this one."""
        record: dict[str, Any] = until("the run has its verdict", self.verdict)
        assert record["verdict"]["state"] == state, record["verdict"]
        return record


def begun(name: str, topology: str) -> Begun:
    """Begins a run in the background."""
    Path(f"{name}.yaml").write_text(topology, encoding="utf-8")
    told = json.loads(typed("up", f"{name}.yaml", "--detach", "--json"))
    return Begun(name, Path(told["folder"]), told["pid"])


def ended_at_once(run: Begun) -> None:
    """Kill the supervisor and all that it has started, of which none sees another's end."""
    supervisor = psutil.Process(run.pid)
    processes = [supervisor, *supervisor.children(recursive=True)]
    for act in (psutil.Process.suspend, psutil.Process.kill):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                act(process)
    assert not psutil.wait_procs(processes, timeout=LIMIT_S)[1], "a process that was killed lives"


def says_anything() -> None:
    """What a command has drawn is shown in what follows, whatever letters the output has."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def is_passed(what: str, scene: Callable[[], None]) -> bool:
    """True if the scene has passed, in a folder that is taken away; says so."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        os.environ["DTOPIPE_RUNTIME_DIR"] = str(Path(folder) / "runtime")
        how = "FAILED"
        try:
            scene()
            how = "passed"
        except Exception:
            traceback.print_exc(file=sys.stdout)
        finally:
            _end_what_is_left()
            os.chdir(Path(folder).parent)
    print(f"{how}: {what} ({time.monotonic() - began:.0f} s)", flush=True)
    return how == "passed"


def _end_what_is_left() -> None:
    for folder in runs_in_progress():
        typed("stop", str(folder.path), "--now", codes=(0, 1, 2, 3, 4, 5))
