"""Sinks that are detached, or were to be attached, while their disk is full: told of at once, without harm."""

from __future__ import annotations

from typing import Any

from laboratory import counter_topology

SHORT = "it ends before sample"


def _topology() -> dict[str, Any]:
    topology = counter_topology(2, 100, rate_hz=2000.0)
    topology["sinks"] = {"raw": {"type": "hbuf", "path": "raw.dt-raw"}, "table": {"type": "csv", "path": "table.csv"}}
    return topology


def test_a_sink_on_a_full_disk_is_detached_with_what_it_has(lab: Any, small_disk: Any) -> None:
    disk = small_disk("8m")
    running = lab.start(_topology())
    running.wait_for_samples("raw", 500)
    attached = lab.dtopipe("attach", "--sink", "csv", "--path", str(disk.path / "view.csv"), "--name", "view")
    assert attached.code == 0, attached.stderr
    path = disk.path / "database.db"
    attached = lab.dtopipe("attach", "--sink", "sqlite", "--path", str(path), "--name", "database")
    assert attached.code == 0, attached.stderr
    running.wait_for_samples("view", 200)
    running.wait_for_samples("database", 200)
    ballast = disk.fill()
    running.wait_until("away", "view")
    running.wait_until("away", "database")

    second = lab.dtopipe("attach", "--sink", "csv", "--path", str(disk.path / "other.csv"), "--name", "other")
    assert second.code == 2
    assert "sinks.other.path: the disk of" in second.stderr
    assert "sinks.view" not in second.stderr
    # In the run folder there is room, whatever that disk has.
    third = lab.dtopipe("attach", "--sink", "csv", "--path", "third.csv", "--name", "third")
    assert third.code == 0, third.stderr

    # Its log has no room to be folded into it.
    database = lab.dtopipe("detach", "database")
    assert database.code == 0, database.stderr
    assert "database: its output could not be closed (the disk is full" in database.stdout
    detached = lab.dtopipe("detach", "view")
    assert detached.code == 0, detached.stderr
    assert "view is away: No space left on device" in detached.stdout
    assert SHORT in detached.stdout
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    view = ended.json["sinks"]["view"]
    assert view["state"] == "detached"
    assert view["gaps"] == 0
    assert view["start"] + view["samples"] == view["stop"] < view["detached"]["asked_at"]
    assert f"view has {view['start']} to {view['stop']}" in ended.json["verdict"]["text"]
    assert ended.json["sinks"]["database"]["state"] == "detached"
    assert "database: its output could not be closed" in ended.json["verdict"]["text"]
    assert lab.dtopipe("verify", "lab", "--outside").code == 0
    ballast.unlink()
    repaired = lab.dtopipe("repair", "lab", "--sink", "database", "--outside")
    assert repaired.code == 0, repaired.stderr
    assert not [each.name for each in disk.path.iterdir() if each.name.endswith("-wal")]
