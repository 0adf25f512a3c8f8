"""Whether the process of a number is still the one that it was."""

from __future__ import annotations

import contextlib
from pathlib import Path

_AFTER_NAME = ")"
# Of /proc/PID/stat, counted from behind the name, which may hold anything.
_STATE, _STARTED = 0, 19


def birth_of(pid: int) -> str:
    """When it was started, in ticks since the machine was; empty if there is none, or that is not told here."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        words = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(_AFTER_NAME)[2].split()
        )
        return "" if words[_STATE] in "ZX" else words[_STARTED]
    return ""
