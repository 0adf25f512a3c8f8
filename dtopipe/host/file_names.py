"""Which names a file may have on this system: Windows has some for itself, and cannot have others."""

from __future__ import annotations

import re
import sys
from pathlib import PureWindowsPath

_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_CANNOT_BE = re.compile(r'[<>:"|?*\x01-\x1f]')


def trouble_of_name(path: str, *, of_windows: bool = sys.platform == "win32") -> str:
    """What keeps a file from having this path on the system, in words; empty if nothing does."""
    if "\0" in path:
        return "a path cannot have a NUL in it"
    if not of_windows:
        return ""
    given = PureWindowsPath(path)
    for part in given.parts[1 if given.anchor else 0 :]:
        if found := _CANNOT_BE.search(part):
            # Behind a colon Windows writes into a hidden stream of another file.
            return f"on Windows a name cannot have {found[0]!r} in it: {part}"
        if _DEVICE.fullmatch(part):
            return f"on Windows {part} is a device"
        if part not in (".", "..") and part.endswith((".", " ")):
            return f"Windows takes the {part[-1]!r} from the end of {part!r}"
    if given.drive and not given.root:
        return f"{path} means another folder of drive {given.drive} each time: write {given.drive}\\..."
    return ""
