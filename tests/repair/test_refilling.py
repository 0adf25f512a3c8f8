"""Outputs of an ended run that are refilled from each other, in run folders that no process has made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import N_SAMPLES, OVERRUN, SINKS, edit_record, items_of, record_run, reports, stream_of

from dtopipe.core.lifecycle import SinkState
from dtopipe.core.verdict import VerdictState
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import UsageError
from dtopipe.repair.mended import RepairReport
from dtopipe.repair.run import repair_run

BLOCKS = {name: SINKS[name] for name in ("archive", "view", "lines", "table", "columns")}
TEXTS = {"view": "view.csv", "lines": "lines.jsonl"}
# A block of them ends there, before the hole.
SHORT = 250


def record_of(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return record


def repaired(folder: Path, *names: str, other: Path | None = None) -> RepairReport:
    chosen = names or tuple(record_of(folder)["sinks"])
    return repair_run(RunFolder(folder), chosen, None if other is None else RunFolder(other))


def changed(report: RepairReport) -> list[str]:
    """The outputs that it has done anything to."""
    return [mended.name for mended in report.outputs if mended.how != "whole"]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return record_run(tmp_path / "whole" / "run", BLOCKS)


def cut_short(folder: Path, tmp_path: Path, name: str, **facts: Any) -> Path:
    """As if that sink had ended at sample 250, as these facts of the record say."""
    stream = stream_of()
    items = [item for item in items_of(stream) if item.span.stop <= SHORT]
    part = record_run(tmp_path / f"part {name}", {name: BLOCKS[name]}, items)
    path = BLOCKS[name]["path"]
    for file in part.glob(f"{Path(path).name}*"):
        shutil.copy(file, folder / file.name)

    def change(record: dict[str, Any]) -> None:
        sink = record["sinks"][name]
        absent = sink["stop"] - SHORT
        sink |= {"committed": SHORT, "durable": SHORT, "samples": SHORT, "gaps": absent, "state": "gave_up"}
        sink |= {"failure": "gave up after 3 failures: killed", **facts}

    edit_record(folder, change)
    return folder


@pytest.mark.parametrize("name", BLOCKS)
def test_an_output_that_is_gone_is_written_anew_from_the_others(whole: Path, name: str) -> None:
    path = whole / BLOCKS[name]["path"]
    before = path.read_bytes()
    for file in whole.glob(f"{path.name}*"):
        file.unlink()
    assert reports(whole)[name].damage or not reports(whole)[name].covered
    report = repaired(whole)
    assert changed(report) == [name]
    assert {mended.gaps for mended in report.outputs} == {len(OVERRUN)}
    assert reports(whole)[name].covered == reports(whole)[next(each for each in BLOCKS if each != name)].covered
    if name in TEXTS:
        assert path.read_bytes() == before


@pytest.mark.parametrize("name", BLOCKS)
def test_a_sink_that_gave_up_is_continued_where_it_stopped(whole: Path, tmp_path: Path, name: str) -> None:
    before = (whole / BLOCKS[name]["path"]).read_bytes()
    cut_short(whole, tmp_path, name)
    report = repaired(whole)
    assert changed(report) == [name]
    sink = record_of(whole)["sinks"][name]
    assert (sink["state"], sink["committed"], sink["gaps"]) == (SinkState.DONE, N_SAMPLES, len(OVERRUN))
    assert "failure" not in sink
    assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"]
    if name in TEXTS:
        assert (whole / TEXTS[name]).read_bytes() == before
    assert not changed(repaired(whole)), "what is whole stays as it is"


# A raw file and a database say themselves what they have.
@pytest.mark.parametrize("name", ["view", "lines", "columns"])
def test_what_is_whole_without_its_commit_record_is_given_one_and_stays(whole: Path, name: str) -> None:
    """It is synced before that; Windows syncs no file that is open for reading only."""
    path = whole / BLOCKS[name]["path"]
    before = path.stat()
    path.with_name(path.name + ".dtopipe").unlink()
    report = repaired(whole)
    assert changed(report) == [name]
    assert [mended.failure for mended in report.outputs if mended.failure] == []
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not reports(whole)[name].damage


def test_what_the_board_lost_no_repair_brings_back_and_the_first_verdict_is_kept(whole: Path, tmp_path: Path) -> None:
    first = record_of(whole)["verdict"]
    cut_short(whole, tmp_path, "view")
    report = repaired(whole)
    record = record_of(whole)
    assert report.verdict.state is VerdictState.INCOMPLETE
    assert record["first_verdict"]["state"] == first["state"]
    lines = [json.loads(line) for line in (whole / "gaps.jsonl").read_text().splitlines()]
    assert {line["cause"] for line in lines} == {"board_overrun"}


def test_a_detached_sink_is_whole_up_to_there_until_it_is_named(whole: Path, tmp_path: Path) -> None:
    facts = {"state": "detached", "stop": SHORT, "gaps": 0}
    cut_short(whole, tmp_path, "view", **facts)
    edit_record(whole, lambda record: record["sinks"]["view"].pop("failure"))
    blocks = [name for name in BLOCKS if name != "view"]
    assert not changed(repaired(whole, *blocks))
    assert record_of(whole)["sinks"]["view"]["stop"] == SHORT
    report = repaired(whole, "view")
    assert changed(report) == ["view"]
    assert record_of(whole)["sinks"]["view"]["stop"] == N_SAMPLES


@pytest.mark.parametrize("gone", [{"archive"}, {"archive", "table", "columns"}])
def test_without_a_raw_file_outputs_are_refilled_from_one_another(whole: Path, tmp_path: Path, gone: set[str]) -> None:
    for name in gone:
        for file in whole.glob(f"{BLOCKS[name]['path']}*"):
            file.unlink()
    before = (whole / "view.csv").read_bytes()
    cut_short(whole, tmp_path, "view")
    repaired(whole, "view")
    assert (whole / "view.csv").read_bytes() == before


def test_samples_come_from_another_folder_of_the_same_run(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "run"
    shutil.copytree(whole, copy)
    before = (whole / "view.csv").read_bytes()
    cut_short(whole, tmp_path, "view")
    for name in set(BLOCKS) - {"view"}:
        for file in whole.glob(f"{BLOCKS[name]['path']}*"):
            file.unlink()
    repaired(whole, "view", other=copy)
    assert (whole / "view.csv").read_bytes() == before


def test_a_folder_of_another_run_is_no_source(whole: Path, tmp_path: Path) -> None:
    other = record_run(tmp_path / "other" / "run", BLOCKS, stream=stream_of(run_id="run-2"))
    with pytest.raises(UsageError, match=r"is of another run \(run-2\)\n    name a copy of this run"):
        repaired(whole, "view", other=other)


def test_what_nobody_has_any_more_is_a_gap_with_its_cause(whole: Path, tmp_path: Path) -> None:
    for name in BLOCKS:
        cut_short(whole, tmp_path, name)
    repaired(whole)
    for name, report in reports(whole).items():
        assert report.covered[-1].stop == SHORT, name
        sink = record_of(whole)["sinks"][name]
        assert sink["start"] + sink["samples"] + sink["gaps"] == sink["stop"] == N_SAMPLES


def test_an_output_that_nobody_has_is_refused_with_those_that_there_are(whole: Path) -> None:
    with pytest.raises(UsageError, match="there is no output 'veiw'") as refused:
        repaired(whole, "veiw")
    assert refused.value.remedy.startswith("its outputs: ")


@pytest.mark.parametrize("name", ["view", "lines"])
def test_a_repair_changes_no_output_but_the_one_that_lacks_something(
    whole: Path, tmp_path: Path, name: str, state_of: Callable[[Path], dict[str, bytes]]
) -> None:
    before = state_of(whole)
    cut_short(whole, tmp_path, name)
    repaired(whole)
    after = state_of(whole)
    own = {file for file in before | after if file.startswith(BLOCKS[name]["path"])} | {"run.json"}
    assert {file: text for file, text in after.items() if file not in own} == {
        file: text for file, text in before.items() if file not in own
    }


@pytest.fixture
def state_of() -> Callable[[Path], dict[str, bytes]]:
    """Every byte of a folder's files."""
    return lambda folder: {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
