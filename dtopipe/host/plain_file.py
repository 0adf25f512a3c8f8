"""Whether what is at a path is a file, and not a pipe, a device or a folder, which are never written or replaced."""

from __future__ import annotations

import stat
from pathlib import Path

FILES_ONLY = "name a file: outputs are cut back and read again; programs follow a run with dtopipe.subscribe"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def not_a_file(path: Path) -> str:
    """What stands at this path instead of a file, in words; empty for a file, or nothing. Raises OSError."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ""
    kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "")
    return f"{path} is {kind}, and no file" if kind else ""
