"""A `dtopipe up` in a process of its own, and how to get at its parts."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from dtopipe.chaos.levers import Levers
from dtopipe.host.own_python import own_command, own_environment
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import reached
from dtopipe.model.errors import DtopipeError, RingError, UsageError
from dtopipe.model.plan import RunPlan
from dtopipe.shm.calls import CallWords
from dtopipe.shm.ring import Ring
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot, Stopping, StopRun

_START_LIMIT_S = 60.0
_END_LIMIT_S = 300.0
_LOOK_EVERY_S = 0.02
_ACQUIRER = "acquirer"


class RunUnderTest:
    """The run, once it is running, until it has ended."""

    def __init__(self, process: subprocess.Popen[str], folder: RunFolder, levers: Levers) -> None:
        self._process = process
        self._ring = _ring_of(folder)
        self.folder = folder
        self.levers = levers
        self.said = ""

    def goes_on(self) -> bool:
        """True while its supervisor lives."""
        return self._process.poll() is None

    def process_of(self, name: str) -> psutil.Process | None:
        """The present process of a sink, or of the acquirer; None where there is none, or it is somebody else's."""
        pid = self._facts(name).get("pid")
        with contextlib.suppress(psutil.Error):
            process = None if pid is None else psutil.Process(pid)
            # Its number may be another program's by now, which the run's supervisor has not started.
            if process and self._process.pid in (parent.pid for parent in process.parents()):
                return process
        return None

    def calls_of(self, name: str) -> CallWords | None:
        """The words that tell in which call a sink's present process is."""
        row = self._facts(name).get("row")
        return None if row is None or self._ring is None else CallWords.of_row(self._ring, row)

    def stop(self) -> None:
        """Begin its orderly end, as `dtopipe stop` does; returns at once."""
        with contextlib.suppress(DtopipeError):
            ask_run(self.folder, StopRun(), Stopping)

    def end(self) -> None:
        """Wait for its end. Raises DtopipeError if that does not come."""
        try:
            self.said = self._process.communicate(timeout=_END_LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            raise DtopipeError(f"the run {self.folder.path} did not end within {_END_LIMIT_S:g} s") from None

    def close(self) -> None:
        """Let go of its shared memory."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _facts(self, name: str) -> dict[str, Any]:
        """What its status says of one process."""
        with contextlib.suppress(DtopipeError):
            answer = ask_run(self.folder, AskStatus(), StatusSnapshot)
            if answer is not None:
                found = answer.snapshot["board"] if name == _ACQUIRER else answer.snapshot["sinks"].get(name, {})
                return dict(found)
        return {}


@contextlib.contextmanager
def running(file: Path, plan: RunPlan, run_dir: Path) -> Iterator[RunUnderTest]:
    """The run, once it is running; ended, by force if need be, when this is left. Raises UsageError, DtopipeError."""
    # It is not the budget that is tested: deaths are forgotten soon, so that pauses stay short. A journal's grow as
    # they would, for the ring bounds them.
    sets = [f"sinks.{sink.name}.restart.max=1000000" for sink in plan.sinks]
    sets += [f"sinks.{sink.name}.restart.within=1s" for sink in plan.sinks if not sink.is_journal]
    # What it would tell of is not true.
    sets.append("on={}")
    levers = Levers()
    sets += levers.sets
    words = [word for text in sets for word in ("--set", text)]
    before = {path.parent for path in plan.run_root.glob("*/*/run.json")}
    command = own_command("dtopipe", "up", str(file), "--simulate", "--json")
    process = subprocess.Popen(
        [*command, "--run-dir", str(run_dir), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        errors="replace", env=own_environment(levers.environment),
    )  # fmt: skip
    run = None
    try:
        run = RunUnderTest(process, _begun(process, plan.run_root / plan.name, before), levers)
        yield run
    finally:
        if run is not None:
            run.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        process.communicate()
        levers.close()


def _begun(process: subprocess.Popen[str], runs: Path, before: set[Path]) -> RunFolder:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        for path in runs.glob("*/events.jsonl"):
            if path.parent not in before and '"running"' in path.read_text(encoding="utf-8"):
                return RunFolder(path.parent, outside=True)
        if process.poll() is not None:
            raise UsageError(f"the run ended before it had begun:\n{process.communicate()[1].strip()}")
        time.sleep(_LOOK_EVERY_S)
    raise DtopipeError(f"the run was not running within {_START_LIMIT_S:g} s")


def _ring_of(folder: RunFolder) -> Ring | None:
    """The run's ring; None if it has ended already."""
    facts = reached(folder)
    with contextlib.suppress(RingError):
        return Ring.attach(facts.segment, facts.held) if facts else None
    return None
