"""The run of another machine, joined by a program or a command of ours without a pipeline of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from dtopipe.boards.contract import Ended, Opened, Overrun, Surroundings, Taken
from dtopipe.boards.registry import following_type, load_board
from dtopipe.boards.remote import RemoteBoard
from dtopipe.transport.source_link import SourceLink


class JoinedBoard(Protocol):
    """What is asked of one: as of every board, and of one that follows; it can be left too."""

    def open(self) -> Opened:
        """The run, once it is there; as of every board."""

    def start(self, at: int) -> None:
        """Give everything from this index on."""

    def read(self, timeout_s: float) -> Taken | Overrun | Ended | None:
        """What comes next, or None if nothing does in time."""

    def acknowledge(self, sample_index: int) -> None:
        """Everything before this index is ours for good."""

    def finish(self) -> None:
        """Everything up to the end of the run is."""

    def keep_alive(self) -> None:
        """Say that we are still there, when nothing is read for a while."""

    def leave(self) -> None:
        """Nothing more is wanted."""

    def close(self) -> None:
        """Harmless twice."""


def joined_board(options: Mapping[str, Any], surroundings: Surroundings, remote_id: str) -> JoinedBoard:
    """A board with these options, which is open to be asked for its run.

    `options`: those of the type that follows what is at its `endpoint`. Raises UsageError where none does.
    """
    kind = following_type(str(options["endpoint"]))
    if kind.links:
        board = RemoteBoard(options)
        key = None if options.get("insecure") else Path(options["server_key"])
        board.take_link(SourceLink(str(options["endpoint"]), key), surroundings, remote_id, "")
        return board
    other: Any = load_board(kind.name)(options, None)
    other.take_surroundings(surroundings, remote_id, "")
    joined: JoinedBoard = other
    return joined
