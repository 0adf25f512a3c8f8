"""Views and parts of ended runs, recounted and refilled in run folders that no process has made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import N_SAMPLES, OVERRUN, edit_record, items_of, record_run, reports, stream_of, verified

import dtopipe
from dtopipe.core.verdict import VerdictState
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import SinkError
from dtopipe.model.span import Gap
from dtopipe.repair.mended import RepairReport
from dtopipe.repair.run import repair_run

# At 3 kHz parts have 240 samples, and rows of views 15, 60 or 90.
SINKS: dict[str, dict[str, Any]] = {
    "archive": {"type": "hbuf", "path": "archive.dt-raw"},
    "live": {"type": "csv", "path": "live-{part}.csv", "split": "80ms"},
    "lines": {"type": "jsonl", "path": "lines-{part}.jsonl", "split": "80ms", "layout": "long"},
    "columns": {"type": "parquet", "path": "columns-{part}.parquet", "split": "80ms", "row_group_size": 100},
    "arrays": {"type": "hdf5", "path": "arrays-{part}.h5", "split": "80ms", "chunk_rows": 50},
    "ends": {"type": "csv", "path": "ends.csv", "every": "5ms", "reduce": "minmax"},
    "means": {"type": "sqlite", "path": "means.db", "every": "20ms"},
    "firsts": {"type": "hdf5", "path": "firsts.h5", "every": "30ms", "reduce": "first", "channels": ["tc1"]},
    "trend": {"type": "parquet", "path": "trend-{part}.parquet", "every": "20ms", "split": "80ms"},
}
PARTED = [name for name, sink in SINKS.items() if "split" in sink]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return record_run(tmp_path / "whole" / "run", SINKS)


def repaired(folder: Path, *names: str) -> RepairReport:
    return repair_run(RunFolder(folder), names or tuple(SINKS))


def data_of(folder: Path) -> dict[str, bytes]:
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.suffix in (".csv", ".jsonl", ".parquet", ".h5")
    }


def test_views_and_parts_are_as_recorded(whole: Path) -> None:
    found = reports(whole)
    assert {name: report.problems for name, report in found.items()} == dict.fromkeys(SINKS, ())
    assert {report.compared_with for name, report in found.items() if name != "archive"} == {"archive"}
    assert found["ends"].rows == 65
    assert found["ends"].samples == N_SAMPLES - len(OVERRUN)
    assert [len(found[name].parts) for name in PARTED] == [5] * len(PARTED)
    assert [change.how for change in repaired(whole).outputs] == ["whole"] * len(SINKS)


@pytest.mark.parametrize("name", PARTED)
@pytest.mark.parametrize("with_record", [True, False])
def test_a_lost_part_is_made_again_byte_for_byte(name: str, with_record: bool, whole: Path) -> None:
    before = data_of(whole)
    lost = whole / SINKS[name]["path"].replace("{part}", "0002")
    lost.unlink()
    if not with_record:
        Path(f"{lost}.dtopipe").unlink()
    (problem,) = reports(whole)[name].problems
    assert problem.startswith(f"{lost.name}: ")
    (mended,) = (each for each in repaired(whole).outputs if each.how != "whole")
    assert (mended.name, mended.how, mended.added) == (name, "1 of 5 parts written anew", 200)
    if SINKS[name].get("layout") != "long":
        # How many rows of a channel stand together in the long layout is a matter of commits.
        assert data_of(whole) == before
    assert not any(report.problems for report in reports(whole).values())


def test_all_parts_are_made_again_by_the_record_alone(whole: Path) -> None:
    before = data_of(whole)
    for file in whole.glob("live-*"):
        file.unlink()
    assert repaired(whole, "live").outputs[0].how == "5 of 5 parts written anew"
    assert data_of(whole) == before


def test_a_part_that_should_not_be_there_is_named(whole: Path) -> None:
    for ending in ("", ".dtopipe"):
        shutil.copy(whole / f"live-0005.csv{ending}", whole / f"live-0009.csv{ending}")
    (problem,) = reports(whole)["live"].problems[:1]
    assert problem.startswith("live-0009.csv: ")
    assert "should not be" in problem


def test_a_wrong_value_of_a_view_is_found_and_mended(whole: Path) -> None:
    before = data_of(whole)
    text = (whole / "ends.csv").read_text()
    lines = text.splitlines()
    cells = lines[7].split(",")
    cells[3] = "-4.5"
    lines[7] = ",".join(cells)
    (whole / "ends.csv").write_text("\n".join(lines) + "\n")
    found = reports(whole)["ends"]
    assert [span.start for span in found.differing] == [int(cells[0])]
    repaired(whole)
    assert data_of(whole)["ends.csv"] == before["ends.csv"]


@pytest.mark.parametrize("name", [name for name in SINKS if name != "archive"])
def test_an_output_that_was_killed_over_is_completed(name: str, tmp_path: Path, whole: Path) -> None:
    """As if its sink had given up at sample 450: the rest comes from the archive, in the same rows and parts."""
    stream = stream_of()
    short = record_run(
        tmp_path / "short" / "run", {name: SINKS[name]}, [i for i in items_of(stream) if i.span.stop <= 450]
    )
    before = data_of(whole)
    pattern = SINKS[name]["path"].replace("{part}", "*") + "*"
    for file in whole.glob(pattern):
        file.unlink()
    for file in short.glob(pattern):
        shutil.copy(file, whole / file.name)

    def change(record: dict[str, Any]) -> None:
        sink = record["sinks"][name]
        sink |= {"committed": 450, "durable": 450, "samples": 410, "gaps": sink["stop"] - 410, "state": "gave_up"}

    edit_record(whole, change)
    report = repaired(whole)
    assert report.verdict.state is VerdictState.INCOMPLETE
    assert not any(each.failure for each in report.outputs)
    found = verified(whole)
    assert not any(each.problems for each in found.outputs)
    if SINKS[name]["type"] == "csv":
        assert {file: data for file, data in data_of(whole).items() if ".damaged" not in file} == before


@pytest.mark.parametrize("name", ["ends", "firsts", "trend"])
def test_rows_of_a_view_that_nobody_can_make_any_more_stay(name: str, tmp_path: Path, whole: Path) -> None:
    """The view is ahead of all others, and the power took its commit record."""
    short = record_run(
        tmp_path / "short" / "run",
        {"archive": SINKS["archive"]},
        [item for item in items_of(stream_of()) if item.span.stop <= 450],
    )
    before = rows_of(whole, name)
    for other, sink in SINKS.items():
        for file in whole.glob(sink["path"].replace("{part}", "*") + ("*" if other != name else "*.dtopipe")):
            file.unlink()
    for file in short.glob("archive.dt-raw*"):
        shutil.copy(file, whole / file.name)

    def change(record: dict[str, Any]) -> None:
        record["sinks"]["archive"] |= {"committed": 450, "durable": 450, "samples": 410, "state": "gave_up"}

    edit_record(whole, change)
    (mended,) = repaired(whole, name).outputs
    assert "written anew" in mended.how
    assert rows_of(whole, name) == before
    assert [change.how for change in repaired(whole, name).outputs] == ["whole"]


def rows_of(folder: Path, name: str) -> list[list[Any]]:
    """Index, times and values of each row."""
    samples = dtopipe.load(folder).samples(sink=name)
    columns = [samples.sample_index, samples.t_mono_ns, samples.t_utc_ns, *samples.values]
    return [np.asarray(column).tolist() for column in columns]


def test_views_are_no_source_for_others(whole: Path) -> None:
    """A view has not the samples that it was made of."""
    for name, sink in SINKS.items():
        if name not in ("ends", "means", "firsts", "trend"):
            for file in whole.glob(sink["path"].replace("{part}", "*") + "*"):
                file.unlink()
    report = repaired(whole, "live")
    assert all(each.samples == 0 or each.failure for each in report.outputs)


def test_parts_and_views_are_loaded(whole: Path) -> None:
    stream = stream_of()
    codes = np.concatenate([item.codes for item in items_of(stream) if not isinstance(item, Gap)], axis=1)
    run = dtopipe.load(whole)
    for name in ("live", "columns", "arrays"):
        found = run.samples(["tc1"], sink=name)
        assert len(found.sample_index) == codes.shape[1]
        part = run.samples(["tc1"], span=(230, 250), sink=name)
        assert part.sample_index.tolist() == list(range(230, 250))
    assert run.samples(sink="means").sample_index.tolist()[:7] == [0, 60, 120, 180, 240, 340, 360]
    one = dtopipe.load(whole / "live-0003.csv")
    assert one.samples().sample_index.tolist() == list(range(480, 720))


def test_a_follower_goes_from_part_to_part(whole: Path) -> None:
    index = np.concatenate([rows.sample_index for rows in dtopipe.tail("live", whole)])
    assert index.tolist() == [*range(OVERRUN.start), *range(OVERRUN.stop, N_SAMPLES)]
    later = np.concatenate([rows.sample_index for rows in dtopipe.tail("columns", whole, start=700)])
    assert later.tolist() == list(range(700, N_SAMPLES))


def test_a_part_that_leads_elsewhere_is_not_opened(whole: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("precious\n")
    (whole / "live-0002.csv").unlink()
    (whole / "live-0002.csv").symlink_to(mine)
    (problem,) = reports(whole)["live"].problems[:1]
    assert "is a link to" in problem
    repaired(whole)
    assert mine.read_text() == "precious\n"
    with pytest.raises(SinkError):
        list(dtopipe.load(whole).samples(sink="live").sample_index)
