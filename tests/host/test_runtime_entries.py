"""Entries of the runtime folder: told from others' folders, read with care, deleted file by file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dtopipe.host.runtime import EntryFacts, RuntimeEntry, entries
from dtopipe.supervisor.recover import recover_killed_runs

_FACTS = EntryFacts(str(uuid.uuid4()), "heat", str(Path("/runs/heat/1").absolute()), "2026", 7, "ipc://x")


@pytest.fixture
def folder() -> Path:
    """The runtime folder of this test."""
    return Path(os.environ["DTOPIPE_RUNTIME_DIR"])


def _recovered() -> list[Any]:
    return list(recover_killed_runs(lambda record, name, path, outside: None))


def test_an_entry_goes_with_what_entries_hold() -> None:
    entry, lock = RuntimeEntry.create()
    entry.write(_FACTS)
    (entry.folder / "acquirer.lock").write_text("")
    (entry.folder / "entry.json.new").write_text("torn")
    (entry.folder / "0123.subscriber").write_text("")
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as link:
            link.bind(str(entry.folder / "control"))
    lock.release()
    entry.remove()
    assert not entry.folder.exists()
    entry.remove()


@pytest.mark.parametrize("name", ["thesis.tex", "deep/main.tex", "results.lock/main.tex", "link.lock"])
def test_what_somebody_put_into_an_entry_stays(name: str, tmp_path: Path, folder: Path) -> None:
    entry, lock = RuntimeEntry.create()
    lock.release()
    thesis = entry.folder / name
    thesis.parent.mkdir(exist_ok=True)
    if name == "link.lock":
        (tmp_path / "mine").write_text("words")
        thesis.symlink_to(tmp_path / "mine")
    else:
        thesis.write_text("words")
    for _ in range(2):
        assert _recovered() == []
        assert thesis.read_text() == "words"
    # It is known as ours still, and goes as soon as that is taken away.
    thesis.unlink()
    if thesis.parent != entry.folder:
        thesis.parent.rmdir()
    assert _recovered() == []
    assert not entry.folder.exists()


def test_folders_that_do_not_carry_the_mark_are_no_entries_and_never_touched(folder: Path, tmp_path: Path) -> None:
    entry, lock = RuntimeEntry.create()
    for name, inside in (("thesis", "x.lock"), ("0123abcd", "x.lock"), ("89abcdef", "entry.json"), ("0000000", "a")):
        (folder / name).mkdir()
        (folder / name / inside).write_text("words")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "dtopipe-run").write_bytes((entry.folder / "dtopipe-run").read_bytes())
    (folder / "fedcba98").symlink_to(tmp_path / "elsewhere")
    lock.release()
    before = sorted(path for path in folder.rglob("*") if entry.folder not in (path, *path.parents))
    assert [known.folder for known in entries()] == [entry.folder]
    assert _recovered() == []
    assert sorted(folder.rglob("*")) == before
    assert (tmp_path / "elsewhere" / "dtopipe-run").exists()
    for path in reversed(before):
        if not path.match("dtopipe.lock"):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_entries_of_versions_without_a_mark_are_known_by_their_facts() -> None:
    entry, lock = RuntimeEntry.create()
    entry.write(_FACTS)
    lock.release()
    (entry.folder / "dtopipe-run").unlink()
    assert [known.read() for known in entries()] == [_FACTS]
    entry.remove()


_ODD: list[object] = [
    [], "text", None, 1, {},
    {"run_id": 7}, {"run_id": "../*"}, {"run_id": "*"}, {"pid": "7"}, {"pid": True}, {"pid": -1}, {"pid": float("nan")},
    {"run_folder": "relative/../.."}, {"run_folder": "/a\0b"}, {"run_folder": ["/"]}, {"segment": 1}, {"control": None},
    {"name": {}}, {"public_key": []},
]  # fmt: skip


@pytest.mark.parametrize("odd", _ODD, ids=repr)
def test_facts_of_another_kind_are_none(odd: Any) -> None:
    entry, lock = RuntimeEntry.create()
    document = asdict(_FACTS) | odd if isinstance(odd, dict) and odd else odd
    (entry.folder / "entry.json").write_text(json.dumps(document))
    assert entry.read() is None
    lock.release()
    assert _recovered() == []
    assert not entry.folder.exists()


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"[" * 60_000, b'"' + b"x" * 2**17 + b'"'], ids=len)
def test_bytes_of_any_kind_are_no_facts(text: bytes) -> None:
    entry, lock = RuntimeEntry.create()
    (entry.folder / "entry.json").write_bytes(text)
    assert entry.read() is None
    lock.release()
    entry.remove()


@pytest.mark.parametrize("segment", ["/etc/passwd", "../x", "dtopipe-", "dtopipe-0123456789abcdef", "other"])
def test_only_shared_memory_of_ours_is_taken_away(segment: str, tmp_path: Path) -> None:
    entry, lock = RuntimeEntry.create()
    # Its run folder was deleted: nothing of it is needed any more.
    entry.write(EntryFacts(**asdict(_FACTS) | {"segment": segment, "run_folder": str(tmp_path / "gone")}))
    lock.release()
    assert [recovery.trouble for recovery in _recovered()] == [""]
    assert not entry.folder.exists()


_MAKER = """
import time
from dtopipe.host.runtime import RuntimeEntry
entry, lock = RuntimeEntry.create()
print(entry.folder, flush=True)
{then}
"""


def _maker(then: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _MAKER.format(then=then)], stdout=subprocess.PIPE, text=True)


def test_an_entry_whose_maker_lives_is_left_to_it_and_goes_once_that_was_killed(wait_for: Callable[..., None]) -> None:
    with _maker("time.sleep(600)") as maker:
        assert maker.stdout
        made = Path(maker.stdout.readline().strip())
        assert _recovered() == []
        assert made.exists()
        maker.kill()
        maker.wait()
    assert _recovered() == []
    assert not made.exists()


_OFTEN = """
for _ in range(200):
    lock.release()
    entry.remove()
    entry, lock = RuntimeEntry.create()
lock.release()
entry.remove()
"""


def test_entries_come_and_go_while_others_recover() -> None:
    makers = [_maker(_OFTEN) for _ in range(3)]
    while any(maker.poll() is None for maker in makers):
        assert _recovered() == []
    for maker in makers:
        maker.communicate()
    assert [maker.returncode for maker in makers] == [0, 0, 0]
    assert list(entries()) == []
