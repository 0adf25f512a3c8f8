"""Bytes that are cut from the end of a file of a run folder, or zero in its middle: nothing else may suffer by it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from run_folders import SINKS, record_run
from thoroughness import times

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import DtopipeError
from dtopipe.repair.run import repair_run
from dtopipe.verify.outputs import outputs_of
from dtopipe.verify.report import RunReport
from dtopipe.verify.verify import verify_run

OWN_FILES = ("run.json", "gaps.jsonl", "events.jsonl")
ALONE = {"view": SINKS["view"]}
WITHOUT_ARCHIVE = {name: sink for name, sink in SINKS.items() if name != "archive"}
SEGMENTS = {
    **SINKS,
    "archive": {**SINKS["archive"], "segment": 2000},
    "columns": {**SINKS["columns"], "row_group_size": 200},
}
RUNS: Mapping[str, Mapping[str, Any]] = {
    "every format": SINKS, "without an archive": WITHOUT_ARCHIVE, "alone": ALONE, "in segments": SEGMENTS
}  # fmt: skip
Rows = dict[int, tuple[float, ...]]


@dataclass(frozen=True, repr=False)
class Whole:
    """A run as it was written: its folder, what is in each of its outputs, and whose each file is."""

    folder: Path
    rows: Rows
    owner: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<the run in {self.folder}>"


class Runs(dict[str, Whole]):
    """By their kinds; what a failure shows of them is short."""

    def __repr__(self) -> str:
        return "the runs"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    found = Runs()
    for name, sinks in RUNS.items():
        folder = record_run(tmp_path_factory.mktemp("whole") / "run", sinks)
        (folder / "events.jsonl").write_text('{"t_utc": "2026-11-23T09:00:00Z", "event": "running"}\n' * 20)
        rows = rows_of(folder)
        assert {tuple(each) for each in rows.values()} == {tuple(next(iter(rows.values())))}
        owner = {
            file.name: next(
                (
                    n
                    for n, sink in sinks.items()
                    if file.name not in OWN_FILES and file.name.startswith(Path(sink["path"]).stem + ".")
                ),
                "",
            )
            for file in folder.iterdir()
        }
        found[name] = Whole(folder, next(iter(rows.values())), owner)
    return found


def rows_of(folder: Path) -> dict[str, Rows]:
    """What can be read of each output: the values of each sample."""
    found: dict[str, Rows] = {}
    for output in outputs_of(RunFolder(folder), RunFolder(folder).read_record()):
        rows = found[output.name] = {}
        try:
            for batch in output.reader().sound_batches(lambda damage: None):  # type: ignore[attr-defined]
                columns = [np.nan_to_num(values, nan=1e9).tolist() for values in batch.values]
                rows |= dict(zip(batch.sample_index.tolist(), zip(*columns, strict=True), strict=True))
        except DtopipeError:
            pass
    return found


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.is_file()}


def damaged(data: bytes, how: str, at: float, share: float) -> bytes:
    """The bytes with some of them cut from the end, or zero."""
    n_bytes = max(1, round(len(data) * share))
    if how == "cut":
        return data[: len(data) - n_bytes]
    start = round((len(data) - n_bytes) * at)
    return data[:start] + bytes(n_bytes) + data[start + n_bytes :]


def looked_at(folder: Path) -> RunReport | DtopipeError:
    try:
        run = RunFolder(folder)
        return verify_run(run, run.read_record())
    except DtopipeError as error:
        return error


@settings(
    max_examples=times(25),
    deadline=None,
    derandomize=True,
    # One example takes a tenth of a second: a smaller one is not worth minutes of looking for it.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    which=st.sampled_from(list(RUNS)),
    number=st.integers(0, 100),
    how=st.sampled_from(["cut", "zero"]),
    at=st.floats(0, 1),
    share=st.sampled_from([1e-4, 1e-3, 0.01, 0.1, 0.5, 1.0]),
)
def test_damaged_bytes_in_one_file_cost_no_other_and_are_named(
    runs: Runs,
    tmp_path_factory: pytest.TempPathFactory,
    which: str,
    number: int,
    how: str,
    at: float,
    share: float,
) -> None:
    whole = runs[which]
    folder = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(whole.folder, folder)
    file = sorted(folder.iterdir())[number % len(list(folder.iterdir()))]
    data = damaged(file.read_bytes(), how, at, share)
    assume(data != file.read_bytes())
    file.write_bytes(data)
    event(f"{which}: {file.name} {how}")
    victim = whole.owner[file.name]
    before, files = rows_of(folder) if file.name != "run.json" else {}, hashes(folder)

    found = looked_at(folder)
    assert hashes(folder) == files
    if isinstance(found, DtopipeError):
        # Without its record nobody knows what the run is: that is said, and nothing is touched.
        assert file.name == "run.json"
        with pytest.raises(DtopipeError):
            repair_run(RunFolder(folder), ())
        assert {name: h for name, h in hashes(folder).items() if name != file.name} == {
            name: h for name, h in files.items() if name != file.name
        }
        return
    for report in found.outputs:
        if report.name != victim:
            # What the run's own list of gaps has lost is told of the outputs that name them.
            assert not report.problems or file.name == "gaps.jsonl", (report.name, report.problems)
        elif not report.problems:
            assert before[victim] == whole.rows
        for index, values in before[report.name].items():
            assert values == whole.rows.get(index) or report.differing

    repaired = repair_run(RunFolder(folder), ())
    after, now = rows_of(folder), hashes(folder)
    for name, rows in after.items():
        assert before[name].keys() <= rows.keys(), f"{name} has fewer samples than before"
        assert all(values == whole.rows.get(index) for index, values in rows.items()) or which == "alone"
    for name, of in whole.owner.items():
        if of not in ("", victim):
            assert now[name] == files[name], f"{name} was sound, and is another file now"
    again = looked_at(folder)
    assert isinstance(again, RunReport)
    mended = {output.name: output for output in repaired.outputs}
    for report in again.outputs:
        if not mended[report.name].failure:
            assert not report.problems, (report.name, report.problems)
            if victim and len(whole.owner) > 8:
                assert after[report.name] == whole.rows
    shutil.rmtree(folder)
