"""What a look at a folder tells of the run's outputs in it, and what happens when the folder does not answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dtopipe.supervisor.disk_probe import DiskProbe, OutputSeen, look_at


def test_every_file_belongs_to_the_output_that_it_is_beside(tmp_path: Path) -> None:
    sizes = {
        "out": 1, "out.dtopipe": 2, "out.csv": 4, "out.csv.dtopipe": 8,
        "run.db": 16, "run.db-wal": 32, "run.db-shm": 64, "columns.parquet": 2048, "columns.parquet.tail": 4096,
        "raw.0001.dt-raw": 128, "raw.0002.dt-raw": 256, "raw.dt-raw.dtopipe": 512, "raw.dt-raw.index": 1024,
        "notes.txt": 8192, "output": 16384,
    }  # fmt: skip
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    names = {"a": "out", "b": "out.csv", "base": "run.db", "raw": "raw.dt-raw", "columns": "columns.parquet", "c": "no"}
    seen = look_at(tmp_path, {sink: tmp_path / name for sink, name in names.items()})
    assert seen.outputs == {
        "a": OutputSeen(3, 0),
        "b": OutputSeen(12, 0),
        "base": OutputSeen(112, 96),
        "raw": OutputSeen(1920, 0),
        "columns": OutputSeen(6144, 4096),
    }
    assert seen.device == tmp_path.stat().st_dev
    assert abs(seen.free_bytes - shutil.disk_usage(tmp_path).free) < 2**30


def test_a_folder_that_is_away_is_seen_again_when_it_is_back(tmp_path: Path, wait_for: Callable[..., None]) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    probe = DiskProbe(folder, {})
    try:
        wait_for(lambda: probe.seen is not None)
        folder.rename(tmp_path / "aside")
        wait_for(lambda: probe.seen is None)
        (tmp_path / "aside").rename(folder)
        wait_for(lambda: probe.seen is not None)
    finally:
        probe.stop()


def test_a_share_that_does_not_answer_holds_nobody_up(
    tmp_path: Path, wait_for: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = threading.Event(), threading.Event()
    usage = shutil.disk_usage

    def slow(folder: Any) -> Any:
        asked.set()
        assert answers.wait(30)
        return usage(folder)

    probe = DiskProbe(tmp_path, {})
    try:
        wait_for(lambda: probe.seen is not None)
        monkeypatch.setattr(shutil, "disk_usage", slow)
        wait_for(asked.is_set)
        # What it said last stays, and shows by its time how old it is.
        old = probe.seen
        assert old is not None
        answers.set()
        wait_for(lambda: probe.seen is not old)
    finally:
        answers.set()
        probe.stop()


def test_a_file_that_grows_is_asked_itself_and_not_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_bytes(b"12345")

    class OldEntry:
        """As NTFS has it while the file is open: what it was when it was opened."""

        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path = entry.name, entry.path

        def stat(self) -> os.stat_result:
            raise AssertionError("its folder was asked")

    scan = os.scandir

    @contextlib.contextmanager
    def scanned(folder: Path) -> Iterator[Iterator[OldEntry]]:
        with scan(folder) as entries:
            yield (OldEntry(entry) for entry in entries)

    monkeypatch.setattr(os, "scandir", scanned)
    assert look_at(tmp_path, {"a": tmp_path / "a.csv"}).outputs["a"].n_bytes == 5
