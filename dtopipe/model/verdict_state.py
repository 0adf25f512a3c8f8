"""What a run came to, in one word."""

from __future__ import annotations

from enum import StrEnum


class VerdictState(StrEnum):
    """The verdicts, from best to worst."""

    GOOD = "GOOD"
    REPAIRED = "GOOD (repaired)"
    INCOMPLETE = "INCOMPLETE"
    DEGRADED = "DEGRADED"
    ABORTED = "ABORTED"
    INTERRUPTED = "INTERRUPTED"

    @property
    def exit_code(self) -> int:
        """The exit code of `up` and `verify`."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    VerdictState.GOOD: 0,
    VerdictState.REPAIRED: 0,
    VerdictState.INCOMPLETE: 3,
    VerdictState.DEGRADED: 4,
    VerdictState.ABORTED: 5,
    VerdictState.INTERRUPTED: 5,
}
