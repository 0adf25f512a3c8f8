"""A run of which nothing is kept: only its newest values are looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dtopipe.boards.registry import known_board_type
from dtopipe.model.plan import RunPlan


def preview_of(plan: RunPlan, folder: Path) -> RunPlan:
    """The plan of a run in that folder which looks at the board and its limits, writes no output and tells nobody."""
    board = plan.board
    if known_board_type(board.type).follows:
        # Nothing is kept for it there.
        board = replace(board, options={**board.options, "policy": "drop"})
    return replace(plan, run_root=folder, board=board, sinks=(), on={}, listen=None)
