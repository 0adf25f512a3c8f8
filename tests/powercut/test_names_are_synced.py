"""Folders and names that a run or a key needs are on the disk once the call that makes them returns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cut_mounts import CutMount, mounted
from forgetful_disk import Mode
from recordings import ANCHOR, blocks, recorded

from dtopipe.host.disk_names import make_folders
from dtopipe.host.run_folder import RunFolder, replace_text
from dtopipe.model.errors import UsageError
from dtopipe.model.policy import OnExists
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.errors import prepare
from dtopipe.sinks.file.reader import record_of
from dtopipe.sinks.hbuf.segments import prepare_segments
from dtopipe.sinks.text.dialects import csv_writer
from dtopipe.sinks.text.excel import ExcelForm, ExcelState
from dtopipe.supervisor.lines import EventsFile
from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.key_folder import KeyFolder


@pytest.fixture
def strict(apart: Path) -> Iterator[CutMount]:
    with mounted(apart / "mount", apart / "image", Mode.STRICT, 0) as mount:
        yield mount


def _after_the_cut(strict: CutMount) -> Path:
    strict.cut()
    strict.end()
    return strict.image / "disk"


def test_a_run_folder_and_its_record(strict: CutMount) -> None:
    started = datetime(2026, 11, 22, 23, 41, tzinfo=UTC)
    first = RunFolder.create(strict.place / "deep" / "runs", "heat-flux", started)
    first.write_topology({"name": "heat-flux"})
    first.write_record({"run_id": "first"})
    first.write_record({"run_id": "again"})
    first.become_latest()
    second = RunFolder.create(strict.place / "deep" / "runs", "heat-flux", started)
    second.write_record({})
    events = EventsFile(second.path / "events.jsonl")
    events.append("running")
    events.close()
    disk = _after_the_cut(strict) / "deep" / "runs" / "heat-flux"
    assert (disk / "latest").read_text() == "20261122T234100Z\n"
    assert (disk / "20261122T234100Z" / "topology.yaml").read_text() == "name: heat-flux\n"
    assert "again" in (disk / "20261122T234100Z" / "run.json").read_text()
    assert (disk / "20261122T234100Z" / "logs").is_dir()
    assert (disk / "20261122T234100Z-2" / "run.json").exists()


def test_lines_that_were_closed(strict: CutMount) -> None:
    events = EventsFile(strict.place / "events.jsonl")
    replace_text(strict.place / "run.json", "{}")
    events.append("running")
    events.close()
    assert b"running" in (_after_the_cut(strict) / "events.jsonl").read_bytes()


def test_folders_of_outputs(strict: CutMount) -> None:
    prepare(strict.place / "a" / "b" / "table.csv", OnExists.ERROR)
    prepare_segments(strict.place / "c" / "d" / "archive.dt-raw", OnExists.ERROR)
    disk = _after_the_cut(strict)
    assert (disk / "a" / "b").is_dir()
    assert (disk / "c" / "d").is_dir()


def test_the_moment_that_seconds_count_from(strict: CutMount) -> None:
    writer = csv_writer(OutputOptions(strict.place / "sheet.csv"), dialect="excel")
    writer.open(recorded(), 0, resume=False)
    writer.append(blocks(recorded(), 0, 50))
    writer.abandon()
    snapshot, damage = record_of(_after_the_cut(strict) / "sheet.csv")
    assert snapshot is not None
    assert not damage
    assert ExcelState.of(snapshot.extra) == ExcelState(ExcelForm(), ANCHOR.t_mono_ns)


def test_keys(strict: CutMount) -> None:
    keys = KeyFolder(strict.place / "config" / "keys")
    keys.write_own(new_key_pair("daq-pc"))
    for name in ("office", "spy"):
        keys.authorize(new_key_pair(name).public, "2026-11-22T23:41:00Z")
    keys.revoke("spy", "2026-11-22T23:42:00Z")
    disk = KeyFolder(_after_the_cut(strict) / "config" / "keys")
    assert disk.own().public.name == "daq-pc"
    assert disk.public_path("daq-pc").exists()
    assert [known.name for known in disk.authorized()] == ["office"]
    assert "spy" in [known.name for known in disk.known() if known.state == "revoked"]


def test_folders_that_are_there_are_left_alone_and_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    make_folders(tmp_path / "a" / "b", 0o700)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 in (0o700, 0o777)
    make_folders(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_folders(tmp_path / "file" / "below")
    with pytest.raises(UsageError, match="cannot be made"):
        RunFolder.create(tmp_path, "file", datetime.now(UTC))
