"""Outputs outside of the run folder are used where the topology names them, and the user says so."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dtopipe.verify.outside import is_own_server

Dtopipe = Callable[..., Any]


def _moved(run: Path, name: str, file: str, *, topology_too: bool = True) -> Path:
    """An output on another disk, as the record and the topology say."""
    elsewhere = run.parents[2] / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    for ending in ("", ".dtopipe"):
        shutil.move(run / (file + ending), elsewhere / (file + ending))
    record = json.loads((run / "run.json").read_text())
    record["sinks"][name]["path"] = str(elsewhere / file)
    (run / "run.json").write_text(json.dumps(record))
    if topology_too:
        document = yaml.safe_load((run / "topology.yaml").read_text())
        document["sinks"][name]["path"] = str(elsewhere / file)
        (run / "topology.yaml").write_text(yaml.safe_dump(document))
    return elsewhere / file


def _problems(dtopipe: Dtopipe, run: Path, *words: str) -> tuple[int, dict[str, list[str]]]:
    told = dtopipe("verify", run, "--json", *words)
    report = json.loads(told.stdout)
    return told.exit_code, {output["name"]: output["problems"] for output in report["outputs"]}


def test_an_output_elsewhere_is_not_opened_and_the_verdict_is_not_good(dtopipe: Dtopipe, run: Path) -> None:
    path = _moved(run, "text", "text.csv")
    code, problems = _problems(dtopipe, run)
    assert f"lies outside of the run folder: {path}; --outside if this is your own run" in problems["text"][0]
    assert code == 4
    assert not problems["lines"]
    code, problems = _problems(dtopipe, run, "--outside")
    assert (code, problems["text"]) == (3, [])


def test_an_output_that_only_the_record_names_is_not_opened_whatever_is_said(dtopipe: Dtopipe, run: Path) -> None:
    _moved(run, "text", "text.csv", topology_too=False)
    code, problems = _problems(dtopipe, run, "--outside")
    assert code == 4
    assert "topology.yaml beside the record does not name it" in problems["text"][0]


def test_a_repair_mends_the_others_and_leaves_it_alone(dtopipe: Dtopipe, run: Path) -> None:
    path = _moved(run, "text", "text.csv")
    lines = path.read_bytes()
    path.write_bytes(lines[:5000])
    (run / "lines.jsonl").unlink()
    told = dtopipe("repair", run, "--json")
    outputs = {output["name"]: output for output in json.loads(told.stdout)["outputs"]}
    # As the verdict is, and not as of a command that could do nothing.
    assert told.exit_code == 4
    assert json.loads(told.stdout)["verdict"]["state"] == "DEGRADED"
    assert "--outside if this is your own run" in outputs["text"]["failure"]
    assert not outputs["lines"]["failure"]
    assert path.read_bytes() == lines[:5000]
    told = dtopipe("repair", run, "--outside")
    assert told.exit_code == 3, told.output
    assert path.read_bytes() == lines


def test_a_raw_file_elsewhere_is_converted_and_served_only_where_it_is_ones_own(dtopipe: Dtopipe, run: Path) -> None:
    _moved(run, "archive", "archive.dt-raw")
    words = ("convert", run, "--to", "csv", "--path", run.parent / "new.csv")
    refused = dtopipe(*words)
    assert (refused.exit_code, "--outside if this is your own run" in refused.stderr) == (2, True)
    assert not (run.parent / "new.csv").exists()
    refused = dtopipe("serve", run)
    assert (refused.exit_code, "--outside if this is your own run" in refused.stderr) == (2, True)
    assert dtopipe(*words, "--outside").exit_code == 0
    assert (run.parent / "new.csv").exists()


def test_a_link_out_of_the_folder_is_not_followed_even_then(dtopipe: Dtopipe, run: Path) -> None:
    other = run.parent / "other.csv"
    shutil.copy(run / "text.csv", other)
    (run / "text.csv").unlink()
    (run / "text.csv").symlink_to(other)
    before = other.read_bytes()
    for words in ((), ("--outside",)):
        _, problems = _problems(dtopipe, run, *words)
        assert "is not followed" in problems["text"][0]
    assert dtopipe("repair", run, "--outside").exit_code == 4
    assert other.read_bytes() == before
    assert (run / "text.csv").is_symlink()


def test_latest_names_a_run_beside_it_and_no_other(dtopipe: Dtopipe, run: Path) -> None:
    far = run.parents[2] / "far"
    shutil.copytree(run, far)
    (run.parent / "latest").write_text("../../far")
    told = dtopipe("status", "lab", "--run-dir", run.parents[1])
    assert str(run) in told.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("part", "is_own"),
    [
        ({"dsn": "${PG_DSN}"}, True),
        ({"host": "${PGHOST}", "password": "${PGPASSWORD}"}, True),
        ({"dsn": "postgresql://me@localhost:5432/lab"}, True),
        ({"dsn": "postgresql:///lab?host=/var/run/postgresql"}, True),
        ({"dsn": "postgresql://me:${PW}@127.0.0.1/lab?sslmode=require"}, True),
        ({"dsn": "postgresql://[::1]:5432/lab"}, True),
        ({"host": "localhost"}, True),
        ({"dsn": "postgresql://me:${PW}@db.lab/x"}, False),
        ({"dsn": "postgresql://localhost,db.lab/x"}, False),
        ({"dsn": "postgresql://localhost/x?host=db.lab"}, False),
        ({"dsn": "postgresql://localhost/x?hostaddr=10.0.0.1"}, False),
        ({"dsn": "postgresql:///x?service=theirs&servicefile=/tmp/theirs"}, False),
        ({"dsn": "postgresql://localhost/x?passfile=/home/me/secret"}, False),
        ({"dsn": "${PG_DSN:-postgresql://db.lab/x}"}, False),
        ({"dsn": "postgresql://127.0.0.1.evil.org/x"}, False),
        ({"host": "db.lab"}, False),
        ({"host": "localhost,db.lab"}, False),
        ({"host": 5}, False),
        ({}, True),
    ],
)
def test_a_server_of_the_records_choice_is_no_server_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, part: dict[str, Any], is_own: bool
) -> None:
    monkeypatch.setenv("PW", "secret")
    assert is_own_server({"type": "postgres", **part}) is is_own


def test_a_server_of_the_records_choice_is_not_connected_to(
    dtopipe: Dtopipe, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "secret")
    record = json.loads((run / "run.json").read_text())
    record["sinks"]["text"] |= {"type": "postgres", "path": None, "target": "postgres://192.0.2.1/x.lab"}
    record["topology"]["sinks"]["text"] = {"type": "postgres", "dsn": "postgresql://me:${PW}@192.0.2.1/x"}
    (run / "run.json").write_text(json.dumps(record))
    _, problems = _problems(dtopipe, run)
    assert "is on a server that the record names: postgres://192.0.2.1/x.lab; --outside" in problems["text"][0]
    _, problems = _problems(dtopipe, run, "--outside")
    assert "topology.yaml beside the record does not name it" in problems["text"][0]


def test_a_file_that_is_said_to_be_a_database_is_told_and_nobody_is_connected_to(dtopipe: Dtopipe, run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        _assert_no_database(dtopipe, run, server.getsockname()[1])
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def _assert_no_database(dtopipe: Dtopipe, run: Path, port: int) -> None:
    record = json.loads((run / "run.json").read_text())
    record["sinks"]["text"]["type"] = "postgres"
    record["topology"]["sinks"]["text"] = {"type": "postgres", "dsn": f"postgresql://127.0.0.1:{port}/x"}
    (run / "run.json").write_text(json.dumps(record))
    code, problems = _problems(dtopipe, run)
    assert "is a database and a file at once" in problems["text"][0]
    assert code == 4
    told = dtopipe("repair", run)
    assert told.exit_code != 0
    assert told.exception is None or isinstance(told.exception, SystemExit)
