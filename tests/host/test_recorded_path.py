"""A path of a record leads to a file of its own run folder, or is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dtopipe.host.recorded_path import OWN_FILES, ensure_own_files, fault_of
from dtopipe.host.run_folder import replace_text
from dtopipe.model.errors import UsageError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "text.csv").write_text("mine")
    return folder


@pytest.mark.parametrize("path", ["text.csv", "sub/text.csv", "not/there/yet.csv", "a b.csv", "ä.csv", "..text.csv"])
def test_what_is_inside_may_be_used(run: Path, path: str) -> None:
    assert fault_of(run, path) is None


@pytest.mark.parametrize("path", ["", ".", "..", "../outside/text.csv", "sub/../../outside/x", "a\0b", *OWN_FILES,
                                  "logs/sub.csv", "RUN.JSON", "text.csv.dtopipe"])  # fmt: skip
def test_what_no_topology_may_say_is_used_by_nobody(run: Path, path: str) -> None:
    fault = fault_of(run, path)
    assert fault is not None
    assert not fault.is_outside


def test_an_absolute_path_may_have_been_meant(run: Path) -> None:
    fault = fault_of(run, str(run.parent / "outside" / "text.csv"))
    assert fault is not None
    assert fault.is_outside
    assert f"lies outside of the run folder: {run.parent}/outside/text.csv" in fault.message


@pytest.mark.parametrize("name", ["text.csv", "text.csv.dtopipe", "text.0001.csv", "text.repair.csv", "text.csv-wal",
                                  "text.repair.csv.whole"])  # fmt: skip
def test_a_link_that_leads_out_is_not_followed(run: Path, name: str) -> None:
    (run / name).symlink_to(run.parent / "outside" / "text.csv")
    fault = fault_of(run, "text.csv")
    assert fault is not None
    assert str(run.parent / "outside") in fault.message
    assert not fault.is_outside


def test_a_folder_that_leads_out_is_not_followed(run: Path) -> None:
    (run / "linked").symlink_to(run.parent / "outside")
    assert fault_of(run, "linked/text.csv") is not None


def test_a_link_within_the_folder_is_followed_and_a_linked_folder_is_a_run(run: Path) -> None:
    (run / "sub" / "real.csv").write_text("")
    (run / "text.csv").symlink_to("sub/real.csv")
    assert fault_of(run, "text.csv") is None
    (run.parent / "latest").symlink_to(run)
    assert fault_of(run.parent / "latest", "text.csv") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_no_output(run: Path) -> None:
    os.mkfifo(run / "text.csv")
    fault = fault_of(run, "text.csv")
    assert fault is not None
    assert "neither a file nor a folder" in fault.message


@pytest.mark.parametrize("name", [*OWN_FILES, "logs/repair.lock", "rescued.dt-raw", ".run.json.17.new"])
def test_the_runs_own_files_are_files_of_its_folder(run: Path, name: str) -> None:
    ensure_own_files(run)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(run.parent / "outside" / "text.csv")
    with pytest.raises(UsageError, match="not a run folder as dtopipe makes it"):
        ensure_own_files(run)


def test_a_draft_is_written_over_no_link(run: Path) -> None:
    (run / f".run.json.{os.getpid()}.new").symlink_to(run.parent / "outside" / "text.csv")
    replace_text(run / "run.json", "{}")
    assert (run.parent / "outside" / "text.csv").read_text() == "mine"
    assert (run / "run.json").read_text() == "{}"
