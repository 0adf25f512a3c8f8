"""`latest` stands for the newest run also inside of a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtopipe.host.run_folder import find_run, through_latest
from dtopipe.model.errors import SinkError, UsageError
from dtopipe.tools.replay_raw import iter_blocks

START = "20261122T234100Z"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "lab" / START
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "archive.dt-raw").write_bytes(b"")
    (folder.parent / "latest").write_text(f"{START}\n")
    return tmp_path / "runs"


def test_a_path_may_go_through_latest(root: Path) -> None:
    folder = root / "lab" / START
    assert through_latest(root / "lab" / "latest") == folder
    assert through_latest(root / "lab" / "latest" / "archive.dt-raw") == folder / "archive.dt-raw"
    assert through_latest(folder / "archive.dt-raw") == folder / "archive.dt-raw"
    assert find_run(str(root / "lab" / "latest"), Path("elsewhere")).path == folder


def test_a_file_of_a_run_is_no_run_and_says_whose_it_is(root: Path) -> None:
    with pytest.raises(UsageError, match=rf"is a file, and no run\n    the run that it belongs to: .*{START}"):
        find_run(str(root / "lab" / "latest" / "archive.dt-raw"), root)


def test_what_is_neither_file_nor_run_is_told_as_that(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    for name, words in (("nope", "no such file, and no such run"), ("runs", "no .dt-raw file, and no run folder")):
        with pytest.raises(SinkError, match=words):
            next(iter_blocks(name))
