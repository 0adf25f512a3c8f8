"""Whether a run lives is asked of its folder: by other sessions, users and hosts, and of copies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dtopipe.boards.exclusive import ExclusiveDevice
from dtopipe.host import session
from dtopipe.host.identity import who_is_here
from dtopipe.host.known_runs import KnownRun, forget_ended_runs, known_runs
from dtopipe.host.life_locks import LifeLocks
from dtopipe.host.run_folder import RunFolder, runs_in_progress
from dtopipe.host.run_life import ensure_over, holder_of, reached
from dtopipe.host.run_lock import LOCK_FILE, RunLock, read_mark
from dtopipe.host.runtime import RuntimeEntry
from dtopipe.model.errors import BoardError, UsageError

OTHER_USER = 4242
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user too"
)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes tell when they were born on Linux only")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[RunFolder, RunLock]]:
    """The folder of a run whose supervisor is this process."""
    folder = RunFolder(tmp_path / "runs" / "heat" / "20261129T000000Z")
    folder.path.mkdir(parents=True)
    record = {
        "run_id": "heat", "name": "heat", "started_at": "2026-11-29T00:00:00+00:00", "host": {"name": "lab-pc"},
        "topology": {"name": "heat", "board": {"type": "simulated"}, "sinks": {}}, "sinks": {}, "verdict": None,
        "acquired": {"blocks": 0, "samples": 0, "overrun_samples": 0, "end_sample_index": 0},
        "clock": {"rate_nominal_hz": None},
    }  # fmt: skip
    folder.record_path.write_text(json.dumps(record))
    lock = RunLock(folder.path)
    lock.hold(str(uuid.uuid4()), tmp_path / "entry")
    lock.tell(control="ipc://@dtopipe-nobody")
    yield folder, lock
    lock.release()


def _remark(folder: RunFolder, **change: Any) -> None:
    path = folder.path / LOCK_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def _words(folder: RunFolder) -> str:
    holder = holder_of(folder)
    return "" if holder is None else f"{holder.words}\n{holder.remedy}"


def test_a_run_lives_while_its_lock_is_held_and_was_killed_once_nobody_holds_it(run: Any) -> None:
    folder, lock = run
    assert _words(folder) == f"in progress\nend it with: dtopipe stop {folder.path}"
    assert reached(folder) is not None
    lock.release()
    _remark(folder, pid=1, born="0")
    assert holder_of(folder) is None
    assert reached(folder) is None


@pytest.mark.parametrize(
    "elsewhere", [{"host": "daq-pc", "boot_id": "another"}, {"boot_id": "another", "machine": "a cloned name"}], ids=str
)
def test_of_another_host_s_run_nobody_can_say_here_that_it_was_killed(run: Any, elsewhere: dict[str, str]) -> None:
    folder, lock = run
    mark = read_mark(folder.path)
    assert mark is not None
    if "machine" in elsewhere and not mark.maker.machine:
        pytest.skip("this machine has no id")
    _remark(folder, **elsewhere)
    # Over a share its lock may be seen, or not.
    for _ in range(2):
        words = _words(folder)
        assert words.startswith(f"in progress on {elsewhere.get('host', mark.maker.host)}, as far as can be seen from")
        assert reached(folder) is None
        with pytest.raises(UsageError, match="still in progress on"):
            ensure_over(folder)
        lock.release()


@on_linux
def test_a_copy_and_a_run_that_lost_its_lock_are_known_by_the_process_in_the_mark(run: Any, tmp_path: Path) -> None:
    folder, lock = run
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(folder.path, copy.path)
    assert f"a copy of a run that is still in progress, in {folder.path}" in _words(copy)
    with pytest.raises(UsageError, match="copy it anew"):
        ensure_over(copy)
    lock.release()
    assert _words(folder).startswith("in progress\n")


def test_while_a_process_of_it_lives_a_run_is_not_over(run: Any) -> None:
    folder, lock = run
    life = LifeLocks(folder.path)
    life.make()
    worker = life.lock("sink.table.0")
    worker.acquire()
    lock.release()
    _remark(folder, pid=1, born="0")
    assert "its supervisor was killed" in _words(folder)
    worker.release()
    assert holder_of(folder) is None
    life.remove()
    assert not (folder.path / ".alive").exists()


_AS_OTHER_USER = """
import os, sys
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import ensure_reached, holder_of, reached
from dtopipe.host.machine_wide import MachineWideName
import dtopipe.boards.exclusive
folder = RunFolder(__import__("pathlib").Path(sys.argv[1]))
# What is imported late is not theirs to read.
holder_of(folder), reached(folder), folder.read_record(), "".encode("ascii"), str(BaseException())
os.setgroups([]); os.setgid({user}); os.setuid({user})
{then}
"""


def _as_other_user(folder: RunFolder, then: str, keeping: Path | None = None) -> subprocess.Popen[str]:
    """Says what it prints; `keeping`: a folder that stays closed to them."""
    # pytest's folders are closed to others.
    for path in (folder.path, *folder.path.parents):
        if path.stat().st_uid == 0 and path.parent != path and path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o700 if path == keeping else 0o755)
    code = _AS_OTHER_USER.format(user=OTHER_USER, then=then)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@as_root
def test_another_user_is_told_whose_run_it_is_and_what_to_type(run: Any) -> None:
    folder, _ = run
    then = """
