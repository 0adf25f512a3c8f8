"""Runs that one machine makes and another follows, one of them Windows' Python under wine, by a link that is cut.

Part `links` of `scripts/test_windows.py`. Standard library, and for this side a Python that has what dtopipe needs.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from counter_outputs import codes_are_exact
from environment import ROOT, ensure, suitable_python
from windows_environment import Windows

_CUTS = 10
# Some shorter than what a peer needs to come again, some longer than half of the ring.
_CUT_S = (0.1, 0.5, 1.5)
# What comes through until the next cut: samples, and more than a greeting.
_BYTES_BETWEEN = 6000
_LIMIT_S = 120.0
_SOURCE = """
name: source
drain_limit: 60s
listen: {{endpoint: "tcp://127.0.0.1:{port}"}}
board: {{type: simulated, waveform: counter}}
task:
  rate_hz: 2000
  samples_per_block: 50
  # A board that is patient: it is links that are looked at, and not how busy the machine is.
  driver_buffers: 200
  channels: [{{name: a, kind: raw}}, {{name: b, kind: raw}}]
ring: {{seconds: 2}}
sinks:
  archive: {{type: hbuf, path: archive.dt-raw}}
  table: {{type: csv, path: table.csv}}
"""
_FOLLOWER = """
name: follower
drain_limit: 60s
board: {{type: remote, endpoint: "tcp://127.0.0.1:{port}", server_key: {key}}}
sinks:
  copy: {{type: hbuf, path: copy.dt-raw}}
  table: {{type: csv, path: table.csv}}
  lines: {{type: jsonl, path: lines.jsonl}}
  base: {{type: sqlite, path: base.db}}
"""


class Machine:
    """A folder with topologies, runs and a key of its own; `name`: of the key."""

    def __init__(self, name: str, folder: Path, command: list[str], environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder = name, folder
        self._command, self._environment = command, environment

    def begun(self, *words: str) -> subprocess.Popen[str]:
        """`dtopipe WORDS`, which goes on."""
        return subprocess.Popen(
            [*self._command, *words], cwd=self.folder, env=self._environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip

    def typed(self, *words: str) -> str:
        """What `dtopipe WORDS` says on its output. Raises AssertionError where it does not end with 0."""
        return ended(self.begun(*words))

    def exchange(self, other: Machine) -> None:
        """The other machine is given this one's key, and lets its owner connect."""
        public = Path(self.name + ".pub")
        (other.folder / public).write_text(self.typed("keys", "show"), encoding="utf-8")
        other.typed("keys", "authorize", str(public))

    def run_folder(self, name: str) -> Path:
        """Of the newest run of that topology."""
        return max(path.parent for path in self.folder.glob(f"runs/{name}/*/run.json"))


