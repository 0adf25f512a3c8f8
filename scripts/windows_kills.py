"""Runs whose processes are killed at random: `py scripts/windows_kills.py [--runs 30] [--seed 7]`.

A journal and every kind of file. Some of the sinks and the acquirer are killed at some moments, then the run is stopped
in order, or its supervisor is killed, or every process of it at once, and it is repaired. Each output is held to the
counter's formula: every sample once, and absent what the record says that the board lost.

It runs on Windows itself, and under wine by `scripts/test_windows.py kills`.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import secrets
import sys
import time
from functools import partial
from pathlib import Path

import psutil

# A Python that takes nothing from the folder of its script is told of it.
sys.path.insert(0, str(Path(__file__).parent))

from counter_outputs import codes_are_exact, gaps_of
from typed_commands import LIMIT_S, Begun, begun, ended_at_once, is_passed, says_anything, typed, until

_OUTPUTS = {
    "archive": "archive.dt-raw",
    "table": "table.csv",
    "lines": "lines.jsonl",
    "database": "run.db",
    "columns": "run.parquet",
    "arrays": "run.h5",
}
_TYPES = ("hbuf", "csv", "jsonl", "sqlite", "parquet", "hdf5")
_ACQUIRER = "acquirer"
# It is not the budget of restarts that is looked at: deaths are forgotten soon, so that pauses stay short.
_RESTART = "restart: {max: 1000, within: 1s}"
_TOPOLOGY = f"""
name: kills
drain_limit: 60s
board: {{type: simulated, waveform: counter, {_RESTART}}}
task:
  rate_hz: 1000
  samples_per_block: 50
  # Half a minute: the journal holds the acquirer while it is started again, and a machine may be slow at that.
  driver_buffers: 600
  channels:
    - {{name: a, kind: raw}}
    - {{name: b, kind: raw}}
ring: {{seconds: 8}}
sinks:
""" + "".join(
    f"  {name}: {{type: {kind}, path: {path}, {_RESTART}}}\n"
    for kind, (name, path) in zip(_TYPES, _OUTPUTS.items(), strict=True)
)
_ENDINGS = ("stopped", "supervisor killed", "all killed at once")


def a_run_under_kills(dice: random.Random) -> None:
    """One, from its start until every output was counted. Raises AssertionError."""
    ending = dice.choice(_ENDINGS)
    pauses = [round(dice.uniform(0.05, 2.5), 2) for _ in range(dice.randint(2, 6))]
    # The acquirer seldom: each of its deaths costs a gap, beside which others are hard to see.
    victims = [dice.choice([*_OUTPUTS, *_OUTPUTS, _ACQUIRER]) for _ in pauses]
    print(f"   {', '.join(f'{p:g} s {v}' for p, v in zip(pauses, victims, strict=True))}, {ending}", flush=True)
    run = begun("kills", _TOPOLOGY)
    until("the board gives samples", lambda: max(run.committed().values(), default=0) > 0)
    for pause_s, victim in zip(pauses, victims, strict=True):
        time.sleep(pause_s)
        status = run.status()
        pid = (status["board"] if victim == _ACQUIRER else status["sinks"][victim])["pid"]
        with contextlib.suppress(psutil.NoSuchProcess):
            if pid is not None:
                psutil.Process(pid).kill()
    time.sleep(dice.uniform(0.0, 2.0))
    committed = run.committed()
    end = _ended(run, ending)
    for name, samples in committed.items():
        assert end >= samples, f"{name} had committed {samples}, and the run ends with {end}"


def _ended(run: Begun, ending: str) -> int:
    """The index behind the run's last sample, up to which every output has what it is to have."""
    if ending == "stopped":
        typed("stop", run.name, codes=(0, 3))
    elif ending == "supervisor killed":
        supervisor = psutil.Process(run.pid)
        workers = supervisor.children(recursive=True)
        supervisor.kill()
        assert not psutil.wait_procs(workers, timeout=LIMIT_S)[1], "a process outlives its supervisor"
    else:
        ended_at_once(run)
    if ending != "stopped":
        typed("repair", str(run.folder), codes=(0, 3))
    record = until("the run has its verdict", run.verdict)
    gaps, end = gaps_of(run.folder), record["acquired"]["end_sample_index"]
    assert {cause for _, _, cause in gaps} <= {"acquirer_restart", "board_overrun"}, gaps
    wanted = "INCOMPLETE" if gaps else "GOOD" if ending == "stopped" else "GOOD (repaired)"
    assert record["verdict"]["state"] == wanted, record["verdict"]
    for path in _OUTPUTS.values():
        held = codes_are_exact(run.folder / path, gaps)
        assert held == end, f"{path} ends with {held}, the run with {end}"
    typed("verify", str(run.folder), codes=(3 if gaps else 0,))
    return int(end)


def main() -> int:
    """0 if each run has kept its promises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None, help="Of the first run; each further one has the next.")
    options = parser.parse_args()
    says_anything()
    first = secrets.randbelow(10**6) if options.seed is None else options.seed
    seeds = range(first, first + options.runs)
    # Of a number alone neighbours are alike at first.
    passed = [is_passed(f"--seed {each}", partial(a_run_under_kills, random.Random(f"seed {each}"))) for each in seeds]
    print(f"{sum(passed)} of {len(passed)} runs under kills passed", flush=True)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