holder = holder_of(folder)
print(holder.words, "|", holder.remedy, "|", reached(folder))
try:
    ensure_reached(folder, "attach")
except Exception as error:
    print(error)
"""
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*"))
    said, _ = _as_other_user(folder, then).communicate(timeout=60)
    assert f"in progress, a run of root | end it with: sudo -u root dtopipe stop {folder.path} | None" in said
    assert f"sudo -u root dtopipe attach {folder.path}" in said
    (folder.path / LOCK_FILE).chmod(0o600)
    said, _ = _as_other_user(folder, "print(holder_of(folder).words)").communicate(timeout=60)
    assert said == "in progress on lab-pc, as far as can be seen from here\n"
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*")) == before


@as_root
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_who_may_not_look_into_a_folder_of_runs_is_told_so(run: Any, closed: int) -> None:
    folder, _ = run
    then = f"""
from dtopipe.host.run_folder import find_run
os.chdir({str(folder.path.parents[2])!r})
try:
    find_run("heat", __import__("pathlib").Path("runs"))
except Exception as error:
    print(type(error).__name__, error)
"""
    other = _as_other_user(folder, then, keeping=(folder.path, *folder.path.parents)[closed])
    said, _ = other.communicate(timeout=60)
    assert said.startswith("UsageError runs"), said
    assert "permission denied, it belongs to root\n" in said
    assert "sudo -u root dtopipe" in said


@as_root
def test_of_a_private_run_it_is_told_whose_it_is(run: Any) -> None:
    folder, _ = run
    (folder.path / "logs").mkdir(mode=0o700)
    folder.record_path.chmod(0o600)
    then = """
from dtopipe.host.closed import closed_below, owner_of
try:
    folder.read_record()
except Exception as error:
    print(type(error).__name__, error)
print([(path.name, owner_of(path)) for path in closed_below(folder.path.parents[1])])
"""
    said, _ = _as_other_user(folder, then).communicate(timeout=60)
    assert said.startswith(
        f"UsageError {folder.record_path} cannot be looked at: permission denied, it belongs to root"
    )
    assert said.endswith("[]\n")
    said, _ = _as_other_user(folder, then, keeping=folder.path).communicate(timeout=60)
    assert said.endswith(f"[('{folder.path.name}', 'root')]\n"), said
    said, _ = _as_other_user(folder, then, keeping=folder.path.parent).communicate(timeout=60)
    assert said.endswith("[('heat', 'root')]\n"), said


@as_root
@on_linux
def test_a_device_is_held_on_the_machine_whoever_holds_it(run: Any) -> None:
    folder, _ = run
    name = f"DT9837 of {os.getpid()}"
    then = f"""
from dtopipe.boards.exclusive import ExclusiveDevice
ExclusiveDevice("simulated", {name!r}).hold("theirs")
print("held", flush=True)
sys.stdin.read()
"""
    with _as_other_user(folder, then) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        ours = ExclusiveDevice("simulated", name)
        with pytest.raises(BoardError) as refused:
            ours.hold("ours")
        assert f"is held by run 'theirs' (process {other.pid} of user {OTHER_USER})" in str(refused.value)
        other.kill()
        other.wait()
        ours.hold("ours")
        ours.let_go()


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Runtime folders of two sessions of one user, short enough for sockets."""
    monkeypatch.delenv("DTOPIPE_RUNTIME_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folders = Path(f"/tmp/dts-{os.getpid()}-1"), Path(f"/tmp/dts-{os.getpid()}-2")
    for folder in folders:
        folder.mkdir(mode=0o700)
    yield folders
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@on_linux
def test_runs_of_other_sessions_are_found_also_after_a_logout(
    run: Any, sessions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lock = run
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sessions[0]))
    entry, held = RuntimeEntry.create()
    known = KnownRun(entry.folder.name)
    known.note(folder.path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sessions[1]))
    assert [found.path for found in runs_in_progress()] == [folder.path]
    shutil.rmtree(sessions[0])
    assert [found.path for found in runs_in_progress()] == [folder.path]
    forget_ended_runs(LOCK_FILE)
    assert list(known_runs()) == [folder.path]
    held.release()
    lock.take_away()
    assert list(runs_in_progress()) == []
    forget_ended_runs(LOCK_FILE)
    assert list(known_runs()) == []
    known.forget()


@on_linux
def test_a_run_in_the_background_of_a_session_is_told_of_lingering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not who_is_here().user:
        pytest.skip("a user without a name has no login sessions")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    monkeypatch.setattr(session, "_LINGERING", tmp_path)
    warning = session.end_of_session_warning()
    assert "loginctl enable-linger" in warning
    (tmp_path / warning.split()[-1]).touch()
    assert session.end_of_session_warning() == ""
