"""Room on a disk that is taken when a run begins, so that its end finds it on a disk that became full."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from dtopipe.model.identifiers import is_own_run_id

_PREFIX = ".dtopipe-room-"
_PIECE = bytes(2**16)
# A small disk is for the data: what is kept of it is at most this part of what is free.
_MOST_OF_FREE = 8


class ReservedSpace:
    """A file of `n_bytes` in `folder`, gone after `give_back`. A disk that has no room for it keeps none."""

    def __init__(self, folder: Path, n_bytes: int, run_id: str) -> None:
        self.folder = folder
        self._path = folder / f"{_PREFIX}{run_id}-{n_bytes}"
        try:
            n_bytes = min(n_bytes, shutil.disk_usage(folder).free // _MOST_OF_FREE)
            with self._path.open("xb", buffering=0) as file:
                _reserve(file.fileno(), n_bytes)
        except OSError:
            self.give_back()
            self.is_kept = False
        else:
            self.is_kept = True

    def give_back(self) -> None:
        """The room is free. Never raises; harmless twice."""
        self.is_kept = False
        with contextlib.suppress(OSError):
            self._path.unlink()


def clear_kept_rooms(folder: Path, run_id: str) -> None:
    """It clears those of a run that was killed; what is not named just so, or is no plain file of this user, stays."""
    if not is_own_run_id(run_id):
        return
    prefix = f"{_PREFIX}{run_id}-"
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name.startswith(prefix) and path.name.removeprefix(prefix).isdecimal():
                with contextlib.suppress(OSError):
                    if _is_own_file(path):
                        path.unlink()


def _is_own_file(path: Path) -> bool:
    seen = path.lstat()
    return stat.S_ISREG(seen.st_mode) and (not hasattr(os, "getuid") or seen.st_uid == os.getuid())


def _reserve(fd: int, n_bytes: int) -> None:
    """Blocks of the disk, not only a length."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, max(1, n_bytes))
        return
    while n_bytes > 0:
        n_bytes -= os.write(fd, _PIECE[:n_bytes])
