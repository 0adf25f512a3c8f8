"""One run under faults, from its start to the verdict on what was promised."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtopipe.chaos.faults import Fault, Injector, Kind
from dtopipe.chaos.oracle import Oracle
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.plan import RunPlan
from dtopipe.topology.load import load_plan
from dtopipe.verify.outputs import outputs_of

_START_LIMIT_S = 60.0
_MEAN_PAUSE_S = 0.8
# A sink's budget of restarts is lifted for the run; the acquirer's is what it is.
_ACQUIRER_PAUSE_S = 25.0
_END_LIMIT_S = 300.0
# Only a disk that can be filled in a moment, and freed again, is filled.
_MOST_FILLED_BYTES = 2**30


@dataclass
class Outcome:
    """What was done, what it cost, and what was found not to hold."""

    folder: str
    faults: list[Fault] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def campaign(
    file: Path,
    run_dir: Path,
    seed: int,
    kinds: Sequence[Kind],
    duration_s: float,
    on_fault: Callable[[Fault], None] = lambda fault: None,
) -> Outcome:
    """Run the topology on the simulated board for so long, inject, end, verify. Raises UsageError, TopologyError."""
    dice = random.Random(seed)  # noqa: S311  (to be had again)
    plan = load_plan(file, simulate=True, run_dir=run_dir, rehearsal=True)
    with _running(file, plan, run_dir) as run:
        outcome = Outcome(str(run.folder.path))
        injector = run.injector(dice, plan)
        able = [kind for kind in kinds if injector.can(kind)]
        outcome.skipped = [_why_not(kind) for kind in kinds if kind not in able]
        if not able:
            raise UsageError(f"none of these faults can be injected here: {', '.join(kinds)}")
        began = time.monotonic()
        # Within the first second, then at random; the last ones while the run drains.
        pause_s, acquirer_due_s = dice.uniform(0.0, 0.5), 0.0
        while time.monotonic() - began + pause_s < duration_s and run.goes_on():
            time.sleep(pause_s)
            at_s = round(time.monotonic() - began, 3)
            kind = dice.choice(able)
            if kind is not Kind.ACQUIRER or at_s >= acquirer_due_s:
                acquirer_due_s = at_s + _ACQUIRER_PAUSE_S if kind is Kind.ACQUIRER else acquirer_due_s
                for fault in injector.inject(kind, at_s):
                    outcome.faults.append(fault)
                    on_fault(fault)
            pause_s = dice.expovariate(1 / _MEAN_PAUSE_S)
        time.sleep(max(0.0, duration_s - (time.monotonic() - began)))
        run.stop()
        time.sleep(dice.uniform(0.0, 0.2))
        last = [kind for kind in able if kind is not Kind.ACQUIRER]
        if last and run.goes_on():
            at_s = round(time.monotonic() - began, 3)
            for fault in injector.inject(dice.choice(last), at_s, while_draining=True):
                outcome.faults.append(fault)
                on_fault(fault)
        run.end()
    outcome.record = run.folder.read_record()
    if outcome.record["verdict"] is None:
        raise DtopipeError(f"the run {run.folder.path} ended without a verdict:\n{run.said}")
    outcome.broken = _broken(plan, run.folder, outcome)
    return outcome


class _Run:
    """A `dtopipe up` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], folder: RunFolder) -> None:
        self._process = process
        self.folder = folder
        self.said = ""

    def goes_on(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Its orderly end, as Ctrl-C asks for it."""
        if self.goes_on():
            subprocess.run(
                [sys.executable, "-m", "dtopipe", "stop", str(self.folder.path)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip

    def end(self) -> None:
        try:
            self.said = self._process.communicate(timeout=_END_LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            raise DtopipeError(f"the run {self.folder.path} did not end within {_END_LIMIT_S:g} s") from None

    def injector(self, dice: random.Random, plan: RunPlan) -> Injector:
        names = [sink.name for sink in plan.sinks]
        task = plan.board.task
        ring_s = plan.ring.seconds or ((plan.ring.slots or 64) * task.samples_per_block / task.rate_hz if task else 1.0)
        journal = next((sink.name for sink in plan.sinks if sink.is_journal), None)
        return Injector(dice, names, journal, ring_s, self._pid, _cutter(plan), _filler(self.folder.path))

    def _pid(self, name: str) -> int | None:
        """Of the present process of that name, as the events have it."""
        found = None
        for line in (self.folder.path / "events.jsonl").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event.get("process") == name and event["event"] in ("started", "died", "done"):
                    found = event["pid"] if event["event"] == "started" else None
        return found


@contextlib.contextmanager
def _running(file: Path, plan: RunPlan, run_dir: Path) -> Any:
    """The run, once it is running; killed if anything goes wrong here."""
    # It is not the budget that is tested.
    sets = [word for sink in plan.sinks for word in ("--set", f"sinks.{sink.name}.restart.max=1000000")]
    root = plan.run_root
    before = {path.parent for path in root.glob("*/*/run.json")}
    process = subprocess.Popen(
        [sys.executable, "-m", "dtopipe", "up", str(file), "--simulate", "--json", "--run-dir", str(run_dir), *sets],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield _Run(process, _begun(process, root / plan.name, before))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        process.communicate()


def _begun(process: subprocess.Popen[str], runs: Path, before: set[Path]) -> RunFolder:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        for path in runs.glob("*/events.jsonl"):
            if path.parent not in before and '"running"' in path.read_text(encoding="utf-8"):
                return RunFolder(path.parent)
        if process.poll() is not None:
            raise UsageError(f"the run ended before it had begun:\n{process.communicate()[1].strip()}")
        time.sleep(0.02)
    raise DtopipeError(f"the run was not running within {_START_LIMIT_S:g} s")


def _cutter(plan: RunPlan) -> Callable[[], Any] | None:
    """Ends every connection that dtopipe has to the run's databases, as the server's own death would."""
    from dtopipe.topology.options import postgres_config

    configs = [postgres_config(sink.options, plan.name) for sink in plan.sinks if sink.type == "postgres"]
    if not configs:
        return None
    from dtopipe.sinks.postgres_connection import PostgresConnection

    def cut() -> None:
        for config in configs:
            server = PostgresConnection(config)
            with contextlib.suppress(DtopipeError):
                server.connect()
                server.call(
                    lambda c: c.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name = 'dtopipe' AND pid <> pg_backend_pid()"
                        " AND datname = current_database()"
                    )
                )
            server.close()

    return cut


def _filler(folder: Path) -> Callable[[], Callable[[], None]] | None:
    """Fills the disk of the run folder with a file, where that is a small one."""
    stats = os.statvfs(folder) if hasattr(os, "statvfs") else None
    if stats is None or stats.f_bavail * stats.f_frsize > _MOST_FILLED_BYTES:
        return None
    ballast = folder / "ballast"

    def fill() -> Callable[[], None]:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(2**16)):
                pass
        return lambda: ballast.unlink(missing_ok=True)

    return fill


def _why_not(kind: Kind) -> str:
    if kind is Kind.FULL:
        return "full: the disk of the runs is too large to be filled; give --run-dir on a small one, such as a tmpfs"
    return f"{kind}: there is nothing in this topology to do it to"


def _broken(plan: RunPlan, folder: RunFolder, outcome: Outcome) -> list[str]:
    """Every promise that was not kept, as a sentence."""
    record = outcome.record
    broken = []
    end = record["acquired"]["end_sample_index"]
    task = plan.board.task
    oracle = Oracle(plan.board.options, task) if task is not None else None
    for output in outputs_of(folder, record):
        told = output.record
        if told["start"] + told["samples"] + told["gaps"] != told["stop"]:
            broken.append(f"{output.name}: start + samples + gaps is not stop in its record")
        if told["stop"] != end:
            broken.append(f"{output.name}: its record ends at {told['stop']}, the run at {end}")
        try:
            reader = output.reader()
            position = reader.position()
            held = oracle.hold(reader, output.stream.channels, position.start, position.committed) if oracle else None
        except (DtopipeError, OSError) as error:
            broken.append(f"{output.name}: cannot be read: {error}")
            continue
        if held is None:
            continue
        if held.samples != told["samples"]:
            broken.append(f"{output.name}: it holds {held.samples} samples, its record says {told['samples']}")
        if held.wrong:
            broken.append(f"{output.name}: samples {list(held.wrong)} are not the board's")
        if held.doubled:
            broken.append(f"{output.name}: {held.doubled} samples are there twice")
        if held.disordered and output.type != "postgres":
            broken.append(f"{output.name}: its rows are not in order")
        if held.missing:
            broken.append(f"{output.name}: {', '.join(map(str, held.missing))} is neither there nor a gap")
    verified = subprocess.run(
        [sys.executable, "-m", "dtopipe", "verify", str(folder.path), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    with contextlib.suppress(ValueError, KeyError):
        found = json.loads(verified.stdout)["verdict"]["state"]
        if found.split()[0] != record["verdict"]["state"].split()[0]:
            broken.append(f"verify says {found}, the run record {record['verdict']['state']}")
        return broken
    broken.append(f"verify could not do its work: {verified.stderr.strip()}")
    return broken
