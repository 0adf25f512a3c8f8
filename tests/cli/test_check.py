"""`dtopipe check`: what a run will be, without starting it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dtopipe.cli.main import main
from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.key_folder import KeyFolder

ROOT = Path(__file__).parents[2]
VIEWER = """\
name: 温度
metadata: {sample: null}
board: {type: simulated}
task:
  rate_hz: 2000
  samples_per_block: 20
  channels: [{name: "[red]left"}, {name: right}]
ring: {seconds: 1}
sinks:
  archive: {type: hbuf, path: archive.dt-raw}
  "[bold]viewer": {type: csv, path: "[x].csv", policy: drop}
"""


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def check(text: str, *arguments: str) -> Any:
    Path("t.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["check", "t.yaml", *arguments])


def test_check_shows_graph_rates_ring_headroom_and_disk(in_folder: Path) -> None:
    ended = check(VIEWER, "--duration", "1h")
    assert ended.exit_code == 0, ended.output
    lines = [" ".join(line.split()) for line in ended.output.splitlines()]
    assert lines[0] == "温度 SIMULATED BOARD"
    assert lines[1] == "└── board simulated"
    assert lines[2] == "└── ring"
    assert lines[3] == "├── archive: hbuf, block, journal -> archive.dt-raw"
    assert lines[4] == "└── [bold]viewer: csv, drop_oldest -> [x].csv"
    assert "archive hbuf block 4,000 0.05 0.18" in lines
    assert "[bold]viewer csv drop_oldest 4,000 0.212 0.763" in lines
    assert "data rate 4,000 samples/s, 0.008 MB/s raw" in lines
    assert "ring 1.1 MiB: 100 blocks, 1 s" in lines
    assert "visible rows can be read after about 1 s (archive, [bold]viewer)" in lines
    assert "headroom 1.04 s: so long may archive stop until the board loses samples" in lines
    assert any(f"about 0.943 GB an hour to {in_folder / 'runs'}, where" in line for line in lines)
    assert "the run ends after 3.6e+03 s of board time, with about 0.943 GB" in lines
    assert lines[-1] == "up will ask for --meta sample=..."


def test_headroom_is_the_journals_and_what_it_covers_may_lag_until_its_disk_is_full(in_folder: Path) -> None:
    covered = VIEWER.replace(", policy: drop", "")
    text = " ".join(check(covered).output.split())
    assert "headroom 1.04 s: so long may archive stop until the board loses samples" in text
    assert "h: so long may [bold]viewer lag, which the journal covers, until its disk is full" in text
    text = " ".join(check(covered.replace(".dt-raw}", ".dt-raw, journal: false}")).output.split())
    assert "headroom 1.04 s: so long may archive or [bold]viewer stop" in text
    only_drops = covered.replace("  archive: {type: hbuf, path: archive.dt-raw}\n", "").replace(
        '].csv"', '].csv", policy: drop'
    )
    assert "no BLOCK sink can hold the board" in check(only_drops).output


def test_check_starts_nothing_and_leaves_nothing(in_folder: Path) -> None:
    assert check(VIEWER, "--duration", "1s").exit_code == 0
    assert sorted(path.name for path in in_folder.iterdir()) == ["t.yaml"]


def test_check_prints_one_json_document(in_folder: Path) -> None:
    ended = check(VIEWER, "--json", "--run-dir", "elsewhere", "--name", "n", "--meta", "sample=A7")
    assert ended.exit_code == 0
    document = json.loads(ended.stdout)
    assert (document["ok"], document["name"], document["board"], document["simulated"]) == (
        True,
        "n",
        "simulated",
        True,
    )
    assert document["run_dir"] == str(in_folder / "elsewhere")
    assert document["metadata_asked_for"] == []
    cost = document["cost"]
    assert (cost["ring_slots"], cost["ring_seconds"], cost["samples_per_s"]) == (100, 1.0, 4000.0)
    assert [sink["name"] for sink in cost["sinks"]] == ["archive", "[bold]viewer"]


def test_problems_are_json_too_and_words_on_stderr(in_folder: Path, run_cli: Any) -> None:
    (in_folder / "t.yaml").write_text(VIEWER.replace("2000", "0"), encoding="utf-8")
    ended = run_cli("check", "t.yaml", "--json", "--set", "rng=1")
    assert ended.code == 2
    assert ended.json["ok"] is False
    unknown, rate = ended.json["problems"]
    assert (unknown["key"], unknown["file"], unknown["line"]) == ("rng", "--set rng", 0)
    assert (rate["file"], rate["line"], rate["column"], rate["key"]) == ("t.yaml", 5, 3, "task.rate_hz")
    assert rate["message"] == "must be a number above 0, not 0"
    assert rate["remedy"]
    assert "t.yaml:5:3: task.rate_hz: must be a number above 0, not 0" in ended.stderr


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('listen: {endpoint: "tcp://127.0.0.1:5700"}', "listen.endpoint"),
        ('board: {type: remote, endpoint: "tcp://127.0.0.1:5700", server_key: daq-pc.pub}', "board"),
    ],
)
def test_a_link_without_a_key_of_ones_own_is_refused(line: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTOPIPE_KEYS_DIR", str(Path("keys").absolute()))
    other = KeyFolder(Path("other"))
    other.write_own(new_key_pair("daq-pc"))
    shutil.copy(other.public_path("daq-pc"), "daq-pc.pub")
    text = VIEWER if line.startswith("listen") else "sinks: {a: {type: csv, path: a.csv}}\n"
    refused = check(text + line + "\n", "--json")
    assert refused.exit_code == 2
    (problem,) = json.loads(refused.stdout)["problems"]
    assert problem["key"] == key
    assert "there is no key in" in problem["message"]
    assert problem["remedy"] == "make one: dtopipe keys new"
    assert check(text + line.replace("server_key: daq-pc.pub", "insecure: true").replace('00"}', '00", insecure: true}')
                 + "\n").exit_code == 0  # fmt: skip
    KeyFolder(Path("keys")).write_own(new_key_pair("here"))
    assert check(text + line + "\n").exit_code == 0


def test_a_board_that_waits_is_said_to_lose_nothing() -> None:
    ended = check(VIEWER.replace("type: simulated", "type: simulated, pace: max"))
    assert "until this board is held up, which loses nothing" in ended.output


@pytest.mark.parametrize("file", sorted((ROOT / "topologies").glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_passes(file: Path) -> None:
    ended = CliRunner().invoke(main, ["check", str(file)])
    assert ended.exit_code == 0, ended.output


def test_simulate_checks_a_rehearsal(in_folder: Path) -> None:
    ended = check(VIEWER.replace("simulated", "dtollib"), "--simulate")
    assert ended.exit_code == 0
    assert "SIMULATED BOARD" in ended.output


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_any_letter_can_be_printed_into_a_pipe_of_any_encoding(in_folder: Path, run_cli: Any, encoding: str) -> None:
    (in_folder / "t.yaml").write_text(VIEWER, encoding="utf-8")
    ended = run_cli("check", "t.yaml", "--json", PYTHONIOENCODING=encoding)
    assert ended.code == 0, ended.stderr
    assert ended.json["name"] == "温度"
    assert "温度" in run_cli("check", "t.yaml", PYTHONIOENCODING=encoding).stdout


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error there")
def test_a_reader_that_goes_away_is_no_traceback(in_folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "dtopipe", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert said == ""
