"""`dtopipe.tail` and `dtopipe tail`: an output is followed by its commits, in whole lines or rows."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from run_folders import LONG_SINKS, SINKS, edit_record, readings, record_run, stream_of

import dtopipe
from dtopipe.cli.main import main
from dtopipe.model.errors import SinkError, UsageError
from dtopipe.sinks.registry import load_reader

GUIDE = Path(__file__).parents[2] / "dtopipe" / "guide" / "python.md"


def _printed(*words: str) -> bytes:
    result = CliRunner().invoke(main, ["tail", *words])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


@pytest.mark.parametrize("name", SINKS)
def test_the_rows_of_every_sink_are_those_that_its_reader_has(name: str, tmp_path: Path) -> None:
    folder = record_run(tmp_path / "lab" / "one")
    found = list(dtopipe.tail(name, folder))
    reader = load_reader(SINKS[name]["type"])(folder / SINKS[name]["path"], run_id="run-1")
    expected = list(reader.batches())
    np.testing.assert_array_equal(
        np.concatenate([rows.sample_index for rows in found]), np.concatenate([rows.sample_index for rows in expected])
    )
    for number, channel in enumerate(("flux", "tc1")):
        np.testing.assert_array_equal(
            np.concatenate([rows.values[channel] for rows in found]),
            np.concatenate([rows.values[number] for rows in expected]),
        )
    later = np.concatenate([rows.sample_index for rows in dtopipe.tail(name, folder, start=620)])
    assert (later[0], later[-1], len(later)) == (620, 999, 380)
    assert list(dtopipe.tail(name, folder, start="latest")) == []


def test_the_program_of_the_guide_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record_run(tmp_path / "runs" / "heat-flux" / "20261129T000000Z", {"table": {"type": "csv", "path": "table.csv"}})
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (program,) = (each for each in programs if "dtopipe.tail(" in each)
    exec(compile(program, "python.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1].startswith("999 ")


@pytest.mark.parametrize("sinks", [SINKS, LONG_SINKS])
def test_text_is_printed_as_it_stands_and_other_rows_as_csv(sinks: dict[str, Any], tmp_path: Path) -> None:
    folder = record_run(tmp_path / "lab" / "one", sinks, stream=stream_of(("a,ü", 'x"\ny')))
    for name in {"view", "lines", "sheet"} & set(sinks):
        assert _printed(name, str(folder)) == (folder / sinks[name]["path"]).read_bytes()
    n_rows = 380 if sinks is SINKS else 760
    for name in sinks:
        rows = _printed(name, str(folder), "--from", "620").decode()
        if name == "lines":
            assert all(json.loads(line)["sample_index"] >= 620 for line in rows.splitlines())
            assert rows.count("\n") == n_rows
            continue
        text, delimiter = rows.removeprefix("\ufeff"), ";" if name == "sheet" else ","
        head, *body = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        at = head.index("sample_index")
        assert len(body) == n_rows
        assert {int(row[at]) for row in body} == set(range(620, 1000))
        as_json = [json.loads(line) for line in _printed(name, str(folder), "--json").splitlines()]
        assert len(as_json) == n_rows * 960 // 380
        assert {"sample_index", "t_mono_ns", "t_utc"} <= set(as_json[0])


def test_readings_are_rows_too(tmp_path: Path) -> None:
    stream = stream_of(polled=True, dtype="float64")
    sinks = {name: SINKS[name] for name in ("view", "sheet", "lines", "table", "columns")}
    folder = record_run(tmp_path / "lab" / "one", sinks, [readings(stream, 0, 50), readings(stream, 50, 80)], stream)
    for name in sinks:
        assert sum(map(len, dtopipe.tail(name, folder, start=20))) == 60
    assert _printed("view", str(folder)) == (folder / "view.csv").read_bytes()


def test_a_killed_run_gives_what_is_committed(tmp_path: Path) -> None:
    folder = record_run(tmp_path / "lab" / "one")
    edit_record(folder, lambda record: record.update(verdict=None, finished_at=None))
    assert sum(map(len, dtopipe.tail("view", folder))) == 960


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    folder = record_run(tmp_path / "lab" / "one")
    with pytest.raises(UsageError, match="has no sink 'vieew'\n    did you mean view"):
        dtopipe.tail("vieew", folder)
    with pytest.raises(UsageError, match="use earliest, latest, or a sample index"):
        dtopipe.tail("view", folder, start="soon")
    (folder / "run.db").unlink()
    with pytest.raises(SinkError, match=r"run\.db"):
        list(dtopipe.tail("table", folder))
