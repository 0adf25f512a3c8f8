"""`latest` stands for the newest run also inside of a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from run_folders import record_run

from dtopipe.cli.main import main
from dtopipe.host.run_folder import find_run, through_latest
from dtopipe.model.errors import SinkError, UsageError
from dtopipe.tools.replay_raw import iter_blocks
from dtopipe.wire.raw_files import is_in_segments

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


def test_a_file_that_a_run_does_not_have_is_told_of_the_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    with pytest.raises(SinkError, match=rf"the run .*{START} has no file other\.dt-raw"):
        next(iter_blocks("lab/latest/other.dt-raw"))
    found = CliRunner().invoke(main, ["convert", "nope.dt-raw", "--to", "csv", "--path", "x.csv"])
    assert "no run 'nope.dt-raw', and no such file" in found.stderr


def test_a_raw_file_in_segments_goes_by_its_name_without_a_number(tmp_path: Path) -> None:
    record_run(tmp_path / "runs" / "lab" / START, {"raw": {"type": "hbuf", "path": "a.dt-raw", "segment": 16384}})
    (tmp_path / "runs" / "lab" / "latest").write_text(START)
    named = str(tmp_path / "runs" / "lab" / "latest" / "a.dt-raw")
    assert is_in_segments(tmp_path / "runs" / "lab" / START / "a.dt-raw")
    assert sum(block.samples_per_channel for block in iter_blocks(named)) == 960
    words = ["convert", named, "--to", "csv", "--path", str(tmp_path / "x.csv")]
    assert CliRunner().invoke(main, words).exit_code == 0
    other = CliRunner().invoke(main, ["convert", named.replace("a.dt", "b.dt"), *words[2:]])
    assert "has no file b.dt-raw\n    its raw file is " in other.stderr
