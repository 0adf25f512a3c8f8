"""Room that was kept for a run that was killed: given back, and nothing else with it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from dtopipe.supervisor.reserved_space import ReservedSpace, clear_kept_rooms


def test_of_a_killed_run_its_own_rooms_are_cleared_and_nothing_beside_them(tmp_path: Path) -> None:
    run_id, other_id = str(uuid.uuid4()), str(uuid.uuid4())
    for whose in (run_id, other_id):
        assert ReservedSpace(tmp_path, 4096, whose).is_kept
    others = [
        f".dtopipe-room-{run_id}-4096.txt",
        f".dtopipe-room-{run_id}",
        f".dtopipe-room-{run_id}-",
        "room",
        "a.csv",
    ]
    for name in others:
        (tmp_path / name).write_text("words")
    (tmp_path / f".dtopipe-room-{run_id}-7").mkdir()
    (tmp_path / f".dtopipe-room-{run_id}-8").symlink_to(tmp_path / "a.csv")
    clear_kept_rooms(tmp_path, run_id)
    assert not (tmp_path / f".dtopipe-room-{run_id}-4096").exists()
    assert (tmp_path / f".dtopipe-room-{other_id}-4096").exists()
    assert all((tmp_path / name).read_text() == "words" for name in others)
    assert (tmp_path / f".dtopipe-room-{run_id}-7").is_dir()
    assert (tmp_path / f".dtopipe-room-{run_id}-8").is_symlink()


@pytest.mark.parametrize("run_id", ["*", "", "../*", "x/../../canary", "[a-z]*", "?" * 36])
def test_ids_that_are_not_ours_clear_nothing(tmp_path: Path, run_id: str) -> None:
    inside = tmp_path / "run"
    inside.mkdir()
    for folder in (tmp_path, inside):
        (folder / f".dtopipe-room-{uuid.uuid4()}-1").write_text("")
        (folder / "canary").write_text("")
    before = sorted(tmp_path.rglob("*"))
    clear_kept_rooms(inside, run_id)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_stays(tmp_path: Path) -> None:
    run_id = str(uuid.uuid4())
    path = tmp_path / f".dtopipe-room-{run_id}-1"
    path.write_text("")
    os.chown(path, 12345, 12345)
    clear_kept_rooms(tmp_path, run_id)
    assert path.exists()
