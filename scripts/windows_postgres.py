"""A sink of a run under wine, and its database on this side, which is killed meanwhile.

Part `postgres` of `scripts/test_windows.py`. The server is that of the tests: where the Python that runs this has not
what they need, it says so.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from environment import ROOT, say
from windows_environment import Windows

_LIMIT_S = 120.0
_TOPOLOGY = """
name: laboratory
drain_limit: 60s
board: {type: simulated, waveform: counter}
task:
  rate_hz: 1000
  samples_per_block: 50
  channels: [{name: a, kind: raw}, {name: b, kind: raw}]
sinks:
  archive: {type: hbuf, path: archive.dt-raw}
  base: {type: postgres, dsn: "${LAB_DSN}"}
"""


def a_database_here(there: Windows) -> bool:
    """True if it has every sample of the run there once, though it was killed and came back."""
    sys.path.insert(0, str(ROOT / "tests" / "sinks"))
    try:
        server = importlib.import_module("postgres_server").PostgresServer()
    except ImportError as error:
        say(f"no server for a sink there: {error}")
        return True
    began, how = time.monotonic(), "FAILED"
    try:
        n_samples = _filled(there, server)
        how = "passed"
    except Exception:
        n_samples = 0
        traceback.print_exc(file=sys.stdout)
    finally:
        server.close()
    seconds = time.monotonic() - began
    print(f"{how}: {n_samples} samples in a database that was killed meanwhile ({seconds:.0f} s)", flush=True)
    return how == "passed"


def _filled(there: Windows, server: Any) -> int:
    folder = there.work / "postgres"
    folder.mkdir()
    (folder / "laboratory.yaml").write_text(_TOPOLOGY, encoding="utf-8")
    environment = {**there.environment, "LAB_DSN": server.dsn, "DTOPIPE_RUNTIME_DIR": r"C:\work\postgres\runtime"}

    def begun(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            there.command("-P", "-m", "dtopipe", *words), cwd=folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ended(process: subprocess.Popen[bytes]) -> str:
        said, complained = process.communicate(timeout=_LIMIT_S)
        assert process.returncode == 0, f"{process.args!r} ended with {process.returncode}\n{said!r}{complained!r}"
        return said.decode("utf-8", "replace")

    def n_rows() -> int:
        with contextlib.suppress(Exception):
            return int(server.sql("SELECT count(*) FROM laboratory.samples")[0][0])
        # There is no such table yet.
        return 0

    run = begun("up", "laboratory.yaml", "--json")
    try:
        _until("rows come", lambda: n_rows() > 500)
        server.kill()
        (run_folder,) = folder.glob("runs/laboratory/2*")
        _until("the sink is away", lambda: '"away"' in (run_folder / "events.jsonl").read_text(encoding="utf-8"))
        server.start()
        before = n_rows()
        _until("more rows come", lambda: n_rows() > before + 500)
        ended(begun("stop", "laboratory"))
        record = json.loads(ended(run))
    finally:
        run.kill()
    assert record["verdict"]["state"] == "GOOD", record["verdict"]
    rows = server.sql("SELECT sample_index, a, b FROM laboratory.samples ORDER BY sample_index")
    end: int = record["acquired"]["samples"]
    codes = [tuple(((i * (2 * c + 1) + 257 * c) % 65536) - 32768 for c in range(2)) for i in range(end)]
    assert [row[0] for row in rows] == list(range(end)), f"{len(rows)} rows of {end} samples"
    assert [tuple(row[1:]) for row in rows] == codes
    ended(begun("verify", "laboratory/latest", "--outside"))
    shutil.rmtree(folder, ignore_errors=True)
    return end


def _until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"in vain it was waited that {what}"
        time.sleep(0.1)
