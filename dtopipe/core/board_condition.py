"""How a board is, in one word."""

from __future__ import annotations

from enum import StrEnum


class BoardCondition(StrEnum):
    """As `status` has it; the state beside it is for people."""

    OPENING = "opening"
    RUNNING = "running"
    ENDED = "ended"
    AWAY = "away"
    # It delivers nothing, and nothing says why.
    SILENT = "silent"
    # The ring is full: a sink holds it.
    WAITING = "waiting"
    HUNG = "hung"
