"""Disks that fill, go read-only or go away: the sink waits, the others go on, and every output is whole in the end."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide

ELSEWHERE = ("table", "lines", "base", "columns")


def _topology(elsewhere: dict[str, Path], **extra: Any) -> dict[str, Any]:
    """A journal in the run folder, and these sinks in folders of their own; a ring of a second."""
    topology = counter_topology(4, 100, rate_hz=5000.0) | {"ring": {"seconds": 1}} | extra
    topology["sinks"] = {"raw": {**EVERY_SINK["raw"], "flush_interval": "50ms"}}
    for name, folder in elsewhere.items():
        folder.mkdir(parents=True, exist_ok=True)
        sink = EVERY_SINK[name]
        topology["sinks"][name] = {**sink, "path": str(folder / sink["path"]), "flush_interval": "50ms"}
    return topology


def _assert_whole(topology: dict[str, Any], lab: Any, end: int) -> None:
    expected = counter_codes(4, 0, end)
    for name, sink in topology["sinks"].items():
        index, values = read_wide(lab.run_folder / sink["path"])
        assert np.array_equal(index, np.arange(end)), name
        assert np.array_equal(values, expected), name
    assert lab.dtopipe("verify", "lab").code == 0


def _assert_good(topology: dict[str, Any], lab: Any, ended: Any, *, restarts: int = 0) -> None:
    assert ended.code == 0, ended.stdout + ended.stderr
    record = ended.json
    assert record["acquired"]["overrun_samples"] == 0
    assert {name: sink["restarts"] for name, sink in record["sinks"].items() if sink["restarts"]} == (
        {"table": restarts} if restarts else {}
    )
    _assert_whole(topology, lab, record["acquired"]["end_sample_index"])


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_full_disk_of_an_output_is_waited_for_and_the_others_never_notice(
    lab: Any, small_disk: Any, name: str
) -> None:
    disk = small_disk("8m")
    other = next(other for other in ELSEWHERE if other != name)
    topology = _topology({name: disk.path, other: lab.folder / "large"})
    running = lab.start(topology)
    running.wait_for_samples(name, 500)
    ballast = disk.fill()
    running.wait_until("away", name)
    # For longer than the ring: what it lacks by then is in the journal.
    at = max(running.committed(other), running.committed("raw"))
    running.wait_for_samples("raw", at + 7000)
    running.wait_for_samples(other, at + 7000)
    ballast.unlink()
    running.wait_until("back", name)
    running.interrupt()
    ended = running.finish()
    _assert_good(topology, lab, ended)
    away = [event for event in running.events() if event["event"] == "away"]
    assert {event["process"] for event in away} == {name}
    assert "space" in away[0]["remedy"]


@pytest.mark.parametrize("back_as", ["the same", "a copy"])
def test_outputs_whose_folder_is_moved_wait_for_it_and_go_on(lab: Any, back_as: str) -> None:
    share, aside = lab.folder / "share", lab.folder / "aside"
    topology = _topology(dict.fromkeys(ELSEWHERE, share))
    running = lab.start(topology)
    for name in ELSEWHERE:
        running.wait_for_samples(name, 500)
    share.rename(aside)
    for name in ELSEWHERE:
        running.wait_until("away", name)
    running.wait_for_samples("raw", running.committed("raw") + 7000)
    assert not share.exists()
    if back_as == "a copy":
        shutil.copytree(aside, share)
    else:
        aside.rename(share)
    for name in ELSEWHERE:
        running.wait_until("back", name)
    running.interrupt()
    _assert_good(topology, lab, running.finish())


def test_a_journal_whose_folder_is_moved_waits_for_it_and_those_who_read_it_wait_with_it(lab: Any) -> None:
    share, aside = lab.folder / "share", lab.folder / "aside"
    topology = _topology({"table": lab.folder / "large"}, ring={"seconds": 2})
    share.mkdir()
    topology["sinks"]["raw"]["path"] = str(share / "raw.dt-raw")
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    share.rename(aside)
    running.wait_until("away", "raw")
    aside.rename(share)
    running.wait_until("back", "raw")
    running.interrupt()
    _assert_good(topology, lab, running.finish())


@pytest.mark.parametrize("name", ["table", "base"])
def test_a_disk_that_became_read_only_is_waited_for(lab: Any, small_disk: Any, name: str) -> None:
    disk = small_disk("8m")
    topology = _topology({name: disk.path})
    # Time to remount: the system refuses it while somebody writes.
    topology["sinks"][name]["restart"] = {"backoff": "1s"}
    running = lab.start(topology)
    running.wait_for_samples(name, 500)
    running.signal(name, signal.SIGKILL)
    running.wait_until("died", name)
    lab.wait_for(lambda: disk.remount("ro"), "read-only disk")
    running.wait_until("away", name)
    assert disk.remount("rw")
    running.wait_until("back", name)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    _assert_whole(topology, lab, ended.json["acquired"]["end_sample_index"])


@pytest.mark.parametrize("name", ["table", "base"])
def test_a_deleted_output_is_said_and_repaired(lab: Any, name: str) -> None:
    topology = _topology({name: lab.folder / "share"})
    running = lab.start(topology)
    running.wait_for_samples(name, 500)
    (lab.folder / "share" / "notes.txt").touch()
    Path(topology["sinks"][name]["path"]).unlink()
    running.wait_until("gave_up", name)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 4
    failure = ended.json["sinks"][name]["failure"]
    assert "deleted or moved away" in failure
    assert "dtopipe repair" in json.dumps(running.events())
    assert lab.dtopipe("repair", "lab").code == 0
    _assert_whole(topology, lab, ended.json["acquired"]["end_sample_index"])
