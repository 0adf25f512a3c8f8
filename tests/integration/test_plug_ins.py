"""Boards and sinks of other packages, found by their entry points."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import naive_writer
import pytest
from laboratory import counter_codes, counter_topology

PLUG_IN = '''
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from dtopipe.boards.contract import Ended, Opened, Taken
from dtopipe.model.position import Position
from dtopipe.model.stream import Channel


class Ramp:
    """A ramp of a given length."""

    class Options(BaseModel):
        length: int = 100

    def __init__(self, options, task):
        self._length, self._task, self._at = options["length"], task, 0

    def open(self):
        channels = tuple(Channel(channel.name, "mm", scale=0.5) for channel in self._task.channels)
        return Opened("ramp", channels, "int32", self._task.rate_hz, self._task.samples_per_block, False, True)

    def start(self, at):
        self._at = at

    def read(self, timeout_s):
        n = min(self._task.samples_per_block, self._length - self._at)
        if n <= 0:
            return Ended(self._length)
        codes = np.arange(self._at, self._at + n, dtype=np.int32)[None].repeat(len(self._task.channels), axis=0)
        self._at += n
        return Taken(self._at - n, codes)

    def give_back(self):
        pass

    stop = close = give_back


class Sum:
    """Writes the sum of all codes."""

    def __init__(self, output, *, factor=1):
        self._path, self._factor, self._items, self._sum = Path(output.path), factor, [], 0

    def open(self, stream, start, *, resume):
        self._position = Position(start, start)
        return self._position

    def append(self, items):
        self._items += items

    def commit(self):
        self._sum += sum(int(item.codes.sum()) for item in self._items)
        self._position = self._position.after(self._items)
        self._items = []
        return self._position

    def sync(self):
        return self._position

    def close(self):
        self.commit()
        self._path.write_text(str(self._sum * self._factor))
        return self._position

    def abandon(self):
        pass
'''


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a board `ramp` and a sink `sum` on the path."""
    site = tmp_path / "site"
    info = site / "labtools-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "labtools.py").write_text(PLUG_IN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labtools\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dtopipe.boards]\nramp = labtools:Ramp\n\n[dtopipe.sinks]\nsum = labtools:Sum\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))


@pytest.mark.usefixtures("plugged")
def test_boards_and_sinks_of_another_package_run_like_ours(lab: Any) -> None:
    topology = {
        "name": "lab",
        "board": {"type": "ramp", "length": 1000},
        "task": {"rate_hz": 1000, "samples_per_block": 30, "channels": [{"name": "x"}]},
        "sinks": {
            "total": {"type": "sum", "path": "total.txt", "factor": 2},
            "table": {"type": "csv", "path": "table.csv"},
        },
    }
    ended = lab.up(topology)
    assert ended.code == 0, ended.stderr
    assert (lab.run_folder / "total.txt").read_text() == str(2 * sum(range(1000)))
    assert (lab.run_folder / "table.csv").read_text().splitlines()[-1].endswith(",499.5")
    assert "ramp" in lab.dtopipe("boards").stdout
    slip = {**topology, "board": {"type": "ramp", "lenght": 10}}
    refused = lab.up(slip)
    assert refused.code == 2
    assert "did you mean length?" in refused.stderr


@pytest.mark.usefixtures("plugged")
def test_a_board_that_gives_other_codes_than_it_said_ends_the_run_and_alters_no_sample(
    lab: Any, tmp_path: Path
) -> None:
    (module,) = tmp_path.rglob("*.py")
    module.write_text(module.read_text(encoding="utf-8").replace('"int32", self', '"int16", self'), encoding="utf-8")
    topology = counter_topology()
    topology["board"] = {"type": "ramp", "length": 100_000}
    topology["sinks"] = {"archive": {"type": "hbuf", "path": "archive.dt-raw"}}
    run = lab.up(topology)
    assert run.code == 5, run.stderr
    assert "it said int16 and gave int32" in run.stderr
    assert run.json["acquired"]["samples"] == 0


@pytest.fixture
def naive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a sink `naive`, which takes nothing back of what a full disk refused."""
    site = tmp_path / "site"
    info = site / "naive-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: naive\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dtopipe.sinks]\nnaive = naive_writer:NaiveWriter\n")
    here = Path(naive_writer.__file__).parent
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(site), str(here), os.environ.get("PYTHONPATH")]))
    )


@pytest.mark.usefixtures("naive")
def test_a_sink_of_another_package_on_a_full_disk_goes_on_behind_its_last_whole_line(lab: Any, small_disk: Any) -> None:
    disk = small_disk("8m")
    topology = counter_topology(2, 100, rate_hz=5000.0)
    topology["sinks"] = {
        "raw": {"type": "hbuf", "path": "raw.dt-raw"},
        "lines": {"type": "naive", "path": str(disk.path / "lines.txt"), "flush_interval": "50ms"},
    }
    running = lab.start(topology)
    running.wait_for_samples("lines", 500)
    for times, leaving_bytes in enumerate((0, 250), 1):
        ballast = disk.fill(leaving_bytes)
        running.wait_until("away", "lines", times=times)
        ballast.unlink()
        running.wait_until("back", "lines", times=times)
    running.wait_for_samples("lines", running.committed("raw"))
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["sinks"]["lines"]["restarts"] == 0
    text = (disk.path / "lines.txt").read_text()
    assert text.endswith("\n")
    at = 0
    for line in text.splitlines():
        first, _, codes = line.partition(";")
        assert int(first) == at
        stop = at + len(codes.split(","))
        assert codes == ",".join(map(str, counter_codes(1, at, stop)[0].tolist()))
        at = stop
    assert at == ended.json["acquired"]["end_sample_index"]
