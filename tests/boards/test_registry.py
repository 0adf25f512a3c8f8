"""Boards are found by their type."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from dtopipe.boards import registry
from dtopipe.boards.simulated import SimulatedBoard
from dtopipe.model.board_types import BoardType
from dtopipe.model.errors import BoardError
from dtopipe.model.parts import BoardPart
from dtopipe.topology.options import board_model


class Wheel:
    """A board of another package."""


class WheelPart(BoardPart):
    """What it can be told."""

    teeth: int = 60


WHEEL = BoardType(
    "as its author calls it", board=f"{__name__}:Wheel", options=f"{__name__}:WheelPart",
    waits=lambda options: True, ends_at=lambda options: 100 * int(options["turns"]),
)  # fmt: skip


def test_a_type_names_its_class() -> None:
    assert registry.load_board("simulated") is SimulatedBoard
    assert set(registry.installed()) >= {"simulated", "replay"}


def test_every_built_in_board_can_be_loaded() -> None:
    for type_name in registry.OURS:
        assert callable(registry.load_board(type_name))


def test_an_unknown_type_is_refused_with_the_nearest_word() -> None:
    with pytest.raises(BoardError, match=r"simulate: there is no board of this type\n.*did you mean simulated\?"):
        registry.load_board("simulate")


@pytest.fixture
def plug_in(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed distribution that brings a board."""
    (tmp_path / "lab_board_plugin.py").write_text("class LabBoard:\n    pass\n", encoding="utf-8")
    info = tmp_path / "lab_board-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-board\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[dtopipe.boards]\nlab = lab_board_plugin:LabBoard\nbroken = lab_board_plugin:Nothing\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return "lab"


def test_an_installed_plug_in_is_a_type_of_board(plug_in: str) -> None:
    assert registry.load_board(plug_in).__name__ == "LabBoard"
    with pytest.raises(BoardError, match="cannot be loaded"):
        registry.load_board("broken")


def test_a_plug_in_describes_its_type_as_ours_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "installed", lambda: {**registry.OURS, "wheel": f"{__name__}:WHEEL"})
    kind = registry.known_board_type("wheel")
    assert (kind.name, kind.brings_task, kind.waits({}), kind.ends_at({"turns": 3})) == ("wheel", False, True, 300)
    assert board_model("wheel", registry.installed()["wheel"]).model_fields["teeth"].default == 60
    found: object = registry.load_board("wheel")
    assert found is Wheel
    assert registry.known_board_type("moonbeam").board == ""


def test_a_plug_in_cannot_take_the_place_of_a_board_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = EntryPoints([EntryPoint("simulated", "elsewhere:Board", registry.ENTRY_POINTS)])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: fake)
    assert registry.installed()["simulated"] != "elsewhere:Board"
    assert registry.load_board("simulated") is SimulatedBoard
