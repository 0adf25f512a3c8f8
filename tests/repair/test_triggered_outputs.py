"""Triggered outputs of ended runs: held to their condition by the raw file, and refilled by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_folders import N_SAMPLES, OVERRUN, edit_record, items_of, record_run, reports, stream_of, verified

import dtopipe
from dtopipe.core.verdict import VerdictState
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.span import Cause, Span
from dtopipe.model.stream import Block
from dtopipe.repair.mended import RepairReport
from dtopipe.repair.run import repair_run
from dtopipe.verify.recount import without
from dtopipe.wire.commit_snapshot import read_snapshot

# Of 3 kHz, and random codes from -5 to 5 V: some seven events.
TRIGGER = {"when": "flux > 4.9 and tc1 < 4", "pre": "10ms", "post": "4ms"}
SINKS: dict[str, dict[str, Any]] = {
    "archive": {"type": "hbuf", "path": "archive.dt-raw"},
    "raw": {"type": "hbuf", "path": "raw.dt-raw", **TRIGGER},
    "view": {"type": "csv", "path": "view.csv", **TRIGGER},
    "table": {"type": "sqlite", "path": "run.db", **TRIGGER},
    "columns": {"type": "parquet", "path": "columns.parquet", "channels": ["tc1"], **TRIGGER},
}
KEPT = [name for name in SINKS if name != "archive"]


def repaired(folder: Path, *names: str) -> RepairReport:
    return repair_run(RunFolder(folder), names)


def with_trigger(folder: Path, **keys: str) -> None:
    """As if another trigger had been written in the topology."""

    def change(record: dict[str, Any]) -> None:
        for name in KEPT:
            record["topology"]["sinks"][name] |= keys

    edit_record(folder, change)


def record_of(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return record


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return record_run(tmp_path / "whole" / "run", SINKS)


def test_quiet_is_no_fault_and_what_the_board_lost_is(tmp_path: Path) -> None:
    blocks = [item for item in items_of(stream_of()) if isinstance(item, Block) and item.span.stop <= OVERRUN.start]
    folder = record_run(tmp_path / "run", SINKS, blocks)
    report = verified(folder)
    assert report.verdict.state is VerdictState.GOOD
    assert "whole in 1 output; raw has the " in report.verdict.text
    whole = record_run(tmp_path / "other" / "run", SINKS)
    report = verified(whole)
    assert report.verdict.state is VerdictState.INCOMPLETE
    assert f"the board lost {len(OVERRUN)} samples per channel" in report.verdict.text
    for output in report.outputs:
        assert not output.problems
        assert [gap.cause for gap in output.gaps if gap.span == OVERRUN] == [Cause.BOARD_OVERRUN]


@pytest.mark.parametrize("name", KEPT)
def test_what_is_around_no_event_is_found(whole: Path, name: str) -> None:
    before = reports(whole)[name]
    with_trigger(whole, when="flux > 4.98 and tc1 < 4")
    found = reports(whole)[name]
    assert found.untimely
    assert not found.withheld
    assert any("samples are in it that are around no event" in problem for problem in found.problems)
    assert verified(whole).verdict.state is VerdictState.DEGRADED
    assert found.covered == before.covered


@pytest.mark.parametrize("name", KEPT)
def test_an_event_that_is_not_there_is_found_and_refilled(whole: Path, tmp_path: Path, name: str) -> None:
    more = {"when": "flux > 4.7 and tc1 < 4", "post": "5ms"}
    with_trigger(whole, **more)
    found = reports(whole)[name]
    assert found.withheld
    assert not found.untimely
    assert any("samples around events are not in it" in problem for problem in found.problems)
    wanted = record_run(tmp_path / "wanted" / "run", {**SINKS, **{each: SINKS[each] | more for each in KEPT}})
    repaired(whole)
    again = reports(whole)
    assert again[name].covered == reports(wanted)[name].covered
    assert not any(report.problems for report in again.values())
    assert (whole / "view.csv").read_bytes() == (wanted / "view.csv").read_bytes()
    assert record_of(whole)["sinks"][name]["untriggered"] == record_of(wanted)["sinks"][name]["untriggered"]
    assert not [each.name for each in repaired(whole).outputs if each.how != "whole"]


@pytest.mark.parametrize("name", KEPT)
def test_one_that_is_gone_is_written_anew_as_it_was(whole: Path, name: str) -> None:
    path, before = whole / SINKS[name]["path"], reports(whole)[name]
    content = path.read_bytes()
    for file in whole.glob(f"{path.name}*"):
        file.unlink()
    assert [each.how for each in repaired(whole, name).outputs] == ["written anew"]
    after = reports(whole)[name]
    assert (after.covered, after.gaps) == (before.covered, before.gaps)
    if name in ("view", "raw"):
        assert path.read_bytes() == content


def test_one_in_parts_is_held_and_refilled_part_by_part(tmp_path: Path) -> None:
    sinks = {"archive": SINKS["archive"], "text": {**SINKS["view"], "path": "text-{part}.csv", "split": "30ms"}}
    folder = record_run(tmp_path / "run", sinks)
    before = {path.name: path.read_bytes() for path in folder.glob("text-*.csv")}
    report = reports(folder)["text"]
    assert not report.problems
    assert len(before) > 3
    first, *_, last = sorted(before)
    for name in (first, last):
        (folder / name).unlink()
        (folder / f"{name}.dtopipe").unlink()
    assert reports(folder)["text"].problems
    assert [each.how for each in repaired(folder, "text").outputs] == [f"2 of {len(before)} parts written anew"]
    assert {path.name: path.read_bytes() for path in folder.glob("text-*.csv")} == before
    after = reports(folder)["text"]
    assert (after.covered, after.problems) == (report.covered, ())
    assert [each.how for each in repaired(folder, "text").outputs] == ["whole"]


def test_without_a_raw_file_what_is_there_stays(tmp_path: Path) -> None:
    sinks = {name: SINKS[name] for name in ("view", "table")}
    folder = record_run(tmp_path / "run", sinks)
    before = (folder / "view.csv").read_bytes()
    with_other = {"when": "flux > 4.98 and tc1 < 4"}
    edit_record(folder, lambda record: [record["topology"]["sinks"][name].update(with_other) for name in sinks])
    found = reports(folder)
    assert not any(report.problems for report in found.values())
    # Nothing is wrong that can be seen; that not all could be looked at is said.
    untold = "whether it has what is around events: no raw file has all samples"
    assert all(untold in str(report.not_compared) for report in found.values())
    assert [each.how for each in repaired(folder, "view").outputs] == ["whole"]
    assert (folder / "view.csv").read_bytes() == before


def test_a_raw_file_that_lacks_samples_decides_nothing_around_them(whole: Path, tmp_path: Path) -> None:
    # Two chunks of the archive are spoilt.
    archive = whole / "archive.dt-raw"
    content = bytearray(archive.read_bytes())
    at = len(content) // 2
    content[at : at + 300] = bytes(300)
    archive.write_bytes(content)
    (damaged,) = without([Span(0, N_SAMPLES)], [*reports(whole)["archive"].covered, OVERRUN])
    for name in KEPT:
        found = reports(whole)[name]
        assert not found.untimely
        assert not found.withheld
        assert not found.problems
    before = (whole / "view.csv").read_bytes()
    (whole / "view.csv").write_bytes(before[:-1000])
    report = repaired(whole, "view")
    assert not report.outputs[0].failure
    again = reports(whole)["view"]
    assert not without(again.withheld, [damaged])


def test_a_record_that_a_stranger_wrote_starts_nothing(whole: Path) -> None:
    for when in ("nobody > 3", "__import__('os').system('true') > 1", 7, "flux > 1 for ever"):
        with_trigger(whole, when=when)  # type: ignore[arg-type]
        with pytest.raises(dtopipe.DtopipeError, match=r"topology\.sinks\..*\.when"):
            verified(whole)


def test_a_loaded_run_tells_quiet_from_other_gaps(whole: Path) -> None:
    pytest.importorskip("pandas")
    run = dtopipe.load(whole)
    assert run.channels == ("flux", "tc1")
    assert len(run.samples()) == N_SAMPLES - len(OVERRUN), "of several outputs the whole one comes first"
    quality = run.quality(sink="view")["flux"].to_numpy()
    report = reports(whole)["view"]
    assert (quality == "not_triggered").sum() == sum(len(g) for g in report.gaps if g.cause is Cause.NOT_TRIGGERED)
    assert (quality == "gap").sum() == len(OVERRUN)
    snapshot = read_snapshot(whole / "view.csv")
    assert snapshot is not None
    assert snapshot.gaps == report.gaps
