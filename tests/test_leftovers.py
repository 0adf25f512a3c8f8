"""What tests find of their own processes, segments and mounts, and what they leave to others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from leftovers import MARK, Leftovers, module_of, processes_with, unused_segments
from marked_mounts import clear_dead_mounts, mount_table, unmount_below

from dtopipe.shm.segment import Segment, new_name, unlink

# Whoever reads a line from its standard input lives until that is closed.
WAITING = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def odd_folder() -> Iterator[Path]:
    """Called as people call theirs, and as what we start is called."""
    folder = Path(tempfile.mkdtemp(prefix="dtopipe prüfung\t-m dtopipe.workers."))
    yield folder
    unmount_below(folder)
    shutil.rmtree(folder)


def _started(folder: Path, code: str = WAITING, **env: str) -> subprocess.Popen[str]:
    file = folder / "dtopipe.workers.py"
    file.write_text(code, encoding="utf-8")
    own = {name: value for name, value in os.environ.items() if name != MARK}
    process = subprocess.Popen(
        [sys.executable, str(file), "-m", "dtopipe"], env=own | env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_processes_are_told_by_what_they_inherit_and_not_by_their_paths(odd_folder: Path) -> None:
    with _started(odd_folder) as stranger, _started(odd_folder, **{MARK: "ours"}) as ours:
        assert [process.pid for process in processes_with(MARK, "ours")] == [ours.pid]
        assert module_of(psutil.Process(stranger.pid).cmdline()) == ""
        for process in (stranger, ours):
            process.communicate()


def test_what_came_since_is_left_behind_by_its_mark_or_its_parents_and_is_killed(
    odd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leftovers.GRACE_S", 0.2)
    orphan = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {WAITING!r}]).pid, flush=True)"
    with _started(odd_folder) as before:
        left = Leftovers(tmp_path)
        left.assert_none()
        with _started(odd_folder) as child:
            with pytest.raises(pytest.fail.Exception, match=rf"processes behind: {child.pid} "):
                left.assert_none()
            child.communicate()
        left.assert_none()
        # Its parent is gone, and nobody's child any more.
        parent = subprocess.Popen(
            [sys.executable, "-c", orphan], env={**os.environ, **left.environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            parent.wait()
            with pytest.raises(pytest.fail.Exception, match=rf"processes behind: {pid} "):
                left.assert_none()
            left.clear_away()
            left.assert_none()
        assert before.poll() is None
        before.communicate()


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("python -m dtopipe.workers.sink_worker", "dtopipe.workers.sink_worker"),
        ("python -P -X dev -W error -m dtopipe up -m word", "dtopipe"),
        ("python -c code -m dtopipe", ""),
        ("python /home/dtopipe/x.py -m dtopipe", ""),
        ("/home/dtopipe/bin/postgres -D dtopipe", ""),
        ("", ""),
    ],
)
def test_the_module_that_a_python_runs_is_behind_its_options(command: str, module: str) -> None:
    assert module_of(command.split()) == module


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists segments")
def test_a_segment_is_left_if_this_test_made_it_and_nobody_has_it(
    odd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path(os.environ["DTOPIPE_RUNTIME_DIR"])
    name = new_name()
    monkeypatch.setenv("DTOPIPE_RUNTIME_DIR", f"{here}-of-another-test")
    other = new_name()
    try:
        for each in (name, other):
            Segment.create(each, 4096).close()
        assert unused_segments(here) == [name]
        mapping = f"from dtopipe.shm.segment import Segment\nkept = Segment.attach({name!r})\n"
        with _started(odd_folder, mapping + WAITING, PYTHONPATH=str(Path(__file__).parents[1])) as holder:
            assert unused_segments(here) == []
            holder.communicate()
    finally:
        for each in (name, other):
            unlink(each)


def test_disks_of_killed_tests_go_with_the_next_one(odd_folder: Path, small_disk: Any) -> None:
    living = small_disk("1m")
    place = odd_folder / "disk"
    mounting = (
        f"import sys; sys.path[:0] = {sys.path!r}\nfrom pathlib import Path\nfrom small_disks import SmallDisk\n"
        f"SmallDisk(Path({str(place)!r}), '1m').mount_at(Path({str(place)!r} + '2'))\n"
    )
    with _started(odd_folder, mounting + WAITING) as holder:
        clear_dead_mounts()
        assert _mounted_below(odd_folder) == [str(place), f"{place}2"]
        holder.kill()
    clear_dead_mounts()
    assert _mounted_below(odd_folder) == []
    assert os.path.ismount(living.path)


def _mounted_below(folder: Path) -> list[str]:
    return [place for _, place in mount_table() if place.startswith(f"{folder}/")]
