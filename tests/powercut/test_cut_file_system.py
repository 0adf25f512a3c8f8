"""The file system of the power-cut tests: real programs' calls, and its end."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cut_mounts import CutMount, mounted
from forgetful_disk import Mode
from marked_mounts import clear_dead_mounts, mount_table
from system import kill

from dtopipe.host.lock import FileLock, is_held

pytestmark = pytest.mark.usefixtures("needs_fuse")


@pytest.fixture
def strict(apart: Path) -> Iterator[CutMount]:
    with mounted(apart / "disk", apart / "image", Mode.STRICT, 0) as mount:
        yield mount


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_programs_find_a_file_system_as_any_other(strict: CutMount) -> None:
    place = strict.place
    with (place / "log").open("a+b", buffering=0) as one, (place / "log").open("ab", buffering=0) as other:
        one.write(b"1")
        other.write(b"2")
        one.write(b"3")
        assert (place / "log").read_bytes() == b"123"
        os.posix_fallocate(one.fileno(), 0, 2**20)
        assert os.fstat(one.fileno()).st_size == 2**20
        os.ftruncate(one.fileno(), 2)
        assert (place / "log").read_bytes() == b"12"
        (place / "new").write_bytes(b"new")
        (place / "new").rename(place / "log")
        assert (place / "log").read_bytes() == b"new"
        # Who has it open keeps it.
        os.ftruncate(one.fileno(), 1)
        assert os.pread(one.fileno(), 9, 0) == b"1"
    assert [path.name for path in place.iterdir()] == ["log"]
    with pytest.raises(FileExistsError):
        (place / "log").mkdir()
    (place / "folder").mkdir()
    (place / "folder" / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        (place / "folder").rmdir()
    (place / "folder" / "file").unlink()
    (place / "folder").rmdir()
    assert os.statvfs(place).f_bavail > 0


def test_locks_hold_between_processes(strict: CutMount, wait_for: Any) -> None:
    path = strict.place / "lock"
    with FileLock(path):
        asked = f"from pathlib import Path; from dtopipe.host.lock import is_held; print(is_held(Path({str(path)!r})))"
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True"
    assert not is_held(path)


def test_a_database_with_a_log_is_shared_by_processes_and_what_it_synced_survives(strict: CutMount) -> None:
    path = strict.place / "base.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as base:
        assert base.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        base.execute("CREATE TABLE t (x)")
        base.execute("PRAGMA synchronous = FULL")
        base.execute("INSERT INTO t VALUES (1)")
        base.execute("PRAGMA synchronous = OFF")
        base.execute("INSERT INTO t VALUES (2)")
        look = f"import sqlite3; print(sqlite3.connect({str(path)!r}).execute('SELECT x FROM t').fetchall())"
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[(1,), (2,)]"
        _sync(strict.place)
        strict.cut()
        strict.end()
    (strict.image / "disk" / "base.db-shm").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(strict.image / "disk" / "base.db")) as base:
        assert base.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_a_cut_holds_every_caller_and_leaves_what_was_synced(strict: CutMount, wait_for: Any) -> None:
    writing = (
        "import os, sys\n"
        f"file = open({str(strict.place / 'file')!r}, 'wb', buffering=0)\n"
        "file.write(b'A' * 700)\n"
        "os.fsync(file.fileno())\n"
        f"folder = os.open({str(strict.place)!r}, os.O_RDONLY)\n"
        "os.fsync(folder)\n"
        "print('synced', flush=True)\n"
        "while True: file.write(b'B')\n"
    )
    with subprocess.Popen([sys.executable, "-c", writing], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "synced\n"
        seen = strict.place / "file"
        wait_for(lambda: seen.stat().st_size > 1000)
        strict.cut()
        assert writer.poll() is None
        writer.kill()
        strict.end()
    assert (strict.image / "disk" / "file").read_bytes() == b"A" * 700
    assert len((strict.image / "live" / "file").read_bytes()) > 1000
    assert list(strict.place.iterdir()) == []


def test_it_cuts_by_itself_before_the_call_that_it_waits_for(apart: Path) -> None:
    place, image = apart / "disk", apart / "image"
    with mounted(place, image, Mode.STRICT, 0, cut_at="create:b*:2:1", notice="create:a:1:0") as mount:
        making = f"from pathlib import Path\nfor name in 'a b b2 b3 c'.split(): (Path({str(place)!r}) / name).touch()"
        with subprocess.Popen([sys.executable, "-c", making]) as maker:
            mount.wait_for_notice(lambda: True)
            assert mount.wait_for_cut(lambda: maker.poll() is None)
            maker.kill()
            mount.end()
    assert sorted(path.name for path in (image / "live").iterdir()) == ["a", "b", "b2"]
    assert list((image / "disk").iterdir()) == []


def test_what_a_killed_test_leaves_goes_with_it_or_is_cleared_by_the_next_one(apart: Path, wait_for: Any) -> None:
    place = apart / "disk"
    holding = (
        f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from cut_mounts import mounted\n"
        "from forgetful_disk import Mode\n"
        f"with mounted(Path({str(place)!r}), Path({str(apart / 'image')!r}), Mode.STRICT, 0) as mount:\n"
        "    print(mount._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    for kills_the_file_system in (False, True):
        with subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            pid = int(holder.stdout.readline())
            if kills_the_file_system:
                kill(pid)
            holder.kill()
        if kills_the_file_system:
            wait_for(lambda pid=pid: not psutil.pid_exists(pid))
            assert _is_mounted(place)
            clear_dead_mounts()
        wait_for(lambda: not _is_mounted(place), message="the mount stays")


def _is_mounted(place: Path) -> bool:
    return any(mounted_at == str(place) for _, mounted_at in mount_table())
