"""Which types of boards there are, and where their classes live."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from dtopipe.boards.contract import Board
from dtopipe.model.errors import BoardError
from dtopipe.model.plan import TaskPlan

ENTRY_POINTS = "dtopipe.boards"

_BUILT_IN = {
    "simulated": "dtopipe.boards.simulated:SimulatedBoard",
    "remote": "dtopipe.boards.remote:RemoteBoard",
    "replay": "dtopipe.boards.replay:ReplayBoard",
    "dtollib": "dtopipe.boards.driver_library.board:DriverLibraryBoard",
}

BoardType = Callable[[Mapping[str, Any], TaskPlan | None], Board]


def board_types() -> dict[str, str]:
    """`module:Class` of every type of board, plug-ins included; nothing is imported. Ours cannot be overridden."""
    # A tenth of a process's start, which only the names of plug-ins need.
    from importlib.metadata import entry_points

    plugged = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return {**plugged, **_BUILT_IN}


def load_board(type_name: str) -> BoardType:
    """The class of that type of board. Raises BoardError if there is none, or it cannot be imported."""
    known = _BUILT_IN if type_name in _BUILT_IN else board_types()
    if type_name not in known:
        near = difflib.get_close_matches(type_name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BoardError(
            type_name,
            "there is no board of this type",
            f"{hint}installed: {', '.join(sorted(known))}; others come as plug-ins (entry point {ENTRY_POINTS})",
        )
    module, _, name = known[type_name].partition(":")
    try:
        return cast(BoardType, getattr(import_module(module), name))
    except (ImportError, AttributeError) as error:
        raise BoardError(
            type_name, f"{known[type_name]} cannot be loaded: {error}", "install what it needs, or its newer version"
        ) from error
