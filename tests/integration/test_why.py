"""`dtopipe why` names the process that a test slows, and the call in which it is slow."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cut_mounts import mounted
from forgetful_disk import Mode
from laboratory import EVERY_SINK, RunningUp, counter_topology
from power_cut_fixtures import apart, needs_fuse

__all__ = ["apart", "needs_fuse"]

if sys.platform == "win32":
    pytest.skip("a process is stopped by a signal of Unix", allow_module_level=True)


def _limiter(lab: Any) -> dict[str, Any]:
    return lab.dtopipe("why", "--json").json["limiter"] or {}


def _wait_for(lab: Any, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def is_seen() -> bool:
        nonlocal seen
        seen = _limiter(lab)
        return wanted(seen)

    lab.wait_for(is_seen, f"why that {what}")
    return seen


def _stopped(lab: Any, run: RunningUp, process: str, named: str, how: str) -> dict[str, Any]:
    """What is said while this process is stopped; afterwards nothing is, once the run has caught up."""
    run.pause(process)
    try:
        seen = _wait_for(lab, lambda limiter: (limiter.get("process"), limiter.get("how")) == (named, how), named)
        told = lab.dtopipe("why").stdout
        assert f"{named} " in told
        assert f"since {seen['since']}, in {seen['call']}" in told
        assert f"kill -CONT {run.pid(process)}" in told
    finally:
        run.go_on(process)
    _wait_for(lab, lambda limiter: not limiter, "all keep up")
    return seen


def test_why_names_whoever_is_slow_one_after_the_other(lab: Any) -> None:
    sinks = {name: EVERY_SINK[name] | {"flush_interval": "50ms"} for name in ("raw", "table", "base")}
    run = lab.start(counter_topology(2) | {"ring": {"slots": 16}, "sinks": sinks})
    run.wait_for_samples("table", 500)
    assert "nothing limits lab: every process keeps up" in lab.dtopipe("why").stdout
    # The journal covers it; the journal itself holds the board.
    assert "stopped in" in _stopped(lab, run, "table", "table", "lags")["trouble"]
    _stopped(lab, run, "raw", "raw", "holds")
    _stopped(lab, run, "acquirer", "board", "board")
    with sqlite3.connect(run.folder / "base.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        seen = _wait_for(lab, lambda limiter: limiter.get("process") == "base", "base is locked")
        assert (seen["how"], seen["call"]) == ("lags", "commit")
        other.execute("ROLLBACK")
    other.close()
    _wait_for(lab, lambda limiter: not limiter, "base has caught up")
    lab.dtopipe("attach", "--sink", "csv", "--name", "slow", "-o", "delay_per_block=400ms")
    seen = _wait_for(lab, lambda limiter: limiter.get("process") == "slow", "slow is slow")
    assert (seen["how"], seen["call"]) == ("lags", "convert")
    told = lab.dtopipe("why").stdout
    assert told.startswith("slow limits the run: it is behind and does not catch up,")
    assert f"dtopipe detach slow {'/'.join(run.folder.parts[-2:])}" in told
    # The second time it is not waited for.
    run.interrupt()
    run.interrupt()
    run.finish()
    record = json.loads((run.folder / "run.json").read_text())
    named = {(each["process"], each["how"]) for each in record["limited"]}
    assert {("table", "lags"), ("raw", "holds"), ("board", "board"), ("slow", "lags")} <= named
    told = lab.dtopipe("why", "lab/latest").stdout
    assert told.startswith("slow ")
    assert "dtopipe check FILE" in told or "the end waited for" in told


def test_why_names_the_sink_that_holds_a_board_that_waits_and_the_board_where_nobody_does(lab: Any) -> None:
    slow = {"type": "csv", "path": "slow.csv", "delay_per_block": "20ms"}
    topology = counter_topology(2, pace="max") | {"sinks": {"slow": slow}}
    run = lab.start(topology)
    run.wait_for_samples("slow", 1)
    seen = _wait_for(lab, lambda limiter: limiter.get("how") == "holds", "slow holds")
    assert (seen["process"], seen["call"]) == ("slow", "convert")
    lab.dtopipe("stop", "--now", "lab")
    run.finish()


def test_why_tells_a_disk_that_is_slow_to_write_from_one_that_is_slow_to_sync(lab: Any, apart: Path) -> None:
    slow = apart / "slow"
    with mounted(apart / "disk", apart / "image", Mode.STRICT, 0, slow=slow) as disk:
        table = {"type": "csv", "path": str(disk.place / "t.csv"), "flush_interval": "50ms", "sync": "100ms"}
        # A ring of a third of a second: a sink without a journal holds the board soon.
        run = lab.start(counter_topology(2, 20) | {"ring": {"slots": 16}, "sinks": {"table": table}})
        run.wait_for_samples("table", 100)
        for what, call in (("write", "write"), ("fsync", "sync")):
            # Replaced whole: the disk reads it at any time.
            draft = apart / "slow.new"
            draft.write_text(f"{what} t.csv 1.5")
            draft.replace(slow)
            _wait_for_table(lab, call)
            slow.unlink()
            _wait_for(lab, lambda limiter: not limiter, "all keep up")
        run.interrupt()
        run.finish()


def _wait_for_table(lab: Any, call: str) -> None:
    wanted = {"process": "table", "how": "holds", "call": call}
    _wait_for(lab, lambda limiter: wanted.items() <= limiter.items(), f"table is slow to {call}")
