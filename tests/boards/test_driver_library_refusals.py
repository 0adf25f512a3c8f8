"""The driver library's board says what it lacks and how to get it, and its options are listed without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from dtopipe.boards.driver_library.board import DriverLibraryBoard
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import ChannelPlan, TaskPlan

TASK = TaskPlan("lab", 1000.0, 100, (ChannelPlan("ch0"),))
without_it = pytest.mark.skipif(
    importlib.util.find_spec("dtollib") is not None, reason="the driver library is installed here"
)
TOPOLOGY = """
board: {type: dtollib, backend: fake}
task: {rate_hz: 1000, channels: [{name: flux}]}
sinks: {table: {type: csv, path: t.csv}}
"""


@without_it
def test_without_the_driver_library_the_extra_and_the_python_are_named() -> None:
    board = DriverLibraryBoard({"backend": "fake"}, TASK)
    with pytest.raises(BoardError, match=r"dtollib cannot be imported") as raised:
        board.open()
    assert 'pip install "dtopipe[dtol]"' in raised.value.remedy
    assert "Python 3.13" in raised.value.remedy
    board.close()


@without_it
def test_up_without_the_driver_library_starts_nothing_and_names_the_line(tmp_path: Path, run_cli: Any) -> None:
    (tmp_path / "t.yaml").write_text(TOPOLOGY, encoding="utf-8")
    ended = run_cli("up", "t.yaml", "--duration", "1s")
    assert ended.code == 2
    assert "t.yaml:2:1: board: the driver library dtollib cannot be imported" in ended.stderr
    assert 'pip install "dtopipe[dtol]"' in ended.stderr
    assert run_cli("check", "t.yaml").code == 0


def test_its_options_are_listed(run_cli: Any) -> None:
    (entry,) = run_cli("boards", "dtollib", "--json").json
    options = {option["name"]: option for option in entry["options"]}
    assert list(options)[:3] == ["backend", "device", "element"]
    assert options["backend"]["default"] == "real"
    assert {"waveform", "frequency_hz", "overruns", "max_samples"} < set(options)


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"bakend": "fake"}, "there is no option 'bakend'", "did you mean backend?"),
        ({"unit": 3}, "there is no option 'unit'", "there are backend"),
        ({"backend": "unreal"}, "backend cannot be 'unreal'", "real and fake"),
        ({"element": -1}, "element cannot be -1", "number of a subsystem"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], message: str, remedy: str) -> None:
    with pytest.raises(BoardError) as raised:
        DriverLibraryBoard(options, TASK).open()
    assert message in raised.value.message
    assert remedy in raised.value.remedy
