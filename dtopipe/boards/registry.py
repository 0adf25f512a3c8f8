"""Which types of boards there are; each is described in this package, and imported no further before it is used.

A plug-in's entry point in `dtopipe.boards` names its BoardType, or just its board's class.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from dtopipe.boards.contract import Board
from dtopipe.model.board_types import BoardType
from dtopipe.model.errors import BoardError, UsageError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.plug_in_names import plugged
from dtopipe.model.references import Reference, referred
from dtopipe.model.shown import shown

ENTRY_POINTS = "dtopipe.boards"

OURS: Mapping[str, Reference] = {
    "simulated": "dtopipe.boards.board_types:SIMULATED",
    "replay": "dtopipe.boards.board_types:REPLAY",
    "remote": "dtopipe.boards.board_types:REMOTE",
    "jetstream": "dtopipe.boards.jetstream.board_type:JETSTREAM",
    "dtollib": "dtopipe.boards.board_types:DTOLLIB",
}
# What stands in for any other board in a rehearsal.
SIMULATED = "simulated"
BoardClass: TypeAlias = Callable[[Mapping[str, Any], TaskPlan | None], Board]


def installed() -> dict[str, Reference]:
    """Where each type of board is described, plug-ins included. Ours cannot be overridden."""
    return {**plugged(ENTRY_POINTS), **OURS}


def board_type(name: str) -> BoardType:
    """What is known of that type. Raises BoardError if there is none, or what describes it cannot be imported."""
    known = OURS if name in OURS else installed()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BoardError(
            name,
            "there is no board of this type",
            f"{hint}installed: {', '.join(sorted(known))}; others come as plug-ins (entry point {ENTRY_POINTS})",
        )
    return described(name, known[name])


def described(name: str, reference: Reference) -> BoardType:
    """The type that stands there, or of a board's class what can be known of it. Raises BoardError."""
    found = _imported(name, reference)
    return replace(found, name=name) if isinstance(found, BoardType) else BoardType(name, board=reference)


def known_board_type(name: object) -> BoardType:
    """The same, for a name that a record has: of one that is not installed here nothing is known but its name."""
    try:
        return board_type(str(name))
    except Exception:  # somebody else's code may raise anything
        return BoardType(str(name), board="")


def following_type(endpoint: str) -> BoardType:
    """The type that follows what is at this endpoint. Raises UsageError where none does."""
    scheme = endpoint.partition("://")[0].lower()
    for name in OURS:
        found = board_type(name)
        if scheme in found.schemes:
            return found
    raise UsageError(
        f"{shown(endpoint)} is no endpoint that a run is followed at",
        "write tcp://daq-pc:5700 for a machine that serves it, nats://server:4222 for servers that it is published to",
    )


def load_board(name: str) -> BoardClass:
    """The class of that type of board. Raises BoardError if there is none, or it cannot be imported."""
    board: BoardClass = _imported(name, board_type(name).board)
    return board


def _imported(name: str, reference: Reference) -> Any:
    try:
        return referred(reference)
    except (ImportError, AttributeError) as error:
        raise BoardError(
            name, f"{reference} cannot be loaded: {error}", "install what it needs, or its newer version"
        ) from error
