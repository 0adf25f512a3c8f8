"""A lock is looked at without a byte written, and without harm to whoever wants it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dtopipe.host.lock import FileLock, LockHeld, is_held


def test_a_look_at_a_lock_that_is_not_there_makes_no_file(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "gone.lock")
    assert list(tmp_path.iterdir()) == []


def test_a_look_sees_who_holds_it_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text("whose it is")
    path.chmod(0o444)
    before = path.stat()
    assert not is_held(path)
    path.chmod(0o644)
    with FileLock(path):
        assert is_held(path)
    assert not is_held(path)
    assert (path.read_text(), path.stat().st_mtime_ns) == ("whose it is", before.st_mtime_ns)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.lock")
    (tmp_path / "folder.lock").mkdir()
    assert not is_held(tmp_path / "pipe.lock")
    assert not is_held(tmp_path / "folder.lock")


def test_whoever_wants_a_lock_gets_it_however_many_look(tmp_path: Path) -> None:
    path = tmp_path / "wanted.lock"
    path.touch()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_held(path)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(200):
            with FileLock(path):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_a_lock_that_is_held_is_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / "a.lock"), pytest.raises(LockHeld):
        FileLock(tmp_path / "a.lock").acquire(timeout_s=0)
