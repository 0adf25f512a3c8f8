"""Boards that fall silent, and boards that are away for a while."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from laboratory import read_wide

PLUG_IN = '''
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from dtopipe.boards.contract import Ended, Opened, Taken
from dtopipe.model.stream import Channel


class Moody:
    """A clocked board that does what files say: `gone` is a pulled cable, `silent` a clock that stands."""

    class Options(BaseModel):
        folder: str

    def __init__(self, options, task):
        self._folder, self._task, self._stopped = Path(options["folder"]), task, False

    def _ensure_there(self):
        if (self._folder / "gone").exists():
            raise OSError("no such device")

    def open(self):
        self._ensure_there()
        channels = tuple(Channel(channel.name, "") for channel in self._task.channels)
        return Opened("moody", channels, "int16", self._task.rate_hz, self._task.samples_per_block, True, False)

    def start(self, at):
        self._at = self._first = at
        self._started = time.perf_counter()

    def read(self, timeout_s):
        self._ensure_there()
        if self._stopped:
            return Ended(self._at)
        if (self._folder / "silent").exists():
            time.sleep(timeout_s)
            return None
        n = self._task.samples_per_block
        wait_s = self._started + (self._at - self._first + n) / self._task.rate_hz - time.perf_counter()
        time.sleep(max(0, min(wait_s, timeout_s)))
        if wait_s > timeout_s:
            return None
        self._at += n
        return Taken(self._at - n, np.full((1, n), self._at % 1000, np.int16))

    def give_back(self):
        pass

    def stop(self):
        self._stopped = True

    def close(self):
        pass
'''


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A topology on such a board, whose distribution is on the path."""
    site = tmp_path / "site"
    info = site / "moody-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "moody.py").write_text(PLUG_IN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dtopipe.boards]\nmoody = moody:Moody\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))
    return {
        "name": "lab",
        "board": {"type": "moody", "folder": str(tmp_path)},
        "task": {"rate_hz": 1000, "samples_per_block": 50, "channels": [{"name": "x", "kind": "raw"}]},
        "sinks": {"table": {"type": "csv", "path": "table.csv"}, "raw": {"type": "hbuf", "path": "raw.dt-raw"}},
    }


def test_a_board_that_is_away_is_waited_for_and_the_hole_is_a_gap_of_that_cause(
    lab: Any, moody: dict[str, Any], tmp_path: Path
) -> None:
    running = lab.start(moody)
    running.wait_for_samples("table", 200)
    (tmp_path / "gone").touch()
    running.wait_until("away", "acquirer")
    # The second time it can't even be opened.
    running.wait_until("failed", "acquirer", times=2)
    state = running.status()["board"]["state"]
    assert state.startswith("away: ")
    assert "OSError: no such device" in state
    (tmp_path / "gone").unlink()
    running.wait_until("back", "acquirer")
    back_at = next(line["sample_index"] for line in running.events() if line["event"] == "back")
    running.wait_for_samples("table", back_at + 200)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 3, ended.stderr
    record = lab.dtopipe("status", str(lab.run_folder), "--json").json
    text = record["verdict"]["text"]
    assert "the board lost" in text
    assert "the board was away once, for " in text
    assert "no such device" in text
    lines = (lab.run_folder / "gaps.jsonl").read_text()
    assert lines.count('"board_away"') == lines.count("\n") == 3
    index, _ = read_wide(lab.run_folder / "table.csv")
    assert index[-1] >= back_at + 199
    assert lab.dtopipe("verify", str(lab.run_folder)).code == 3


def test_a_run_whose_board_is_silent_says_since_when_and_ends_beyond_its_duration(
    lab: Any, moody: dict[str, Any], tmp_path: Path
) -> None:
    running = lab.start({**moody, "duration": "1500ms", "overtime_limit": "4s"})
    running.wait_for_samples("table", 200)
    (tmp_path / "silent").touch()
    running.wait_until("silent", "acquirer")
    board = running.status()["board"]
    assert board["state"] == f"silent: no sample since {board['silent_since']}"

    def limiter() -> dict[str, Any]:
        found: dict[str, Any] = lab.dtopipe("why", "--json").json["limiter"] or {}
        return found

    lab.wait_for(lambda: (limiter().get("how"), limiter().get("call")) == ("board", "wait"), "why that the board waits")
    ended = running.finish()
    assert ended.code == 5
    record = lab.dtopipe("status", str(lab.run_folder), "--json").json
    assert record["verdict"]["state"] == "ABORTED"
    assert "the board delivers nothing: it was at sample" in record["verdict"]["text"]
    assert "(overtime_limit)" in record["verdict"]["text"]
    assert f"no sample from the board since {board['silent_since']}" in record["verdict"]["text"]
    assert record["ended_by"]["by"] == "overtime"
