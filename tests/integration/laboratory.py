"""A laboratory for whole runs: real `dtopipe` processes in a folder of their own."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import system
import yaml
from click.testing import CliRunner
from leftovers import module_of, processes_with, unused_segments
from numpy.typing import NDArray
from ready_commands import Command, Commands

from dtopipe.cli.main import main
from dtopipe.cli.recovery import recover_killed
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.runtime import entries
from dtopipe.model.errors import DtopipeError
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot

PATIENCE_S = 60.0
EVERY_SINK = {
    "raw": {"type": "hbuf", "path": "raw.dt-raw"},
    "table": {"type": "csv", "path": "table.csv"},
    "lines": {"type": "jsonl", "path": "lines.jsonl"},
    "base": {"type": "sqlite", "path": "base.db"},
    "columns": {"type": "parquet", "path": "columns.parquet"},
    "arrays": {"type": "hdf5", "path": "arrays.h5"},
}


def counter_codes(n_channels: int, start: int, stop: int) -> NDArray[np.int16]:
    """The formula of the contract: (n_channels, stop - start)."""
    c = np.arange(n_channels, dtype=np.int64)[:, None]
    i = np.arange(start, stop, dtype=np.int64)[None, :]
    return (((i * (2 * c + 1) + 257 * c) % 65536) - 32768).astype(np.int16)


def counter_topology(
    n_channels: int = 3, samples_per_block: int = 100, rate_hz: float = 1000.0, kind: str = "raw", **board: Any
) -> dict[str, Any]:
    """A topology on the counter, codes stored as they are."""
    channels = [{"name": f"ch{c}", "kind": kind, "physical_channel": c} for c in range(n_channels)]
    return {
        "name": "lab",
        "board": {"type": "simulated", "waveform": "counter", **board},
        # A board that is patient: what these tests are about is not the load of the machine.
        "task": {
            "rate_hz": rate_hz,
            "samples_per_block": samples_per_block,
            "driver_buffers": 100,
            "channels": channels,
        },
        "sinks": {},
    }


@dataclass
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class RunningUp:
    """A `dtopipe up` in progress."""

    def __init__(self, process: Command, lab: Lab) -> None:
        self.process = process
        self._lab = lab
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The run folder, once there is one."""
        while self._folder is None:
            # Looked for once only: a folder whose record is being replaced may show none for an instant.
            self._folder = next(reversed(self._lab.run_folders()), None)
            if self._folder is None and self.process.poll() is not None and not self._lab.run_folders():
                raise AssertionError(f"no run has begun: {self.process.communicate()[1]}")
            time.sleep(0.005)
        return self._folder

    def events(self) -> list[dict[str, Any]]:
        with contextlib.suppress(OSError):
            return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]
        return []

    def wait_until(self, event: str, process: str | None = None, times: int = 1) -> None:
        """Until the run's events show it."""

        def seen() -> bool:
            found = [line["event"] == event and process in (None, line.get("process")) for line in self.events()]
            return times <= found.count(True)

        self._lab.wait_for(seen, f"event {event} of {process}")

    def wait_for_samples(self, sink: str, committed: int) -> None:
        """Until this sink has committed so far."""

        def is_there() -> bool:
            # Looked at first: whoever ends in between has committed all that it will.
            over = self.process.poll() is not None
            if self.committed(sink) >= committed:
                return True
            assert not over, f"the run ended before {committed} samples were in {sink}:\n{self.told()}"
            return False

        self._lab.wait_for(is_there, f"{committed} samples in {sink}")

    def told(self) -> str:
        """What a run has to say for itself when a test failed: its exit code, last events and last log lines."""
        code = self.process.poll()
        lines = [f"-- {' '.join(map(str, self.process.args))}: exit code {code}"]
        if code is not None:
            lines += self.process.communicate()[1].splitlines()
        if self._folder:
            for path in (self._folder / "events.jsonl", *sorted(self._folder.glob("logs/*"))):
                with contextlib.suppress(OSError):
                    lines += [f"  {path.name}:", *path.read_text(errors="replace").splitlines()[-12:]]
        return "\n".join(lines)

    def committed(self, sink: str) -> int:
        """By now; -1 if nobody answers."""
        status = self.status()
        return int(status["sinks"][sink]["committed"]) if status else -1

    def status(self) -> dict[str, Any] | None:
        """As `dtopipe status` asks, without starting a Python each time; None if nobody answers."""
        # On a busy machine an answer may take long.
        with contextlib.suppress(DtopipeError):
            answer = ask_run(RunFolder(self.folder), AskStatus(), StatusSnapshot)
            return None if answer is None else dict(answer.snapshot)
        return None

    def pid(self, process: str) -> int:
        """Of the present process of that name, as the events have it."""
        self.wait_until("started", process)
        return int([e["pid"] for e in self.events() if e["event"] == "started" and e.get("process") == process][-1])

    def kill(self, process: str) -> None:
        """The present process of that name, as the next two do."""
        system.kill(self.pid(process))

    def pause(self, process: str) -> None:
        system.pause(self.pid(process))

    def go_on(self, process: str) -> None:
        system.go_on(self.pid(process))

    def interrupt(self) -> None:
        """Ctrl-C."""
        system.ctrl_c(self.process)

    def kill_supervisor(self) -> None:
        self.process.kill()
        self.process.communicate()

    def finish(self) -> Ended:
        """Wait for the end; the record is on stdout."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        return Ended(self.process.wait(), stdout, stderr)


class Lab:
    """A folder with topologies and runs."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        self.folder = folder
        self._commands = commands
        self._running: list[RunningUp] = []

    def write(self, topology: dict[str, Any], name: str = "topology.yaml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(topology, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return path

    def dtopipe(self, *arguments: str) -> Ended:
        """Run a command to its end; one that only looks at runs is spared a Python of its own."""
        if arguments[0] in ("runs", "status", "why", "verify", "attach", "detach"):
            with contextlib.chdir(self.folder):
                seen = CliRunner().invoke(main, list(arguments))
            if seen.exception and not isinstance(seen.exception, SystemExit):
                raise seen.exception
            return Ended(seen.exit_code, seen.stdout, seen.stderr)
        return self.run(*arguments).finish()

    def up(self, topology: dict[str, Any], *arguments: str) -> Ended:
        """A whole run."""
        return self.start(topology, *arguments).finish()

    def start(self, topology: dict[str, Any], *arguments: str) -> RunningUp:
        """A run in the background of the test."""
        return self.run("up", str(self.write(topology)), "--json", *arguments)

    def run(self, *words: str) -> RunningUp:
        """Any command, in the background of the test."""
        process = self._begun(words)
        self._running.append(RunningUp(process, self))
        return self._running[-1]

    @property
    def settings(self) -> dict[str, str]:
        """What its commands find in their environment besides."""
        return {}

    def run_folders(self) -> list[Path]:
        return sorted(path.parent for path in self.folder.glob("runs/*/*/run.json"))

    @property
    def run_folder(self) -> Path:
        return self.run_folders()[-1]

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                told = "\n".join(running.told() for running in self._running)
                raise AssertionError(f"no {what} within {PATIENCE_S:g} s\n{told}")
            time.sleep(0.05)

    def let_pass(self, board_time_s: float) -> None:
        """Until the board's clock, which nobody can stop, has gone on by so much."""
        until = time.monotonic() + board_time_s
        self.wait_for(lambda: time.monotonic() >= until, "end of the wait")

    def segments(self) -> list[str]:
        """Shared memory that this test's runs left: what came since, and no process has mapped."""
        return unused_segments(Path(os.environ["DTOPIPE_RUNTIME_DIR"]))

    def processes(self) -> list[psutil.Process]:
        """Processes of runs of this test, whoever started them."""
        found = []
        for process in processes_with("DTOPIPE_RUNTIME_DIR", os.environ["DTOPIPE_RUNTIME_DIR"]):
            with contextlib.suppress(psutil.Error):
                if module_of(process.cmdline()).startswith("dtopipe.workers."):
                    found.append(process)
        return found

    def wait_for_the_end_of_all(self) -> None:
        """Until no process of this test's runs is left, and the system has taken their locks back."""
        self.wait_for(
            lambda: not self.processes() and not any(entry.anybody_is_alive() for entry in entries()),
            "end of the processes",
        )

    def _begun(self, words: Sequence[str]) -> Command:
        return self._commands.start(words, self.folder, {**os.environ, **self.settings})

    def close(self) -> None:
        for running in self._running:
            running.process.kill()
            running.process.communicate()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.resume()
                process.kill()
        self.recover_killed()

    def recover_killed(self) -> None:
        """What the next `up` of this user does first."""
        recover_killed()


@pytest.fixture
def lab(tmp_path: Path, ready_commands: Commands) -> Iterator[Lab]:
    """A laboratory that is left clean."""
    here = Lab(tmp_path, ready_commands)
    yield here
    here.close()


def read_wide(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(sample_index, values (n_channels, n)) of a wide output, read with the tools that a user would take."""
    if path.suffix == ".csv":
        from pyarrow import csv

        table = csv.read_csv(path)
        array = np.array([table[0].to_numpy(), *(table[n].to_numpy() for n in range(3, table.num_columns))], float).T
    elif path.suffix == ".jsonl":
        documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        array = np.array(
            [[d["sample_index"], *list(d.values())[3:]] for d in documents], dtype=float
        )  # None becomes NaN
    elif path.suffix == ".db":
        with contextlib.closing(sqlite3.connect(path)) as base:
            columns = [row[1] for row in base.execute("PRAGMA table_info(samples)")][4:]
            names = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
            rows = base.execute(f"SELECT sample_index, {names} FROM samples ORDER BY rowid").fetchall()
        array = np.array(rows, dtype=float)
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            codes = [rows[:] * rows.attrs["scale"] + rows.attrs["offset"] for rows in file["channels"].values()]
            values = np.array(codes, float)
            values[np.array([rows[:] for rows in file["sensor_status"].values()]) != 0] = np.nan
            return file["sample_index"][:], values
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        frame = pq.read_table(path)
        array = np.array([frame[0].to_numpy(), *(frame[n].to_numpy() for n in range(3, frame.num_columns))]).T
    else:
        from dtopipe.wire.dtraw import iter_chunks

        parts = [(header.first_sample_index, codes) for header, codes in iter_chunks(path) if codes.shape[1]]
        index = np.concatenate([np.arange(first, first + codes.shape[1]) for first, codes in parts])
        return index, np.concatenate([codes for _, codes in parts], axis=1).astype(float)
    if array.size == 0:
        return np.zeros(0, np.int64), np.zeros((0, 0))
    return array[:, 0].astype(np.int64), array[:, 1:].T
