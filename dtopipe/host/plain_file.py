"""Whether what is at a path is a file, and not a pipe, a device or a folder, which are never written or replaced."""

from __future__ import annotations

import stat
from pathlib import Path

FILES_ONLY = "name a file: outputs are cut back and read again; programs follow a run with dtopipe.subscribe"
NO_LINKS = "name the file that it leads to"
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


def led_elsewhere(path: Path) -> str:
    """Where a symbolic link at this path leads, in words; empty for anything else.

    What it leads to can be written and read through it; to replace or move it would take the link for the file.
    """
    return f"{path} is a link to {path.readlink()}" if path.is_symlink() else ""
