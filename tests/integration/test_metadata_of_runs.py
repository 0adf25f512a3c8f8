"""Metadata are said before a run, while it goes on, and afterwards; what was said before stays on record."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from laboratory import EVERY_SINK, counter_topology

import dtopipe
from dtopipe.cli.main import main

_NOBODY = 65534
SINKS = {name: EVERY_SINK[name] for name in ("raw", "base", "columns", "arrays")}


def _in_outputs(folder: Path) -> dict[str, Any]:
    """What each output says, read by other programs' means."""
    import h5py
    import pyarrow.parquet as pq

    with closing(sqlite3.connect(folder / "base.db")) as base:
        (of_base,) = base.execute("SELECT metadata FROM runs").fetchone()
    with h5py.File(folder / "arrays.h5") as file:
        of_arrays = json.loads(bytes(file["dtopipe"][()]))["stream"]["metadata"]
    of_columns = json.loads(pq.read_schema(folder / "columns.parquet").metadata[b"dtopipe"])["stream"]["metadata"]
    return {"base": json.loads(of_base), "arrays": of_arrays, "columns": of_columns}


def test_what_must_be_given_is_named_all_at_once(lab: Any) -> None:
    topology = counter_topology(1) | {"sinks": SINKS, "metadata": {"sample": None, "operator": None, "room": "B2"}}
    refused = lab.up(topology)
    assert refused.code == 2
    assert "metadata.sample" in refused.stderr
    assert "metadata.operator" in refused.stderr
    assert "add --meta operator=..." in refused.stderr
    assert lab.run_folders() == []


def test_metadata_changed_while_a_run_goes_on_and_afterwards(lab: Any) -> None:
    running = lab.start(counter_topology(1) | {"sinks": SINKS, "metadata": {"sample": None}}, "--meta", "sample=A7")
    running.wait_for_samples("raw", 100)
    changed = lab.dtopipe("meta", "lab", "sample=A8", "note=the second half\nis cold", "--json")
    assert changed.code == 0, changed.stderr
    record = json.loads((running.folder / "run.json").read_text())
    assert record["metadata"] == {"sample": "A8", "note": "the second half\nis cold"} == changed.json["metadata"]
    running.interrupt()
    assert running.finish().code == 0
    folder = lab.run_folder
    assert all(each == record["metadata"] for each in _in_outputs(folder).values())
    sealed = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".parquet", ".h5", ".dt-raw")
    }

    again = lab.dtopipe("meta", "lab", "sample=A9", "--json")
    assert again.code == 0, again.stderr
    assert again.json["outputs"] == {"base": "changed"}
    history = again.json["metadata_changes"]
    assert [(each["key"], each.get("was")) for each in history] == [("sample", "A7"), ("note", None), ("sample", "A8")]
    assert "was" not in history[1]
    assert all(each["at"].endswith("Z") and "@" in each["by"] for each in history)
    assert _in_outputs(folder)["base"] == {"sample": "A9", "note": "the second half\nis cold"}
    assert {name: (folder / name).read_bytes() for name in sealed} == sealed
    # What is made of the run has what its record says.
    assert lab.dtopipe("convert", str(folder), "--to", "sqlite", "--path", "again.db").code == 0
    with closing(sqlite3.connect(lab.folder / "again.db")) as base:
        assert json.loads(base.execute("SELECT metadata FROM runs").fetchone()[0])["sample"] == "A9"
    # A value that it has already is no change; the database is told once more.
    record = (folder / "run.json").read_bytes()
    assert lab.dtopipe("meta", "lab", "sample=A9").code == 0
    assert (folder / "run.json").read_bytes() == record
    assert lab.dtopipe("verify", str(folder)).code == 0
    for name in ("columns.parquet", "arrays.h5", "raw.dt-raw"):
        (folder / name).unlink()
        assert lab.dtopipe("repair", str(folder)).code == 0
    assert {each["sample"] for each in _in_outputs(folder).values()} == {"A9"}
    assert dtopipe.load(folder / "raw.dt-raw").metadata["sample"] == "A9"
    shown = lab.dtopipe("meta", "lab")
    assert shown.code == 0
    assert "A9" in shown.stdout
    assert "sample was A7" in shown.stdout


