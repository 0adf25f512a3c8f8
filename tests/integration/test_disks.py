"""Disks that fill, go read-only or go away: the sink waits, the others go on, and every output is whole in the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laboratory import EVERY_SINK, counter_codes, counter_topology, read_wide

from dtopipe.cli.live_table import disk_lines

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
    assert lab.dtopipe("verify", "lab", "--outside").code == 0


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
    running.kill(name)
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
    assert lab.dtopipe("repair", "lab", "--outside").code == 0
    _assert_whole(topology, lab, ended.json["acquired"]["end_sample_index"])


def _slow_topology(*names: str, **extra: Any) -> dict[str, Any]:
    """Little enough for a disk of 8 MB to last for some seconds; all in the run folder."""
    topology = counter_topology(4, 50, rate_hz=1000.0) | {"ring": {"seconds": 4}} | extra
    topology["sinks"] = {name: {**EVERY_SINK[name], "flush_interval": "100ms"} for name in names or EVERY_SINK}
    return topology


@pytest.mark.parametrize("names", [(), ("table", "base")], ids=["with a journal", "without"])
def test_the_run_ends_in_order_before_its_own_disk_is_full(lab: Any, small_disk: Any, names: tuple[str, ...]) -> None:
    disk = small_disk("8m", "runs")
    topology = _slow_topology(*names)
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    disk.fill(leaving_bytes=3_000_000)
    ended = running.finish()
    assert ended.code == 0, ended.stdout + ended.stderr
    record = ended.json
    assert record["verdict"]["state"] == "GOOD"
    whose = "the run folder" if names else "the journal"
    assert record["verdict"]["text"].startswith(f"ended early: the disk of {whose} is full but for")
    assert "whole in" in record["verdict"]["text"]
    assert record["acquired"]["overrun_samples"] == 0
    assert record["acquired"]["end_sample_index"] > 500
    # Nobody met the end of the disk.
    assert not [event for event in running.events() if event["event"] == "away"]
    assert disk.free_bytes > 0
    _assert_whole(topology, lab, record["acquired"]["end_sample_index"])


def test_a_disk_that_somebody_else_fills_to_the_last_byte_ends_the_run_and_costs_nothing_once_there_is_room(
    lab: Any, small_disk: Any
) -> None:
    disk = small_disk("16m", "runs")
    topology = _slow_topology()
    running = lab.start(topology)
    running.wait_for_samples("table", 500)
    ballast = disk.fill()
    lab.wait_for(lambda: (running.status() or {}).get("ended_early"), "early end")
    ballast.unlink()
    ended = running.finish()
    assert "ended early" in ended.json["verdict"]["text"]
    _assert_good(topology, lab, ended)


@pytest.mark.parametrize("pace", ["realtime", "max"])
def test_on_a_disk_that_stays_full_the_journal_has_all_that_was_acquired_and_the_verdict_is_written(
    lab: Any, small_disk: Any, pace: str
) -> None:
    disk = small_disk("16m", "runs")
    topology = counter_topology(4, 50, rate_hz=1000.0, pace=pace) | {"ring": {"slots": 40}, "drain_limit": "1s"}
    topology["sinks"] = {name: {**sink, "flush_interval": "100ms"} for name, sink in EVERY_SINK.items()}
    running = lab.start(topology)
    if pace == "realtime":
        running.wait_for_samples("table", 500)
        disk.fill()
    # Else the board itself fills it, faster than anybody can look.
    ended = running.finish()
    assert ended.code in (0, 4), ended.stdout + ended.stderr
    record = ended.json
    assert "ended early" in record["verdict"]["text"]
    end = record["acquired"]["end_sample_index"]
    assert record["sinks"]["raw"]["samples"] == end > 500, record["verdict"]["text"]
    index, codes = read_wide(lab.run_folder / "raw.dt-raw")
    assert np.array_equal(index, np.arange(end))
    assert np.array_equal(codes, counter_codes(4, 0, end))
    for name, sink in record["sinks"].items():
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == end, name
    # Nothing of the room that was kept is left; with more of it the others have everything.
    assert not list(lab.run_folder.glob(".dtopipe-room*"))
    disk.resize("1g")
    assert lab.dtopipe("repair", "lab", "--outside").code == 0
    assert lab.dtopipe("verify", "lab", "--outside").code == 0


def test_a_disk_that_will_be_full_soon_is_told_of_once_and_shown(lab: Any, small_disk: Any) -> None:
    disk = small_disk("32m")
    topology = _topology({"table": disk.path})
    running = lab.start(topology)
    running.wait_until("disk_filling")
    (shown,) = [line for line in running.status()["disks"] if line["folder"] == str(disk.path)]
    assert shown["warning"].startswith("full in about ")
    assert 0 < shown["full_in_s"] < 600
    assert f"disk {disk.path} full in about" in "\n".join(line.plain for line in disk_lines(running.status()))
    running.interrupt()
    _assert_good(topology, lab, running.finish())
    told = [event["text"] for event in running.events() if event["event"] == "disk_filling"]
    assert 1 <= len(told) <= 2
    assert "/s" in told[0]


@pytest.mark.parametrize("where", ["run_dir", "sinks.table.path"])
def test_a_run_is_not_begun_where_not_even_its_first_seconds_fit(lab: Any, small_disk: Any, where: str) -> None:
    disk = small_disk("8m")
    disk.fill(leaving_bytes=300_000)
    topology = _topology({} if where == "run_dir" else {"table": disk.path})
    words = ("--run-dir", str(disk.path)) if where == "run_dir" else ()
    for command in ("up", "check"):
        ended = lab.dtopipe(command, str(lab.write(topology)), *words)
        assert ended.code == 2
        assert where in ended.stderr
        assert str(disk.path) in ended.stderr
        assert "free some space there" in ended.stderr
    assert lab.run_folders() == []
    (disk.path / "ballast").unlink()
    assert lab.dtopipe("check", str(lab.write(topology)), *words).code == 0
