"""`up --preview`: what the board says now, in units, of which nothing is left anywhere."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from laboratory import Lab, counter_topology

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.runtime import entries
from dtopipe.intake.newest_values import ValuesOfRing
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import DtopipeError
from dtopipe.model.newest import NewestValue
from dtopipe.model.stream import VIRTUAL, Channel, SensorStatus, Stream
from dtopipe.shm.layout import Layout
from dtopipe.shm.writer import RingWriter
from dtopipe.supervisor.run_memory import RunMemory
from dtopipe.transport.run_link import ask_run
from dtopipe.wire.commands import AskStatus, StatusSnapshot

S = 1_000_000_000


def test_newest_values_are_those_of_tables() -> None:
    channels = (Channel("flux", "V", scale=0.5), Channel("tc", "degC"))
    virtual = (Channel("power", "W", VIRTUAL, formula="flux * 2"),)
    stream = Stream("run-1", "heat", "box", channels, "int16", 10.0, 2, "2026-11-22T23:41:00Z", virtual=virtual)
    memory = RunMemory()
    try:
        ring, _ = memory.make(stream, Layout(64, 2, 2, "int16"), 0)
        values = ValuesOfRing(stream, ring, of_last_s=1.0)
        assert values.newest() is None
        writer = RingWriter(ring)
        writer.begin_epoch(Anchor(0, 0, 50 * S))
        for number in range(20):
            lease = writer.lease()
            assert isinstance(lease, int)
            status = np.full((2, 2), SensorStatus.OK, np.int8)
            status[1] = SensorStatus.OPEN
            codes = np.array([[number, number + 1], [7, 7]], np.int16)
            writer.publish(lease, 2 * number, codes, status, Anchor(0, 0, 50 * S), 1, 0)
        newest = values.newest()
        assert newest is not None
        assert newest.sample_index == 39
        assert newest.t_utc_ns == 50 * S + 39 * S // 10
        # Of the last second, which is five blocks.
        assert newest.columns == (
            NewestValue("flux", "V", 10.0, 7.5, 10.0),
            NewestValue("tc", "degC", None, None, None, "sensor_open"),
            NewestValue("power", "W", 20.0, 15.0, 20.0),
        )
    finally:
        memory.close()


def _status() -> tuple[Path, dict[str, Any]] | None:
    """The only run in progress: its folder, and how it is."""
    for entry in entries():
        if (facts := entry.read()) is not None:
            folder = Path(facts.run_folder)
            with contextlib.suppress(DtopipeError):
                answer = ask_run(RunFolder(folder), AskStatus(), StatusSnapshot)
                return None if answer is None else (folder, dict(answer.snapshot))
    return None


def test_a_preview_shows_values_until_ctrl_c_and_leaves_nothing(lab: Lab) -> None:
    # It needs no metadata, runs no command, and writes none of the outputs.
    topology = counter_topology(2, 20, rate_hz=2000.0) | {
        "sinks": {"table": {"type": "csv", "path": "table.csv"}}, "metadata": {"sample": None},
        "limits": {"ch1": {"low": 40_000}}, "on": {"start": ["./never"], "verdict": ["./never"]},
    }  # fmt: skip
    never = lab.folder / "never"
    never.write_text(f"#!/bin/sh\ntouch '{lab.folder}/was-run'\n")
    never.chmod(0o700)
    file = lab.write(topology)
    running = lab.run("up", str(file), "--preview", "--json")
    folders = []

    def is_far_enough() -> bool:
        found = _status()
        if found is not None:
            folders.append(found[0])
        return found is not None and found[1]["board"]["end_sample_index"] > 3000 and bool(found[1]["limits"]["now"])

    lab.wait_for(is_far_enough, "values")
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(lines) >= 2
    for line in lines:
        at = line["sample_index"]
        assert line["values"] == {"ch0": at - 32768, "ch1": 3 * at + 257 - 32768}
        assert line["highest"] == line["values"]
    assert [text.partition(" since")[0] for text in lines[-1]["limits"]] == ["ch1 below 40000"]
    assert sorted(path.name for path in lab.folder.iterdir()) == ["never", "topology.yaml"]
    assert not folders[-1].exists()
    assert not folders[-1].parent.exists()
    lab.wait_for_the_end_of_all()
    assert list(entries()) == []
    assert not lab.segments()


def test_a_preview_is_not_for_the_background(lab: Lab) -> None:
    file = lab.write(counter_topology() | {"sinks": {"table": {"type": "csv", "path": "t.csv"}}})
    ended = lab.dtopipe("up", str(file), "--preview", "--detach")
    assert ended.code == 2
    assert "take out --detach" in ended.stderr
