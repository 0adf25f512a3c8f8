"""`init`, `schema`, `boards`, `sinks`, and what all commands have in common."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from dtopipe import __version__
from dtopipe.cli.main import main
from dtopipe.model.errors import DtopipeError, Problem, TopologyError, UsageError

COMMANDS = main.list_commands(click.Context(main))


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def dtopipe(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)


def test_init_writes_a_commented_topology_that_runs_as_it_is(in_folder: Path, run_cli: Any) -> None:
    ended = dtopipe("init", "heat flux.yaml")
    assert ended.exit_code == 0
    assert 'dtopipe up "heat flux.yaml"' in ended.output
    text = (in_folder / "heat flux.yaml").read_text(encoding="utf-8")
    assert text.count("#") > 5
    ran = run_cli("up", "heat flux.yaml", "--duration", "500ms", "--json")
    assert ran.code == 0, ran.stderr
    assert (ran.json["name"], ran.json["verdict"]["state"]) == ("heat flux", "GOOD")


def test_init_has_a_name_by_itself_and_never_overwrites(in_folder: Path) -> None:
    assert dtopipe("init").exit_code == 0
    (in_folder / "topology.yaml").write_text("mine")
    ended = dtopipe("init")
    assert ended.exit_code == 2
    assert "topology.yaml exists already\n    name another file" in ended.output
    assert (in_folder / "topology.yaml").read_text() == "mine"
    ended = dtopipe("init", "no/such/folder.yaml")
    assert ended.exit_code == 2
    assert "cannot be written" in ended.output


def test_schema_is_one_json_document_that_takes_the_starter(in_folder: Path) -> None:
    dtopipe("init")
    schema = json.loads(dtopipe("schema").stdout)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load((in_folder / "topology.yaml").read_text()))
    assert json.loads(dtopipe("schema", "--json").stdout) == schema


@pytest.mark.parametrize(
    ("command", "names", "one", "words"),
    [
        (
            "boards",
            ["dtollib", "jetstream", "remote", "replay", "simulated"],
            "simulated",
            ["counter | sine | noise", "realtime | max", "max_samples", "options of its channels", "thermistor"],
        ),
        (
            "sinks",
            ["csv", "hbuf", "hdf5", "jetstream", "jsonl", "parquet", "postgres", "sqlite"],
            "sqlite",
            ["busy_timeout_ms", "5000", "500ms", "drop"],
        ),
    ],
)
def test_types_are_listed_with_options_and_defaults(command: str, names: list[str], one: str, words: list[str]) -> None:
    listed = dtopipe(command).output
    assert all(name in listed for name in names)
    shown = dtopipe(command, one).output
    assert all(word in shown for word in words), shown
    documents = json.loads(dtopipe(command, "--json").stdout)
    assert [document["name"] for document in documents] == names
    (document,) = json.loads(dtopipe(command, one, "--json").stdout)
    assert {"name", "type", "default", "required", "meaning"} == set(document["options"][0])


@pytest.mark.parametrize(("command", "slip", "meant"), [("boards", "simulatd", "simulated"), ("sinks", "cvs", "csv")])
def test_an_unknown_type_is_refused_with_the_nearest_word(command: str, slip: str, meant: str) -> None:
    ended = dtopipe(command, slip)
    assert ended.exit_code == 2
    assert f"there is no type '{slip}'\n    did you mean {meant}?" in ended.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_in_lines_of_its_own(command: str) -> None:
    ended = dtopipe(command, "--help")
    assert ended.exit_code == 0
    lines = ended.output.splitlines()
    assert "\\b" not in ended.output
    assert lines[lines.index("  Example:") + 1].strip().startswith(f"dtopipe {command}")


def test_help_lists_every_command_without_importing_any() -> None:
    code = "import sys; from dtopipe.cli.main import main; main(['--help'], standalone_mode=False)\n"
    code += "print([name for name in sys.modules if name.startswith(('dtopipe.cli.', 'rich', 'numpy', 'pydantic'))])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.splitlines()[-1] == "['dtopipe.cli.main']"
    for command in COMMANDS:
        assert f"\n  {command} " in ended.stdout
        assert isinstance(getattr(import_module(f"dtopipe.cli.{command}"), command), click.Command)


def test_version_is_that_of_the_package() -> None:
    assert dtopipe("--version").output == f"dtopipe, version {__version__}\n"


@pytest.mark.parametrize("arguments", [["nosuch"], ["check"], ["check", "a", "b"], ["check", "a", "--nosuch"]])
def test_what_is_no_command_ends_with_2(arguments: list[str]) -> None:
    assert dtopipe(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            TopologyError([Problem(None, "a", "wrong", "right")]),
            2,
            "a: wrong\n    right\ndtopipe: 1 problem; nothing was",
        ),
        (UsageError("no such run"), 2, "dtopipe: no such run\n"),
        (DtopipeError("the disk is gone"), 1, "dtopipe: the disk is gone\n"),
        (KeyboardInterrupt(), 1, "Aborted!"),
    ],
)
def test_expected_errors_are_a_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("dtopipe.cli.schema.schema", click.Command("schema", callback=fail))
    ended = dtopipe("schema")
    assert ended.exit_code == code
    assert words in ended.output
    assert "Traceback" not in ended.output
