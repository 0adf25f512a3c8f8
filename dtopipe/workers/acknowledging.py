"""Tells the machine that samples come from how far they are kept here."""

from __future__ import annotations

import time
from collections.abc import Callable

from dtopipe.boards.contract import Board, FollowingBoard
from dtopipe.host.clock import mono_ns
from dtopipe.shm.ring import Ring
from dtopipe.shm.table import SubscriberTable

_LOOK_EVERY_NS = 200_000_000
_TURN_S = 0.02
# Outputs that do not get on at the end are the supervisor's business; the other machine waits no longer for them.
_PATIENCE_NS = 30_000_000_000


class Acknowledging:
    """Looks now and then; does nothing for a board that is no other machine."""

    def __init__(self, board: Board, ring: Ring) -> None:
        self._board = board if isinstance(board, FollowingBoard) else None
        self._table = SubscriberTable(ring)
        self._looked_ns = 0

    def look(self, now_ns: int) -> None:
        """Say what is durable in the journal, else in every BLOCK output."""
        if self._board is None or now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        kept = self._table.kept()
        if kept is not None:
            self._board.acknowledge(kept.durable)

    def finish(self, end: int, is_over: Callable[[], bool], turn: Callable[[], None]) -> None:
        """Wait until everything up to `end` is durable in them, and say so; not if `is_over` comes first.

        Whose output was closed has no row any more; closing makes durable.
        """
        if self._board is None:
            return
        reached, since_ns = (-1, -1), mono_ns()
        while (kept := self._table.kept()) is not None and kept.durable < end:
            if (kept.committed, kept.durable) != reached:
                reached, since_ns = (kept.committed, kept.durable), mono_ns()
            if is_over() or mono_ns() - since_ns > _PATIENCE_NS:
                return
            turn()
            self._board.acknowledge(kept.durable)
            time.sleep(_TURN_S)
        self._board.acknowledge(end)
        self._board.finish()
