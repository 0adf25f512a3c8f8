"""When a file system is to cut itself, or to say something: at a call, or some calls later."""

from __future__ import annotations

import fnmatch


class Trigger:
    """`WHAT:NAME:N:LATER`, as cut_file_system has it: counts calls, and says when it is time."""

    def __init__(self, text: str) -> None:
        what, rest = text.split(":", 1)
        pattern, number, later = rest.rsplit(":", 2)
        self._what, self._pattern = what, pattern
        self._wanted, self._later = int(number), int(later)

    def is_due(self, what: str, path: str, data: bytes) -> bool:
        """Told of a call before it is done."""
        if self._wanted > 0 and self._is_meant(what, path, data):
            self._wanted -= 1
            if self._wanted:
                return False
        elif self._wanted:
            return False
        self._later -= 1
        return self._later < 0

    def _is_meant(self, what: str, path: str, data: bytes) -> bool:
        if self._what == "says":
            return what == "write" and self._pattern.encode() in data
        return self._what in (what, "any") and fnmatch.fnmatchcase(path.rpartition("/")[2], self._pattern)
