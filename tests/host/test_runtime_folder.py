"""The runtime folder: made for this user alone, and refused in words where it cannot be that."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from leftovers import SHORT

from dtopipe.host.runtime import RuntimeEntry, entries
from dtopipe.host.runtime_folder import runtime_dir, runtime_trouble, seen_runtime_dir
from dtopipe.model.errors import UsageError
from dtopipe.transport.key_folder import KeyFolder, KeyState

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owner and no mode here")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where `DTOPIPE_RUNTIME_DIR` points to; not there yet. Sockets have short paths: pytest's folders are too deep."""
    with tempfile.TemporaryDirectory(prefix="dtr-", dir=SHORT) as short:
        path = Path(short) / "rt"
        monkeypatch.setenv("DTOPIPE_RUNTIME_DIR", str(path))
        yield path


@pytest.fixture
def no_umask() -> Iterator[None]:
    """As where somebody has typed `umask 000`."""
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_whoever_only_looks_makes_no_folder(folder: Path, run_cli: Callable[..., Any]) -> None:
    assert seen_runtime_dir() is None
    assert list(entries()) == []
    for command in (("runs",), ("status",), ("verify", "x"), ("boards",), ("sinks",), ("schema",)):
        assert "Traceback" not in run_cli(*command).stderr
    assert not folder.exists()


@pytest.mark.usefixtures("no_umask")
def test_folders_for_the_user_alone_are_private_under_any_umask(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A socket's path has no room for a long TMPDIR.
    place = folder.parent
    monkeypatch.setenv("DTOPIPE_RUNTIME_DIR", str(place / "a" / "b" / "rt"))
    entry, lock = RuntimeEntry.create()
    made = [place / "a", place / "a" / "b", place / "a" / "b" / "rt", entry.folder]
    keys = KeyFolder(tmp_path / "c" / "keys")
    keys._make_folder(KeyState.OWN)  # what every command that writes a key does first
    made += [tmp_path / "c", tmp_path / "c" / "keys", tmp_path / "c" / "keys" / "own"]
    assert {path.name: oct(_mode(path)) for path in made} == {path.name: "0o700" for path in made}
    lock.release()
    entry.remove()
    assert not entry.folder.exists()


def _linked(folder: Path) -> None:
    (folder.parent / "target").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "target")


def _of_another(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    folder.mkdir()
    os.chown(folder, 12345, 12345)


def _in_a_folder_of_another(folder: Path) -> None:
    _of_another(folder)
    (folder / "rt").mkdir(mode=0o700)


def _in_a_folder_of_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "rt").mkdir(mode=0o700)


def _open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def _closed_to_oneself(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o000)


@pytest.mark.parametrize(
    ("make", "inside", "words", "way_out"),
    [
        (_linked, "", "is a link", "to the folder itself"),
        (_of_another, "", "belongs to another user", "a folder of your own"),
        (_in_a_folder_of_another, "rt", "in a folder of another user", "a folder of your own"),
        (_in_a_folder_of_all, "rt", "can be replaced by other users", "chmod o-w"),
        (_open_to_all, "", "can be written to by other users", "chmod 700"),
        (_closed_to_oneself, "", "cannot be used by its own owner", "chmod 700"),
        (lambda folder: folder.write_text("mine"), "", "is not a folder", "a folder of your own"),
    ],
)
def test_an_unfit_folder_is_refused_in_words_and_no_run_is_seen_in_it(
    folder: Path, make: Any, inside: str, words: str, way_out: str, run_cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    make(folder)
    monkeypatch.setenv("DTOPIPE_RUNTIME_DIR", str(folder / inside))
    with pytest.raises(UsageError, match=words) as refused:
        runtime_dir()
    assert way_out in str(refused.value).partition("\n")[2]
    assert words in str(runtime_trouble())
    assert list(entries()) == []
    listed, unnamed = run_cli("runs"), run_cli("status")
    assert (listed.code, words in listed.stderr) == (0, True), listed.stderr
    assert (unnamed.code, words in unnamed.stderr) == (2, True), unnamed.stderr
    begun = run_cli("up", _quick(folder.parent))
    assert (begun.code, words in begun.stderr) == (2, True), begun.stderr
    assert "Traceback" not in listed.stderr + unnamed.stderr + begun.stderr
    assert not (folder.parent / "runs").exists()
    if not folder.is_file():
        folder.chmod(0o700)


def test_a_parent_that_nobody_may_look_into_is_refused_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTOPIPE_RUNTIME_DIR", str(folder / "\u00e9" / "file" / "rt"))
    (folder / "\u00e9").mkdir(parents=True, mode=0o700)
    (folder / "\u00e9" / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be"):
        runtime_dir()
    assert list(entries()) == []


@pytest.mark.parametrize("name", ["thesis", "0123abcd", "notes.txt", "board-x.lock.txt", "DTOPIPE.LOCKS"])
def test_others_things_in_the_folder_are_named_and_left_alone(
    folder: Path, name: str, run_cli: Callable[..., Any]
) -> None:
    folder.mkdir(mode=0o700)
    if "." in name:
        (folder / name).write_text("words")
    else:
        (folder / name).mkdir()
        (folder / name / "main.tex").write_text("words")
    before = sorted(folder.rglob("*"))
    begun = run_cli("up", _quick(folder.parent))
    assert (begun.code, f"not dtopipe's: {name}" in begun.stderr) == (2, True), begun.stderr
    for command in (("runs",), ("status",), ("stop",), ("repair", "x"), ("stop", "x"), ("verify", "x")):
        assert "Traceback" not in run_cli(*command).stderr
    assert sorted(folder.rglob("*")) == before
    assert not (folder.parent / "runs").exists()


def test_locks_of_earlier_versions_devices_and_what_a_killed_maker_left_are_ours(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "board-simulated-one-7692c3ad.lock").write_text("")
    (folder / "00000000").mkdir()
    (folder / "11111111").mkdir()
    (folder / "11111111" / "dtopipe-run").write_bytes(b"a run of")
    entry, lock = RuntimeEntry.create()
    assert [known.folder for known in entries()] == [entry.folder]
    lock.release()
    entry.remove()


def _quick(folder: Path) -> Path:
    path = folder / "quick.yaml"
    path.write_text(
        "board: {type: simulated}\ntask: {rate_hz: 1000, channels: [{name: a, physical_channel: 0}]}\n"
        "sinks: {table: {type: csv, path: table.csv}}\nduration: 100ms\n"
    )
    return path
