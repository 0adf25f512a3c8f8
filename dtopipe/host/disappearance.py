"""Why a file that was there is not, as far as its folder tells."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path


class Disappearance(StrEnum):
    """Only a file that was DELETED does not come back by itself."""

    FOLDER_GONE = "folder_gone"
    NOT_MOUNTED = "not_mounted"
    DELETED = "deleted"


def disappearance_of(path: Path, device: int | None = None) -> Disappearance:
    """What became of the file at `path`; `device` is the one that it was on. Raises OSError.

    An unmounted disk or share leaves an empty folder, or the one below it; a folder that was moved leaves none: both
    may come back. Out of a folder with other files in it somebody has taken this one.
    """
    folder = path.parent
    try:
        elsewhere = device is not None and folder.stat().st_dev != device
        with os.scandir(folder) as entries:
            others = next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return Disappearance.FOLDER_GONE
    return Disappearance.NOT_MOUNTED if elsewhere or not others else Disappearance.DELETED
