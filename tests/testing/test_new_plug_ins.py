"""`dtopipe plugin new` writes packages whose tests pass at once, and touches nothing that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
import venv
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from plug_in_packages import path_with

from dtopipe.cli.main import main
from dtopipe.model.errors import UsageError
from dtopipe.plug_ins.new import write_plug_in
from dtopipe.sinks.contract import OutputOptions
from dtopipe.testing.recordings import blocks, gap, recorded

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", ["sink", "board"])
def test_the_tests_of_a_new_plug_in_pass_at_once(kind: Any, tmp_path: Path) -> None:
    # A board of this name is one on the machine, and other suites may try theirs.
    package = write_plug_in(kind, f"tried-{uuid.uuid4().hex[:8]}", tmp_path / "new one").folder
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "-rs"],
        cwd=package, env={**os.environ, "PYTHONPATH": path_with(package, ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    # The run for real is among them.
    assert "no installed package" not in done.stdout


def test_what_a_new_sink_has_before_a_damaged_place_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_plug_in("sink", "fronted", tmp_path / "package").folder
    monkeypatch.syspath_prepend(str(package / "src"))
    module = import_module("dtopipe_fronted.writer")
    path, stream = tmp_path / "lines.txt", recorded()
    writer = module.FrontedWriter(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    for items in (blocks(stream, 0, 200), [gap(stream, 200, 250), *blocks(stream, 250, 450)]):
        writer.append(items)
        writer.commit()
    writer.close()

    def front() -> tuple[int, int] | None:
        found = module.FrontedReader(path, stream=stream).front()
        return None if found is None else (found.stop, found.data_bytes)

    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    assert front() == (450, len(data))
    # Half of the last line, as a kill leaves it.
    path.write_bytes(data[:-1])
    assert front() == (449, len(data) - len(lines[-1]))
    # The names, 200 samples, and 100 of those behind the gap.
    kept = b"".join(lines[:301])
    for rest in (bytes(30) + b"".join(lines[302:]), lines[301][:20], b""):
        path.write_bytes(kept + rest)
        assert front() == (350, len(kept))
    path.write_bytes(bytes(len(data)))
    assert front() is None


@pytest.mark.parametrize("kind", ["sink", "board"])
def test_no_word_of_the_template_is_left(kind: Any, tmp_path: Path) -> None:
    written = write_plug_in(kind, "strain-gauge", tmp_path / "package")
    package = Path("src/dtopipe_strain_gauge")
    modules = ["__init__.py", *(["writer.py"] if kind == "sink" else [])]
    expected = {"README.md", "pyproject.toml", "tests/test_strain_gauge.py"}
    expected |= {(package / module).as_posix() for module in modules}
    assert {path.as_posix() for path in written.files} == expected
    for path in written.files:
        text = (written.folder / path).read_text(encoding="utf-8")
        assert "example" not in text.lower()
        assert "strain" in text.lower()
    what = "class StrainGaugeWriter" if kind == "sink" else "class StrainGaugeBoard"
    assert what in (written.folder / package / modules[-1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["sink", "board"])
def test_what_is_there_is_never_touched(kind: Any, tmp_path: Path) -> None:
    notes = tmp_path / "dtopipe-lines" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_plug_in(kind, "lines", notes.parent)
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]
    with pytest.raises(UsageError, match="cannot be written"):
        write_plug_in(kind, "lines", notes)
    assert notes.read_text() == "mine"


@pytest.mark.parametrize("name", ["Lines", "../lines", "lines-", "1lines", "li nes", "", "a" * 41, "lines\n"])
def test_a_name_that_cannot_be_a_types_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        write_plug_in("sink", name, tmp_path / "package")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["plugin", "new", *arguments])


def test_the_command_says_what_it_wrote_and_what_to_type_next(command: Callable[..., Any], tmp_path: Path) -> None:
    ended = command("sink", "lines")
    assert ended.exit_code == 0
    assert 'cd dtopipe-lines && pip install -e ".[test]" && pytest' in ended.output
    assert (tmp_path / "dtopipe-lines" / "pyproject.toml").exists()
    assert command("sink", "lines").exit_code == 2
    told = json.loads(command("board", "gauge", "--to", "in here", "--json").output)
    assert (told["kind"], told["type"], told["folder"]) == ("board", "gauge", str(tmp_path / "in here"))
    assert all((tmp_path / "in here" / file).is_file() for file in told["files"])


@pytest.mark.parametrize(("kind", "name"), [("sink", "csv"), ("board", "replay")])
def test_a_type_that_there_is_gets_no_second_package(
    kind: str, name: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    ended = command(kind, name)
    assert ended.exit_code == 2
    assert "already" in ended.output
    assert not list(tmp_path.iterdir())


def test_pip_installs_it_and_every_command_knows_it(tmp_path: Path) -> None:
    package = write_plug_in("sink", "lines", tmp_path / "dtopipe-lines").folder
    venv.create(tmp_path / "env", symlinks=os.name != "nt")
    python = tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # dtopipe and what it needs are those of this environment.
    (site,) = (tmp_path / "env").rglob("site-packages")
    (site / "outer.pth").write_text("\n".join([str(ROOT), *(path for path in sys.path if "site-packages" in path)]))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [*pip, "install", "--quiet", "--no-deps", "-e", str(package)]
    installed = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    if installed.returncode and "hatchling" in installed.stderr:
        pytest.skip("pip cannot have what builds a package: no network")
    assert installed.returncode == 0, installed.stderr
    tried = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "real_run or every_option"],
        cwd=package, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in tried.stdout, tried.stdout
    listed = subprocess.run(
        [python, "-m", "dtopipe", "sinks", "lines", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (entry,) = json.loads(listed.stdout)
    assert [(option["name"], option["default"]) for option in entry["options"]] == [("path", None), ("separator", "\t")]
