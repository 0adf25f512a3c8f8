"""What was said that nobody can understand: dropped, counted, and told less and less often."""

from __future__ import annotations

import logging

_TOLD_EACH = 20


class Malformed:
    """The malformed messages of one socket. `what` they are called in the log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.count = 0

    def note(self, error: Exception) -> bool:
        """Count one. True for the first of it, then each time that the count has doubled: these are logged."""
        self.count += 1
        is_told = self.count <= _TOLD_EACH or self.count.bit_count() == 1
        if is_told:
            logging.warning("%s %d that is malformed, and dropped: %s", self._what, self.count, error)
        return is_told
