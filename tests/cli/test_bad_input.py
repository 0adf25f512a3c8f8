"""Bad input is refused with file, line, column, key and remedy, exit code 2; nothing is started or overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from bad_topologies import CASES, GOOD, add, change
from click.testing import CliRunner

from dtopipe.cli.main import main


def refused(folder: Path, text: str | bytes, *arguments: str) -> str:
    """What `dtopipe check` says about this topology, which it must refuse without touching anything."""
    file = folder / "bad.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    ended = CliRunner().invoke(main, ["check", "bad.yaml", *arguments])
    assert ended.exit_code == 2, ended.output
    assert "Traceback" not in ended.output
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
    return ended.output


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_its_place_its_key_and_the_way_out(in_folder: Path, case: str) -> None:
    text, place, what, remedy = CASES[case]
    said = refused(in_folder, text)
    lines = said.splitlines()
    found = [n for n, line in enumerate(lines) if line.startswith(f"bad.yaml:{place}: {what}")]
    assert found, said
    assert remedy in lines[found[0] + 1], said


@pytest.mark.parametrize("column", ["sample_index", "t_mono_ns", "t_utc", "t_utc_ns", "run"])
def test_a_channel_cannot_have_the_name_of_a_fixed_column(in_folder: Path, column: str) -> None:
    said = refused(in_folder, change("tc1", column))
    assert f"bad.yaml:7:8: task.channels[1].name: '{column}' is a column of every output\n    rename" in said


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(in_folder: Path) -> None:
    text = change("1000", "0").replace("tc1", "flux").replace("t.csv}", "t.csv, polcy: drop, policy: x}")
    text += "  other: {type: csv, path: t.csv}\n  base: {type: cvs, path: b.db}\nrng: 4\n"
    said = refused(in_folder, text)
    heads = [line.split(": ")[:2] for line in said.splitlines() if line.startswith("bad.yaml:")]
    assert heads == [
        ["bad.yaml:4:3", "task.rate_hz"],
        ["bad.yaml:7:8", "task.channels[1].name"],
        ["bad.yaml:9:35", "sinks.table.polcy"],
        ["bad.yaml:9:48", "sinks.table.policy"],
        ["bad.yaml:10:22", "sinks.other.path"],
        ["bad.yaml:11:10", "sinks.base.type"],
        ["bad.yaml:12:1", "rng"],
    ]
    assert said.splitlines()[-1] == "dtopipe: 7 problems; nothing was started"


def test_a_mistake_is_told_once_though_others_follow_from_it(in_folder: Path) -> None:
    text = change("1000", "${DTOPIPE_TEST_UNSET}") + "  raw: {type: hbuf, path: r, segment: big, journal: maybe}\n"
    said = refused(in_folder, text)
    assert said.splitlines()[-1] == "dtopipe: 3 problems; nothing was started"


def test_a_missing_file_is_refused_with_what_there_is(in_folder: Path) -> None:
    (in_folder / "heat.yaml").write_text(GOOD)
    ended = CliRunner().invoke(main, ["check", "haet.yaml"])
    assert ended.exit_code == 2
    assert "haet.yaml: No such file" in ended.output
    assert "there are: heat.yaml" in ended.output


def test_an_output_that_exists_already_is_refused_and_left_alone(in_folder: Path) -> None:
    there = in_folder / "there.csv"
    there.write_text("precious")
    said = refused(in_folder, change("t.csv", str(there)))
    assert f"bad.yaml:9:22: sinks.table.path: {there} exists already" in said
    assert "set on_exists: rename, overwrite or append" in said
    assert there.read_text() == "precious"
    for word in ("rename", "overwrite", "append"):
        (in_folder / "bad.yaml").write_text(change("t.csv}", f"{there}, on_exists: {word}}}"))
        assert CliRunner().invoke(main, ["check", "bad.yaml"]).exit_code == 0
    text = add(f"  raw: {{type: hbuf, path: {there}, on_exists: append}}\n")
    assert "sinks.raw.path: a hbuf file holds one run" in refused(in_folder, text)


def test_two_names_of_one_file_are_one_file(in_folder: Path) -> None:
    (in_folder / "real").mkdir()
    (in_folder / "link").symlink_to("real")
    (in_folder / "one.csv").touch()
    os.link(in_folder / "one.csv", in_folder / "two.csv")
    for first, second in (("real/a.csv", "link/a.csv"), ("one.csv", "two.csv")):
        text = change("path: t.csv", f"on_exists: append, path: {in_folder / first}")
        text += f"  other: {{type: csv, on_exists: append, path: {in_folder / second}}}\n"
        assert "sinks.other.path: sink table writes to" in refused(in_folder, text)


def test_capitals_make_another_file_where_the_file_system_says_so(in_folder: Path) -> None:
    (in_folder / "probe").touch()
    (in_folder / "bad.yaml").write_text(add("  other: {type: csv, path: T.csv}\n"))
    ended = CliRunner().invoke(main, ["check", "bad.yaml"])
    assert ended.exit_code == (2 if (in_folder / "PROBE").exists() else 0)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(in_folder: Path) -> None:
    (in_folder / "locked").mkdir(mode=0o500)
    text = change("t.csv", f"{in_folder}/locked/t.csv") + "run_dir: locked\n"
    said = refused(in_folder, text)
    assert "sinks.table.path: the folder" in said
    assert "run_dir: " in said
    assert said.count("cannot be written to") == 2


def test_a_path_that_the_system_refuses_to_look_at_is_refused(in_folder: Path) -> None:
    long = in_folder / ("x" * 300) / "t.csv"
    assert f"sinks.table.path: {long} cannot be written to: " in refused(in_folder, change("t.csv", str(long)))
    for text in (change("t.csv", '"t\\0.csv"'), add('run_dir: "\\0"\n')):
        assert "a path must not hold a NUL character" in refused(in_folder, text)
    recording = 'board: {type: replay, path: "x\\0"}\nsinks: {t: {type: csv, path: t.csv}}\n'
    assert "board.path: a path must not hold a NUL character" in refused(in_folder, recording)


def test_a_run_folder_from_the_command_line_is_blamed_on_it(in_folder: Path) -> None:
    assert refused(in_folder, GOOD, "--run-dir", "bad.yaml").startswith("--run-dir: run_dir: ")


@pytest.mark.parametrize(
    ("data", "place", "what"),
    [
        (b"\xff\xfename: \xe9", "1:1", "not a text"),
        ("board: 1\nname: é".encode("latin-1"), "2:7", "not a text: this is not UTF-8"),
        (b"name: \0", "1:7", "not a text"),
        (b"", "1:1", "a topology is a mapping"),
        (b"# only words\n", "1:1", "a topology is a mapping"),
        (b"- a\n", "1:1", "a topology is a mapping"),
        (b"a: 1\n---\nb: 2\n", "2:1", "not YAML"),
        (b"a:\n\tb: 1\n", "2:1", "not YAML"),
        (b"a: " + b"[" * 30_000, "1:1", "values in values"),
        (b"a: &a [*a]\n", "1:1", "values in values"),
        (b"a: !!python/object/apply:os.system [ls]\n", "1:4", "a: a value of type"),
    ],
)
def test_what_is_no_topology_at_all_is_refused(in_folder: Path, data: bytes, place: str, what: str) -> None:
    said = refused(in_folder, data)
    assert said.startswith("bad.yaml:"), said
    if data[:2] != b"\xff\xfe":
        assert f"bad.yaml:{place}: {what}" in said, said


def test_aliases_of_aliases_do_not_fill_the_memory(in_folder: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "are there aliases in aliases?" in refused(in_folder, "\n".join(lines))


def test_a_file_too_large_to_be_a_topology_is_refused(in_folder: Path) -> None:
    assert "a topology has at most" in refused(in_folder, "# " + "x" * 2**20)


def test_up_refuses_as_check_does_and_leaves_no_run(in_folder: Path, run_cli: Any) -> None:
    (in_folder / "bad.yaml").write_text(change("1000", "0"))
    ended = run_cli("up", "bad.yaml")
    assert ended.code == 2
    assert "bad.yaml:4:3: task.rate_hz: must be a number above 0" in ended.stderr
    assert not (in_folder / "runs").exists()