class Cable:
    """A relay between a port of its own and another one, that can be cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._is_out = False
        self._ends: list[socket.socket] = []
        # From there to here, since the link was mended.
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, in_order: bool) -> None:
        """Every connection ends, and none is made. `in_order`: as a program ends one; else it is reset."""
        self._is_out = True
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                if not in_order:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
        self.passed = 0

    def mend(self) -> None:
        """New connections are made again."""
        self._is_out = False

    def close(self) -> None:
        """End it."""
        self._listener.close()
        self.cut(in_order=True)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._is_out:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._target), 5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(*ends, ends[0] is far), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                if is_counted and not self._is_out:
                    self.passed += len(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        source.close()


def cut_links(there: Windows) -> bool:
    """True if a run under wine was followed from here, and one from here under wine, whatever became of the link."""
    python = _own_python()
    with tempfile.TemporaryDirectory() as folder:
        here = Machine(
            "lab", Path(folder) / "lab", [python, "-P", "-m", "dtopipe"],
            {**_without_ours(), "PYTHONPATH": str(ROOT), **_places(Path(folder) / "runtime", Path(folder) / "keys")},
        )  # fmt: skip
        work = there.work / "links"
        wine = Machine(
            "windows", work, there.command("-P", "-m", "dtopipe"),
            {**there.environment, **_places(r"C:\work\links\runtime", r"C:\work\links\keys")},
        )  # fmt: skip
        try:
            for machine, other in ((here, wine), (wine, here)):
                machine.typed("keys", "new", "--name", machine.name)
                machine.exchange(other)
            return [_passed(wine, here), _passed(here, wine)] == [True, True]
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _passed(source: Machine, follower: Machine) -> bool:
    began = time.monotonic()
    try:
        n_samples = _followed(source, follower)
    except Exception:
        traceback.print_exc()
        n_samples = 0
    how = f"{n_samples} samples" if n_samples else "not what was acquired"
    words = f"{follower.name} follows {source.name}, {_CUTS} cuts: {how}"
    print(f"{'passed' if n_samples else 'FAILED'}: {words} ({time.monotonic() - began:.0f} s)", flush=True)
    return n_samples > 0


def _followed(source: Machine, follower: Machine) -> int:
    """How many samples were acquired there, each of which is here. Raises AssertionError, subprocess.TimeoutExpired."""
    port = _free_port()
    with contextlib.closing(Cable(port)) as cable, contextlib.ExitStack() as left:
        (source.folder / "source.yaml").write_text(_SOURCE.format(port=port), encoding="utf-8")
        (follower.folder / "follower.yaml").write_text(
            _FOLLOWER.format(port=cable.port, key=f"{source.name}.pub"), encoding="utf-8"
        )
        runs = [source.begun("up", "source.yaml", "--json"), follower.begun("up", "follower.yaml", "--json")]
        for run in runs:
            left.callback(_ended_somehow, run)
        for number in range(_CUTS):
            _until(f"samples come before cut {number + 1}", lambda: cable.passed > _BYTES_BETWEEN, runs)
            cable.cut(in_order=number % 2 == 0)
            time.sleep(_CUT_S[number % len(_CUT_S)])
            cable.mend()
        _until("samples come behind the last cut", lambda: cable.passed > _BYTES_BETWEEN, runs)
        source.typed("stop", "source")
        record, copied = (json.loads(ended(run)) for run in runs)
        for found in (record, copied):
            assert found["verdict"]["state"] == "GOOD", found["verdict"]
        end = record["acquired"]["end_sample_index"]
        assert record["acquired"]["samples"] == copied["acquired"]["samples"] == end, copied["acquired"]
        assert record["run_id"] == copied["run_id"]
        folder = follower.run_folder("follower")
        breaks = sum(event["event"] == "away" for event in _events(folder))
        assert breaks, "nobody saw that the link was cut"
        for name in ("table.csv", "lines.jsonl", "base.db"):
            assert codes_are_exact(folder / name) == end, f"{name} does not end with sample {end - 1}"
        follower.typed("verify", "follower/latest")
        return int(end)


def ended(process: subprocess.Popen[str]) -> str:
    """What it says on its output. Raises AssertionError where it does not end with 0."""
    said, complained = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 0, f"{process.args!r} ended with {process.returncode}\n{said}{complained}"
    return said


def _until(what: str, condition: Callable[[], bool], runs: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        for run in runs:
            assert run.poll() is None, f"{run.args!r} has ended with {run.returncode}: {run.communicate()}"
        assert time.monotonic() < deadline, f"in vain it was waited that {what}"
        time.sleep(0.02)


def _ended_somehow(run: subprocess.Popen[str]) -> None:
    """What under wine outlives its launcher ends with the environment."""
    run.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.communicate(timeout=5)


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / "events.jsonl").open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _own_python() -> str:
    """That which runs this if it has what dtopipe needs, else the one of the checkout's environment."""
    asked = subprocess.run(
        [sys.executable, "-P", "-m", "dtopipe", "--version"], cwd=ROOT,
        env={**_without_ours(), "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    return sys.executable if asked.returncode == 0 else str(ensure(".venv", suitable_python(), {"parquet"}))


def _without_ours() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("DTOPIPE", "PYTHON"))}


def _places(runtime: Path | str, keys: Path | str) -> dict[str, str]:
    return {"DTOPIPE_RUNTIME_DIR": str(runtime), "DTOPIPE_KEYS_DIR": str(keys)}


def _free_port() -> int:
    """One that the system gives to nobody who connects, of which one may come to be connected to itself."""
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
