"""What a sink has committed of gaps stands in the run's record, also where it was killed before it could tell."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from laboratory import counter_topology

MORTAL = '''
import psutil

from dtopipe.model.span import Gap
from dtopipe.sinks.text.csv import CsvWriter
from dtopipe.sinks.text.csv_reader import CsvReader


class MortalCsv(CsvWriter):
    """Is killed as soon as a gap is committed."""

    Reader = CsvReader

    def commit(self):
        had_gaps = any(isinstance(item, Gap) for item in self._pending)
        position = super().commit()
        if had_gaps:
            psutil.Process().kill()
        return position
'''


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a sink `mortal` on the path."""
    info = tmp_path / "site" / "mortal-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "mortal.py").write_text(MORTAL)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mortal\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dtopipe.sinks]\nmortal = mortal:MortalCsv\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.mark.usefixtures("mortal")
def test_a_gap_is_told_by_the_successor_of_a_worker_that_was_killed_behind_its_commit(lab: Any) -> None:
    topology = counter_topology(2, 100, pace="max", max_samples=3000, overruns=[{"at": 500, "samples": 250}])
    topology["sinks"] = {"table": {"type": "mortal", "path": "table.csv"}}
    ended = lab.up(topology)
    assert ended.code == 3, ended.stderr
    assert ended.json["sinks"]["table"]["restarts"] == 1
    lines = [json.loads(line) for line in (lab.run_folder / "gaps.jsonl").read_text().splitlines()]
    told = {(line["sink"], line["start"], line["stop"], line["cause"]) for line in lines}
    assert told == {(None, 500, 750, "board_overrun"), ("table", 500, 750, "board_overrun")}
    assert len(lines) == 2
    assert "board" in ended.json["verdict"]["text"], "the overrun is known as what it is"
