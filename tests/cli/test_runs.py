"""`dtopipe runs`: which runs are listed, and what of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from run_folders import edit_record, record_run

from dtopipe.cli.main import main

RUNS = {
    "20261031T235959Z": ("2026-10-31T23:59:59Z", {"sample": "A7", "batch": 3}, "GOOD"),
    "20261101T000000Z": ("2026-11-01T00:00:00Z", {"sample": "A7", "dry": True}, "INCOMPLETE"),
    "20261102T120000Z": ("2026-11-02T12:00:00Z", {"sample": "B1"}, "GOOD (repaired)"),
    "20261103T120000Z": ("2026-11-03T12:00:00Z", {}, "GOOD"),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    sinks = {"archive": {"type": "hbuf", "path": "archive.dt-raw"}}
    for name, (started_at, metadata, verdict) in RUNS.items():

        def change(
            record: dict[str, Any], started_at: str = started_at, metadata: Any = metadata, verdict: str = verdict
        ) -> None:
            record.update(started_at=started_at, metadata=metadata, verdict={"state": verdict, "text": "whole"})

        edit_record(record_run(folder / "runs" / "lab" / name, sinks), change)
    return folder


def listed(lab: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> list[dict[str, Any]]:
    monkeypatch.chdir(lab)
    ended = CliRunner().invoke(main, ["runs", "--json", *options])
    assert ended.exit_code == 0, ended.output
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ((), list(RUNS)),
        (("--where", "sample=A7"), ["20261031T235959Z", "20261101T000000Z"]),
        (("--where", "sample=A7", "--where", "batch=3"), ["20261031T235959Z"]),
        (("--where", "dry=true"), ["20261101T000000Z"]),
        (("--where", "sample="), []),
        (("--since", "2026-11-01"), list(RUNS)[1:]),
        (("--since", "2026-11-01T00:00:01Z"), list(RUNS)[2:]),
        (("--since", "2026-11-01T01:00:00+01:00"), list(RUNS)[1:]),
        (("--until", "2026-11-01"), list(RUNS)[:1]),
        (("--since", "2026-11-01", "--until", "2026-11-03"), list(RUNS)[1:3]),
        (("--verdict", "GOOD"), ["20261031T235959Z", "20261103T120000Z"]),
        (("--verdict", "good", "--verdict", "GOOD (repaired)"), [next(iter(RUNS)), *list(RUNS)[2:]]),
        (("--verdict", "in progress"), []),
        (("--where", "sample=A7", "--since", "2026-11-01", "--verdict", "GOOD"), []),
    ],
)
def test_runs_are_chosen(lab: Path, monkeypatch: pytest.MonkeyPatch, options: Any, starts: list[str]) -> None:
    assert [Path(run["folder"]).name for run in listed(lab, monkeypatch, *options)] == starts


def test_each_says_what_was_measured_how_long_and_how_large(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = listed(lab, monkeypatch)[0]
    assert first["metadata"] == {"sample": "A7", "batch": 3}
    assert first["length_s"] == pytest.approx(1000 / 3000)
    files = [path for path in Path(first["folder"]).rglob("*") if path.is_file()]
    assert first["size_bytes"] == sum(path.stat().st_size for path in files)
    monkeypatch.setenv("COLUMNS", "120")
    table = CliRunner().invoke(main, ["runs"]).output
    row = next(line for line in table.splitlines() if "20261031T235959Z" in line)
    assert "A7" in row
    assert "0.333 s" in row
    assert "KiB" in row


def test_where_nothing_fits_that_is_said(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab)
    shown = CliRunner().invoke(main, ["runs", "--where", "sample=C9"]).output
    assert "none of 4 runs below runs is like that" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--where", "sample"), "'sample' is not KEY=VALUE, such as sample=A7"),
        (("--where", "=A7"), "'=A7' is not KEY=VALUE"),
        (("--since", "yesterday"), "'yesterday' is no date, such as 2026-11-01"),
        (("--verdict", "FINE"), "'FINE' is not one of 'in progress'"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: Any, words: str) -> None:
    ended = CliRunner().invoke(main, ["runs", *options])
    assert ended.exit_code == 2
    assert words in " ".join(ended.output.split())
