"""A type of sink has one home: no file outside of `sinks/` names one."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from recordings import blocks, recorded

import dtopipe
from dtopipe.model.errors import SinkError
from dtopipe.model.sink_types import OutputSize, RowBytes, SinkType
from dtopipe.sinks import registry
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import OURS, RAW, known_sink_type, load_reader, load_writer, sink_type

PACKAGE = Path(dtopipe.__file__).parent
# Also as people write them, and as other systems call them.
NAMES = re.compile(
    rf"(?<![A-Za-z])({'|'.join([*OURS, 'postgresql', 'sqlite3', 'pyarrow', 'asyncpg', 'h5py'])})(?![A-Za-z])", re.I
)
# Files of a run folder, which are called so.
RUN_FILES = re.compile(r"\b(gaps|events|clock|instruments)\.jsonl\b")
# The standard library's writer of lines, by which `dtopipe tail` prints rows; the library of Arrow's tables, with the
# extra that brings it, in which a loaded run is handed over; the two kinds of files that a browser is given a span as.
ALLOWED = {
    ("cli/row_lines.py", "csv"),
    *((f"loading/{module}.py", name) for module in ("frames", "run") for name in ("pyarrow", "parquet")),
    *(("web/download.py", name) for name in ("csv", "pyarrow", "parquet")),
    # A board has the same name: what a sink publishes there it follows.
    ("boards/registry.py", "jetstream"),
}
# What speaks with such a server, for sinks and boards alike.
SPEAKING = re.compile(r"^(broker|boards/jetstream)/")


def named_in(file: Path) -> Iterator[tuple[int, str]]:
    """(line, what) of every text that is no docstring, and of every name in it, that names a type of sink."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    bodies = [getattr(node, "body", None) for node in ast.walk(tree)]
    docs = {id(each.value) for body in bodies if isinstance(body, list) for each in body if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            told = [RUN_FILES.sub("", node.value)]
        else:
            told = [_in_words(name) for name in _names(node)]
        for text in told:
            if found := NAMES.search(text):
                yield getattr(node, "lineno", 0), found[0].lower()


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    fields = (getattr(node, field, None) for field in ("id", "attr", "arg", "name"))
    return [field for field in fields if isinstance(field, str)]


def _in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)


def test_no_file_outside_of_sinks_names_a_type_of_sink() -> None:
    files = [file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).parts[0] != "sinks"]
    assert len(files) > 200
    found = [
        f"{file.relative_to(PACKAGE)}:{line}: {name}"
        for file in files
        for line, name in named_in(file)
        if (file.relative_to(PACKAGE).as_posix(), name) not in ALLOWED
        and not (name == "jetstream" and SPEAKING.match(file.relative_to(PACKAGE).as_posix()))
    ]
    assert found == []


def test_a_name_is_found_in_a_text_an_identifier_and_an_import(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    lines = ['"""Of csv."""', "import sqlite3", "from a.parquet import b", 'x = "to csv"', "POSTGRES_ROW = HbufWriter"]
    file.write_text("\n".join([*lines, 'y = "gaps.jsonl"', ""]))
    assert set(named_in(file)) == {(2, "sqlite"), (3, "parquet"), (4, "csv"), (5, "hbuf"), (5, "postgres")}


@pytest.mark.parametrize("name", OURS)
def test_a_type_is_described_without_importing_what_it_needs(name: str) -> None:
    kind = sink_type(name)
    assert kind.name == name
    heavy = f"{{'pyarrow', 'asyncpg', 'pydantic', 'sqlite3', 'numpy.ma', {kind.module!r}}} & set(sys.modules)"
    code = f"import sys; from dtopipe.sinks.registry import sink_type; sink_type({name!r}); assert not {heavy}, {heavy}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_type_of_ours_is_what_journals_are_made_of() -> None:
    assert [name for name in OURS if sink_type(name).is_raw] == [RAW]


def test_of_a_type_that_is_not_installed_nothing_is_known_but_its_name() -> None:
    assert known_sink_type("moonbeam") == SinkType("moonbeam", writer="")
    assert known_sink_type(None).server is None
    with pytest.raises(SinkError, match=r"there is no sink of type 'cvs'\n.*did you mean csv\?"):
        sink_type("cvs")


class Plugged:
    """A writer of another package."""


class PluggedReader:
    """Its reader."""


PLUGGED = SinkType(
    "as its author calls it", writer=f"{__name__}:Plugged", reader=f"{__name__}:PluggedReader", suffix=".plug",
    companions=(".beside",), one_run_a_file=True, size=OutputSize(wide=RowBytes(1, 3)),
)  # fmt: skip


def test_a_plug_in_describes_its_type_as_ours_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "installed", lambda: {**OURS, "plug": f"{__name__}:PLUGGED"})
    kind = known_sink_type("plug")
    assert (kind.name, kind.suffix, kind.companions, kind.size.wide.value) == ("plug", ".plug", (".beside",), 3)
    found: list[object] = [load_writer("plug"), load_reader("plug")]
    assert found == [Plugged, PluggedReader]


@pytest.mark.parametrize("name", [name for name in OURS if known_sink_type(name).suffix])
def test_what_is_told_of_looking_at_an_output_shows_it(name: str, tmp_path: Path) -> None:
    kind, stream = known_sink_type(name), recorded()
    path = tmp_path / f"an output{kind.suffix}"
    writer = load_writer(name)(OutputOptions(path))
    writer.open(stream, 0, resume=False)
    writer.append(blocks(stream, 0, 300))
    writer.close()
    assert str(path) in kind.look.format(path=path, python="python")
    typed = [line.removeprefix("or: ") for line in kind.look.splitlines() if "{python}" in line]
    for line in typed:
        words = shlex.split(line.format(path=path, python=sys.executable))
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if "again.csv" in line:
            assert (tmp_path / "again.csv").read_text().count("\n") == 301
        else:
            assert done.stdout