@pytest.mark.parametrize("words", [["sample"], ["=A7"], ["\x1b[31m=A7"], ["x" * 201 + "=1"]])
def test_what_is_no_metadata_is_refused(lab: Any, words: list[str]) -> None:
    assert lab.up(counter_topology(1) | {"sinks": SINKS, "duration": "100ms"}).code == 0
    record = (lab.run_folder / "run.json").read_bytes()
    refused = lab.dtopipe("meta", "lab", *words)
    assert refused.code == 2
    assert "\x1b" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 2, refused.stderr
    assert (lab.run_folder / "run.json").read_bytes() == record


def test_changes_at_one_time_lose_nothing(lab: Any) -> None:
    assert lab.up(counter_topology(1) | {"sinks": SINKS, "duration": "100ms"}).code == 0
    command = [sys.executable, "-m", "dtopipe", "meta", "lab"]
    many = [
        subprocess.Popen([*command, f"k{number}={number}"], cwd=lab.folder, stdout=subprocess.DEVNULL)
        for number in range(6)
    ]
    assert [process.wait(timeout=60) for process in many] == [0] * 6
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert record["metadata"] == {f"k{number}": str(number) for number in range(6)}
    assert len(record["metadata_changes"]) == 6
    assert _in_outputs(lab.run_folder)["base"] == record["metadata"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write whatever it is kept from")
def test_an_output_that_cannot_be_told_is_named_and_the_record_has_it(lab: Any) -> None:
    assert lab.up(counter_topology(1) | {"sinks": SINKS, "duration": "100ms"}).code == 0
    (lab.run_folder / "base.db").chmod(0o400)
    done = lab.dtopipe("meta", "lab", "sample=A7", "--json")
    assert done.code == 1
    assert done.json["outputs"]["base"].startswith("not changed: ")
    assert done.json["metadata"] == {"sample": "A7"}


def test_a_database_that_is_not_there_any_more_is_named(lab: Any) -> None:
    assert lab.up(counter_topology(1) | {"sinks": SINKS, "duration": "100ms"}).code == 0
    (lab.run_folder / "base.db").unlink()
    done = lab.dtopipe("meta", "lab", "sample=A7", "--json")
    assert done.code == 1
    assert "is not there" in done.json["outputs"]["base"]
    assert yaml.safe_load((lab.run_folder / "run.json").read_text())["metadata"] == {"sample": "A7"}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root, to become somebody else")
def test_another_users_run_is_theirs(lab: Any) -> None:
    assert lab.up(counter_topology(1) | {"sinks": SINKS, "duration": "100ms"}).code == 0
    # Nothing but the owner keeps this user from it.
    for path in (*lab.folder.rglob("*"), lab.folder, *lab.folder.parents[:3]):
        path.chmod(path.stat().st_mode | (0o777 if path.is_dir() else 0o666))
    words = ["meta", str(lab.run_folder), "sample=A7"]
    # What this imports, somebody else could not.
    assert CliRunner().invoke(main, words).exit_code == 0
    record = (lab.run_folder / "run.json").read_bytes()
    told, tells = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        done = CliRunner().invoke(main, [*words[:2], "sample=A8"])
        os.write(tells, f"{done.exit_code}\n{done.stderr}".encode())
        os._exit(0)
    os.close(tells)
    with os.fdopen(told, encoding="utf-8") as file:
        code, *lines = file.read().splitlines()
    os.waitpid(child, 0)
    assert (code, len(lines)) == ("2", 2), lines
    assert "is a run of root" in lines[0]
    assert "let them type: dtopipe meta" in lines[1]
    assert (lab.run_folder / "run.json").read_bytes() == record
